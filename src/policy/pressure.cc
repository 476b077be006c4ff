// SPDX-License-Identifier: Apache-2.0
#include "policy/pressure.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/file_descriptor.h"

namespace uzram {

namespace {

PressureLevel level_of(double value, double some, double high, double hard) {
  if (value >= hard) return PressureLevel::Hard;
  if (value >= high) return PressureLevel::High;
  return value >= some ? PressureLevel::Some : PressureLevel::None;
}

PressureLevel psi_level(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  if (!settings.psi_percent || !snapshot.memory_some_avg10_percent) return PressureLevel::None;
  const double bound = *settings.psi_percent;
  return level_of(*snapshot.memory_some_avg10_percent, bound, 2 * bound, 4 * bound);
}

PressureLevel limit_level(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  if (!settings.limit_percent || snapshot.mem_limit_bytes == 0) return PressureLevel::None;
  const double used_percent = 100.0 * static_cast<double>(snapshot.pool_bytes) /
                              static_cast<double>(snapshot.mem_limit_bytes);
  const double bound = *settings.limit_percent;
  const double rest = 100 - bound;
  return level_of(used_percent, bound, bound + rest / 2, bound + rest * 3 / 4);
}

}  // namespace

std::optional<double> parse_pressure(std::string_view text) {
  // A line is "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
  constexpr std::string_view kLine = "some ";
  constexpr std::string_view kField = " avg10=";
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    if (!line.starts_with(kLine)) continue;
    const std::size_t field = line.find(kField);
    if (field == std::string_view::npos) return std::nullopt;
    const std::string_view number = line.substr(field + kField.size());
    double percent = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), percent,
                                              std::chars_format::fixed);
    const bool is_whole = end == number.data() + number.size() || *end == ' ';
    if (error != std::errc{} || !is_whole) return std::nullopt;
    // Also false for what is not a number.
    if (!(percent >= 0 && percent <= 100)) return std::nullopt;
    return percent;
  }
  return std::nullopt;
}

std::optional<double> read_pressure(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return std::nullopt;
  // Two lines of about 60 characters.
  std::array<char, 512> text;
  const ssize_t count = ::read(file.get(), text.data(), text.size());
  if (count <= 0) return std::nullopt;
  return parse_pressure({text.data(), static_cast<std::size_t>(count)});
}

PressureLevel pressure_level(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  return std::max(psi_level(settings, snapshot), limit_level(settings, snapshot));
}

std::string_view pressure_name(PressureLevel level) {
  switch (level) {
    case PressureLevel::None:
      return "none";
    case PressureLevel::Some:
      return "some";
    case PressureLevel::High:
      return "high";
    case PressureLevel::Hard:
      break;
  }
  return "hard";
}

}  // namespace uzram
