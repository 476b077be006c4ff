// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_estimate.h"

#include <algorithm>

namespace uzram {

Result<ClusterEstimate> ClusterEstimate::make(const ClusterOptions& options) {
  auto packer = ClusterPacker::make(options);
  if (!packer) return fail(packer.error().code);
  return ClusterEstimate(*std::move(packer));
}

void ClusterEstimate::add(ConstBytes content) {
  while (!content.empty()) {
    const ConstBytes cluster = content.first(std::min(content.size(), out_.size()));
    content = content.subspan(cluster.size());
    const std::uint64_t raw_blocks = bytes_to_pages(cluster.size());
    const auto packed = cluster.size() == out_.size() ? packer_.pack(cluster, out_) : std::nullopt;
    counts_.raw_blocks += raw_blocks;
    counts_.stored_blocks += packed.value_or(raw_blocks);
    ++(packed ? counts_.packed_clusters : counts_.raw_clusters);
  }
}

}  // namespace uzram
