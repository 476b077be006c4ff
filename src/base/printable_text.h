// SPDX-License-Identifier: Apache-2.0
// base/printable_text.h: text from outside, made safe for a terminal and for a log.
//
// What:   names of files and processes, mount points, words of a peer and of a library go through
//         here before a person sees them. Ordinary UTF-8 stays as it is.
// Shapes: "\xHH" for a control byte and for each byte that is no UTF-8; "\u{H...}" for a character
//         that steers a terminal, changes the direction of text, or cannot be seen. No newline is
//         left: the result is one line.
// Proof:  printable_text_test.cc.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace uzram {

[[nodiscard]] std::string printable(std::string_view text);
// The same for text that is made of lines: newlines and tabs stay.
[[nodiscard]] std::string printable_lines(std::string_view text);

// As much of the front as fits into so many bytes, without half a character at its end.
[[nodiscard]] std::string_view front_of_text(std::string_view text, std::size_t most_bytes);

}  // namespace uzram
