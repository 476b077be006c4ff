// SPDX-License-Identifier: Apache-2.0
// control/bounded_json.h: JSON from the other end of a socket, read within bounds.
//
// What:    the only way in which either end parses what it was sent. The text is counted before
//          anything is built from it: a value that is nested deeply costs stack wherever it is
//          copied, compared, printed or freed, and a small one costs much more than its text.
// Shapes:  at most kMostJsonDepth arrays and objects one in the other; `most_values` in all.
// Errors:  EBADMSG not JSON, or not UTF-8; E2BIG too deep, or too many values; ENOMEM.
// Threads: any.
// Proof:   bounded_json_test.cc, request_fuzz.cc.
#pragma once

#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "base/result.h"

namespace uzram {

inline constexpr std::size_t kMostJsonDepth = 16;

[[nodiscard]] Result<nlohmann::json> parse_bounded_json(std::string_view text,
                                                        std::size_t most_values);

}  // namespace uzram
