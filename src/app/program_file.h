// SPDX-License-Identifier: Apache-2.0
// app/program_file.h: whether a library can be put before a program.
//
// What:    finds a program as a shell does, and looks at its file: LD_PRELOAD has no meaning for
//          programs without a dynamic linker, and none for those that get rights from their file.
// Shapes:  64-bit ELF of this byte order, or a script, whose interpreter is looked at instead.
// Errors:  EINVAL in words for what cannot be; ENOENT for what is not there.
// Proof:   program_file_test.cc.
#pragma once

#include <string>

#include "control/input_error.h"

namespace uzram {

// Returns: the path to execute.
[[nodiscard]] InputResult<std::string> find_preloadable_program(const std::string& name);

}  // namespace uzram
