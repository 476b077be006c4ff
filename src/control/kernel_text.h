// SPDX-License-Identifier: Apache-2.0
// control/kernel_text.h: numbers and words, read exactly as the kernel reads them from sysfs.
//
// What:   the syntaxes that zram's attributes use: sizes (memparse), decimals (kstrtoull,
//         kstrtoint), words (sysfs_streq) and key=value lists
//         (next_arg). Not here: what the values mean
//         (attribute_table.cc), sizes of a command line (app/).
// Shapes: a text ends at its end or at the first NUL byte, since the kernel sees it as a C
//         string.
// Proof:  kernel_text_test.cc; its expectations were taken from a running kernel.
// Source: the kernel's documented behaviour of memparse(), kstrtox and next_arg(), observed
//         through sysfs.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace uzram {

struct MemorySize {
  std::uint64_t bytes = 0;
  bool is_number = false;  // False: not one character could be used.
};

// Digits (decimal, 0x hexadecimal, 0 octal), then one of K M G T P E in either case. What follows
// is ignored, and a value of more than 64 bits keeps its low 64, both as in the kernel.
[[nodiscard]] MemorySize parse_memory_size(std::string_view text);

// Decimal digits after an optional '+', then at most one newline.
// Errors: EINVAL not such a number; ERANGE above `highest`.
[[nodiscard]] Result<std::uint64_t> parse_unsigned(std::string_view text, std::uint64_t highest);
// The same in the base that the text names: 0x hexadecimal, 0 octal, otherwise decimal. Errors:
// EINVAL; ERANGE beyond 64 bits.
[[nodiscard]] Result<std::uint64_t> parse_unsigned_any_base(std::string_view text);
// Decimal with an optional '-'. Errors: EINVAL, ERANGE.
[[nodiscard]] Result<int> parse_int(std::string_view text);

// By its first characters, as kstrtobool: 1, y, Y, t, T, on; 0, n, N, f, F, off. Errors: EINVAL.
[[nodiscard]] Result<bool> parse_bool(std::string_view text);

// Whether the text is the word; one newline behind it is forgiven, as sysfs_streq does.
[[nodiscard]] bool is_word(std::string_view text, std::string_view word);

// The text as the kernel sees it: up to the first NUL byte.
[[nodiscard]] std::string_view until_nul(std::string_view text);

struct KeyValue {
  std::string_view key;
  std::string_view value;  // Without the quotation marks around it; empty when there is none.
};

// Splits at white space outside double quotation marks, and each word at its first '='. Views into
// `text`.
[[nodiscard]] std::vector<KeyValue> split_key_values(std::string_view text);

}  // namespace uzram
