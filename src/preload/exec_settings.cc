// SPDX-License-Identifier: Apache-2.0
#include "preload/exec_settings.h"

#include <array>
#include <charconv>
#include <utility>

namespace uzram {
namespace {

constexpr std::array<std::pair<PagerBackend, std::string_view>, 5> kBackendNames{{
    {PagerBackend::Automatic, "automatic"},
    {PagerBackend::Move, "move"},
    {PagerBackend::Protect, "protect"},
    {PagerBackend::Signal, "signal"},
    {PagerBackend::Strict, "strict"},
}};

bool read_number(std::string_view text, std::uint64_t& number) {
  const auto done = std::from_chars(text.data(), text.data() + text.size(), number);
  return done.ec == std::errc() && done.ptr == text.data() + text.size();
}

bool read_word(std::string_view key, std::string_view value, ExecSettings& settings) {
  std::uint64_t number = 0;
  if (key == "limit") return read_number(value, settings.limit_bytes);
  if (key == "threshold") return read_number(value, settings.threshold_bytes);
  if (key == "mmap_threshold") return read_number(value, settings.mmap_threshold_bytes);
  if (key == "report") {
    const bool is_number = read_number(value, number);
    settings.has_report = number != 0;
    return is_number;
  }
  if (key == "cluster_pages") return read_number(value, settings.cluster_pages);
  if (key == "algorithm") {
    settings.algorithm = value;
    return !value.empty();
  }
  if (key != "backend") return false;
  const auto backend = find_exec_backend(value);
  settings.backend = backend.value_or(PagerBackend::Automatic);
  return backend.has_value();
}

}  // namespace

std::string_view exec_backend_name(PagerBackend backend) {
  for (const auto& [each, name] : kBackendNames)
    if (each == backend) return name;
  return {};
}

std::optional<PagerBackend> find_exec_backend(std::string_view name) {
  for (const auto& [backend, each] : kBackendNames)
    if (each == name) return backend;
  return std::nullopt;
}

std::string write_exec_settings(const ExecSettings& settings) {
  std::string text = "limit=" + std::to_string(settings.limit_bytes);
  text += " algorithm=" + settings.algorithm;
  if (settings.cluster_pages != 0)
    text += " cluster_pages=" + std::to_string(settings.cluster_pages);
  text += " threshold=" + std::to_string(settings.threshold_bytes);
  text += " mmap_threshold=" + std::to_string(settings.mmap_threshold_bytes);
  text += " backend=" + std::string(exec_backend_name(settings.backend));
  text += settings.has_report ? " report=1" : " report=0";
  if (!settings.stats_path.empty()) text += " stats=" + settings.stats_path;
  return text;
}

std::optional<ExecSettings> read_exec_settings(std::string_view text) {
  constexpr std::string_view kStats = "stats=";
  ExecSettings settings;
  while (!text.empty()) {
    if (text.substr(0, kStats.size()) == kStats) {
      settings.stats_path = text.substr(kStats.size());
      break;
    }
    const std::size_t space = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, space);
    text.remove_prefix(std::min(space + 1, text.size()));
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    if (!read_word(word.substr(0, equals), word.substr(equals + 1), settings)) return std::nullopt;
  }
  if (settings.limit_bytes == 0) return std::nullopt;
  return settings;
}

}  // namespace uzram
