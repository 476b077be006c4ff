// SPDX-License-Identifier: Apache-2.0
#include "control/size_text.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

namespace uzram {

namespace {

constexpr std::string_view kUnits = "KMGTPE";

// How far a unit shifts to the left. Errors: EINVAL not a unit.
Result<unsigned> unit_shift(std::string_view unit) {
  if (unit.empty()) return 0U;
  if (unit.size() == 3 && unit.ends_with("iB")) unit.remove_suffix(2);
  if (unit.size() != 1) return fail(EINVAL);
  const char letter = unit[0] >= 'a' && unit[0] <= 'z' ? static_cast<char>(unit[0] - 32) : unit[0];
  const std::size_t position = kUnits.find(letter);
  if (position == std::string_view::npos) return fail(EINVAL);
  return static_cast<unsigned>(10 * (position + 1));
}

}  // namespace

InputResult<std::uint64_t> read_size(std::string_view label, std::string_view text) {
  const bool is_hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  const std::string_view digits = is_hexadecimal ? text.substr(2) : text;
  std::uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  const auto parsed = std::from_chars(digits.data(), end, number, is_hexadecimal ? 16 : 10);
  const std::string_view unit(parsed.ptr, static_cast<std::size_t>(end - parsed.ptr));
  const Result<unsigned> shift = unit_shift(unit);
  if (parsed.ec == std::errc::invalid_argument || !shift) {
    return refuse(EINVAL, fmt::format("{}{} is not a size; write bytes, 512M, 1G or 4GiB", label,
                                      quote(text)));
  }
  if (parsed.ec != std::errc{} || number > std::numeric_limits<std::uint64_t>::max() >> *shift) {
    return refuse(EINVAL,
                  fmt::format("{}{} is too large; at most 15E can be written", label, quote(text)));
  }
  return number << *shift;
}

std::string short_size(std::uint64_t bytes) {
  if (bytes < 1024) return fmt::format("{}B", bytes);
  std::size_t unit = 0;
  while (unit + 1 < kUnits.size() && bytes >> (10 * (unit + 2)) != 0) ++unit;
  const auto shift = static_cast<unsigned>(10 * (unit + 1));
  std::uint64_t whole = bytes >> shift;
  // The ten bits below the unit suffice for one decimal, which is cut to thousandths, then rounded.
  const std::uint64_t thousandths = ((bytes >> (shift - 10)) & 1023) * 1000 / 1024;
  std::uint64_t tenths = (thousandths + 50) / 100;
  if (tenths == 10) {
    ++whole;
    tenths = 0;
  }
  if (tenths == 0) return fmt::format("{}{}", whole, kUnits[unit]);
  return fmt::format("{}.{}{}", whole, tenths, kUnits[unit]);
}

}  // namespace uzram
