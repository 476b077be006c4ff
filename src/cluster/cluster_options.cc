// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_options.h"

#include <charconv>

namespace uzram {
namespace {

constexpr bool ids_are_indexes() {
  for (std::size_t i = 0; i < kClusterAlgorithmCount; ++i) {
    if (static_cast<std::size_t>(kClusterAlgorithms[i].id) != i) return false;
  }
  return true;
}
static_assert(ids_are_indexes());

bool takes_level(const ClusterAlgorithmInfo& row, int level) {
  return row.highest_level != 0 && level >= row.lowest_level && level <= row.highest_level;
}

}  // namespace

bool is_valid(const ClusterOptions& options) {
  const auto index = static_cast<std::size_t>(options.algorithm);
  return index < kClusterAlgorithmCount && options.log_pages >= kLeastClusterLog &&
         options.log_pages <= kMostClusterLog &&
         (options.level == 0 || takes_level(kClusterAlgorithms[index], options.level));
}

bool read_cluster_algorithm(std::string_view text, ClusterOptions& options) {
  const std::size_t colon = text.find(':');
  for (const ClusterAlgorithmInfo& row : kClusterAlgorithms) {
    if (text.substr(0, colon) != row.name) continue;
    int level = 0;
    if (colon != std::string_view::npos) {
      const std::string_view digits = text.substr(colon + 1);
      const char* const end = digits.data() + digits.size();
      const auto parsed = std::from_chars(digits.data(), end, level);
      if (parsed.ec != std::errc{} || parsed.ptr != end || !takes_level(row, level)) return false;
    }
    options.algorithm = row.id;
    options.level = level;
    return true;
  }
  return false;
}

std::string cluster_algorithm_text(const ClusterOptions& options) {
  const auto index = static_cast<std::size_t>(options.algorithm);
  std::string text(index < kClusterAlgorithmCount ? kClusterAlgorithms[index].name : "unknown");
  if (options.level != 0) text.append(1, ':').append(std::to_string(options.level));
  return text;
}

}  // namespace uzram
