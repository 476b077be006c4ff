// SPDX-License-Identifier: Apache-2.0
// control/path_words.h: paths inside attribute texts, and in whose folder they are looked up.
//
// What:    a relative path means the folder of the person who typed it. The command line makes it
//          absolute; an attribute refuses what is still relative, because the daemon has another
//          folder and another file may have that name there. Not here: opening.
// Threads: any.
// Proof:   path_words_test.cc, tests/e2e/backing_file_test.py.
#pragma once

#include <string>
#include <string_view>

#include "control/input_error.h"

namespace uzram {

// Makes the paths in a text for this attribute absolute: the store of `backing_dev`, unless it is
// an NBD server, and each `dict=` of `algorithm_params`. Other texts stay as they are.
[[nodiscard]] std::string with_absolute_paths(std::string_view attribute, std::string_view text);

// Errors: EINVAL with a line that says what to give.
[[nodiscard]] InputResult<void> check_absolute(std::string_view attribute, std::string_view path);

}  // namespace uzram
