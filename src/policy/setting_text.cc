// SPDX-License-Identifier: Apache-2.0
#include "policy/setting_text.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <limits>

#include "base/printable_text.h"

namespace uzram {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

struct Unit {
  char letter;
  std::uint64_t scale;
};
constexpr std::array<Unit, 4> kTimeUnits{Unit{'d', 24 * 3600}, Unit{'h', 3600}, Unit{'m', 60},
                                         Unit{'s', 1}};
constexpr std::array<Unit, 4> kByteUnits{Unit{'T', std::uint64_t{1} << 40},
                                         Unit{'G', std::uint64_t{1} << 30},
                                         Unit{'M', std::uint64_t{1} << 20}, Unit{'K', 1U << 10}};

struct Digits {
  std::uint64_t number = 0;
  std::string_view rest;
  bool is_number = false;  // False also beyond 64 bits.
};

Digits read_digits(std::string_view text) {
  Digits digits;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, digits.number);
  digits.rest = {stop, static_cast<std::size_t>(end - stop)};
  digits.is_number = error == std::errc{};
  return digits;
}

// The largest 64-bit number stands for everything above it; it is outside of every range.
std::uint64_t scaled(std::uint64_t number, std::uint64_t scale) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  return number > kMost / scale ? kMost : number * scale;
}

std::string exact_text(std::uint64_t value, const std::array<Unit, 4>& units) {
  for (const Unit& unit : units) {
    if (value != 0 && value % unit.scale == 0) {
      return fmt::format("{}{}", value / unit.scale, unit.letter);
    }
  }
  return fmt::format("{}", value);
}

std::uint64_t count_of(seconds duration) { return static_cast<std::uint64_t>(duration.count()); }

}  // namespace

SettingResult<seconds> read_duration(std::string_view name, std::string_view text,
                                     DurationRange range) {
  const Digits digits = read_digits(text);
  std::uint64_t scale = 0;
  for (const Unit& unit : kTimeUnits) {
    if (digits.rest == std::string_view(&unit.letter, 1)) scale = unit.scale;
  }
  if (!digits.is_number || scale == 0) {
    return refuse_setting(
        fmt::format("{}={} is not a duration; write a number and one of s, m, h, d, like {}=10m",
                    name, quote_word(text), name));
  }
  const std::uint64_t value = scaled(digits.number, scale);
  if (value < count_of(range.shortest) || value > count_of(range.longest)) {
    return refuse_setting(fmt::format("{}={} is out of range; it goes from {} to {}", name, text,
                                      duration_text(range.shortest), duration_text(range.longest)));
  }
  return seconds(static_cast<seconds::rep>(value));
}

SettingResult<std::uint64_t> read_number(std::string_view name, std::string_view text,
                                         NumberRange range) {
  const Digits digits = read_digits(text);
  if (!digits.is_number || !digits.rest.empty() || digits.number < range.lowest ||
      digits.number > range.highest) {
    return refuse_setting(fmt::format("{}={} is not a whole number from {} to {}", name,
                                      quote_word(text), range.lowest, range.highest));
  }
  return digits.number;
}

SettingResult<std::uint64_t> read_bytes(std::string_view name, std::string_view text,
                                        NumberRange range) {
  const Digits digits = read_digits(text);
  std::string_view rest = digits.rest;
  if (rest.size() == 3 && rest.ends_with("iB")) rest.remove_suffix(2);
  std::uint64_t scale = rest.empty() ? 1 : 0;
  for (const Unit& unit : kByteUnits) {
    const char small = static_cast<char>(unit.letter - 'A' + 'a');
    if (rest.size() == 1 && (rest[0] == unit.letter || rest[0] == small)) scale = unit.scale;
  }
  if (!digits.is_number || scale == 0) {
    return refuse_setting(
        fmt::format("{}={} is not a size; write bytes, or a number with K, M, G or T, like {}=4G",
                    name, quote_word(text), name));
  }
  const std::uint64_t value = scaled(digits.number, scale);
  if (value < range.lowest || value > range.highest) {
    return refuse_setting(fmt::format("{}={} is out of range; it goes from {} to {}", name, text,
                                      bytes_text(range.lowest), bytes_text(range.highest)));
  }
  return value;
}

std::string duration_text(seconds duration) {
  const std::uint64_t count = count_of(duration);
  return count == 0 ? "0s" : exact_text(count, kTimeUnits);
}

std::string bytes_text(std::uint64_t bytes) { return exact_text(bytes, kByteUnits); }

std::string time_text(milliseconds time) {
  if (time == milliseconds(0)) return "0s";
  if (time < seconds(1)) return fmt::format("{}ms", time.count());
  std::uint64_t left = count_of(std::chrono::duration_cast<seconds>(time));
  // The largest unit, and the next smaller one where it is not 0.
  std::string text;
  int unit_count = 0;
  for (const Unit& unit : kTimeUnits) {
    const std::uint64_t number = left / unit.scale;
    if (number != 0) text += fmt::format("{}{}", number, unit.letter);
    if (!text.empty() && ++unit_count == 2) break;
    left %= unit.scale;
  }
  return text;
}

std::string cpu_text(std::chrono::microseconds cpu) {
  if (cpu < milliseconds(10)) return fmt::format("{} µs", cpu.count());
  return fmt::format("{} ms", std::chrono::duration_cast<milliseconds>(cpu).count());
}

std::string size_words(std::uint64_t bytes) {
  for (const Unit& unit : kByteUnits) {
    if (bytes < unit.scale) continue;
    const double value = static_cast<double>(bytes) / static_cast<double>(unit.scale);
    return bytes % unit.scale == 0 ? fmt::format("{} {}iB", bytes / unit.scale, unit.letter)
                                   : fmt::format("{:.1f} {}iB", value, unit.letter);
  }
  return fmt::format("{} bytes", bytes);
}

std::string quote_word(std::string_view word) {
  constexpr std::size_t kMostBytes = 40;
  const std::string_view shown = front_of_text(word, kMostBytes);
  std::string quoted = "\"";
  quoted += printable(shown);
  quoted += shown.size() < word.size() ? "...\"" : "\"";
  return quoted;
}

}  // namespace uzram
