// SPDX-License-Identifier: Apache-2.0
#include "control/path_words.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "control/kernel_text.h"
#include "device/device.h"

namespace uzram {

namespace {

std::string absolute_path(std::string_view path) {
  return std::filesystem::absolute(std::filesystem::path(path)).string();
}

bool is_relative(std::string_view path) { return !path.empty() && path.front() != '/'; }

bool has_blank(std::string_view text) {
  return text.find_first_of(" \t\n\v\f\r") != std::string_view::npos;
}

std::string with_absolute_dictionaries(std::string_view text) {
  const std::vector<KeyValue> words = split_key_values(text);
  const auto is_relative_dictionary = [](const KeyValue& word) {
    return word.key == "dict" && is_relative(word.value);
  };
  if (std::none_of(words.begin(), words.end(), is_relative_dictionary)) return std::string(text);
  std::string rewritten;
  for (const KeyValue& word : words) {
    const std::string value =
        is_relative_dictionary(word) ? absolute_path(word.value) : std::string(word.value);
    if (!rewritten.empty()) rewritten += ' ';
    rewritten += word.key;
    if (value.empty()) continue;
    rewritten += has_blank(value) ? fmt::format("=\"{}\"", value) : fmt::format("={}", value);
  }
  return rewritten;
}

}  // namespace

std::string with_absolute_paths(std::string_view attribute, std::string_view text) {
  if (attribute == "algorithm_params") return with_absolute_dictionaries(text);
  if (attribute != "backing_dev" || !is_relative(text) || is_backing_server(text)) {
    return std::string(text);
  }
  return absolute_path(text);
}

InputResult<void> check_absolute(std::string_view attribute, std::string_view path) {
  if (!is_relative(path)) return {};
  return refuse(EINVAL, fmt::format("{}: {} is a relative path, and the daemon has another folder; "
                                    "give the path from / on",
                                    attribute, quote(path)));
}

}  // namespace uzram
