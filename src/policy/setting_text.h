// SPDX-License-Identifier: Apache-2.0
// policy/setting_text.h: durations, sizes and numbers as a person writes them in a policy line.
//
// What:    strict reading (a typing error is an error) and printing that reads back as the same
//          value.
// Shapes:  a duration is digits and one of s, m, h, d; a size is digits and nothing or one of K, M,
//          G, T (powers of 1024, either case, with or without "iB"); a number is digits.
// Errors:  SettingError: one line that says what would have been right. Callers that have errno
//          values give it EINVAL.
// Proof:   setting_text_test.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace uzram {

struct [[nodiscard]] SettingError {
  std::string text;  // One line without a newline, whatever bytes the input had.
};

template <typename T>
using SettingResult = tl::expected<T, SettingError>;

[[nodiscard]] inline tl::unexpected<SettingError> refuse_setting(std::string text) {
  return tl::unexpected<SettingError>(SettingError{std::move(text)});
}

// Limits of one setting, both included.
struct NumberRange {
  std::uint64_t lowest;
  std::uint64_t highest;
};
struct DurationRange {
  std::chrono::seconds shortest;
  std::chrono::seconds longest;
};

// `name` starts the refusal: "idle_after".
[[nodiscard]] SettingResult<std::chrono::seconds> read_duration(std::string_view name,
                                                                std::string_view text,
                                                                DurationRange range);
[[nodiscard]] SettingResult<std::uint64_t> read_number(std::string_view name, std::string_view text,
                                                       NumberRange range);
[[nodiscard]] SettingResult<std::uint64_t> read_bytes(std::string_view name, std::string_view text,
                                                      NumberRange range);

// "90s", "5m", "2h", "1d": the largest unit that says it exactly.
[[nodiscard]] std::string duration_text(std::chrono::seconds duration);
// "4096", "300M", "4G": the largest unit that says it exactly.
[[nodiscard]] std::string bytes_text(std::uint64_t bytes);
// For people, not to be read back: "3m20s", "400ms".
[[nodiscard]] std::string time_text(std::chrono::milliseconds time);
// "850 µs", "61 ms".
[[nodiscard]] std::string cpu_text(std::chrono::microseconds cpu);
// "12 KiB", "1.5 GiB".
[[nodiscard]] std::string size_words(std::uint64_t bytes);
// The input between quotation marks, at most 40 bytes of it, with unprintable ones shown as '?'.
[[nodiscard]] std::string quote_word(std::string_view word);

}  // namespace uzram
