// SPDX-License-Identifier: Apache-2.0
// control/size_text.h: sizes as people write them, and as lists show them.
//
// What:    strict reading (a typing error is an error) and short printing. Not here: the kernel's
//          forgiving syntax of attribute files (kernel_text.h).
// Shapes:  digits (or 0x and hexadecimal digits), then nothing, K, M, G, T, P or E in either case,
//          or one of these with "iB"; all are powers of 1024.
// Errors:  read_size -> EINVAL in words, also beyond 64 bits.
// Proof:   size_text_test.cc.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "control/input_error.h"

namespace uzram {

// `label` starts the refusal: "--size: ", "mem_limit=".
[[nodiscard]] InputResult<std::uint64_t> read_size(std::string_view label, std::string_view text);

// At most one decimal and one letter, as util-linux' tools print: "0B", "4K", "1.5G".
[[nodiscard]] std::string short_size(std::uint64_t bytes);

}  // namespace uzram
