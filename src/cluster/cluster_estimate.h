// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_estimate.h: how many blocks content would take as clusters.
//
// What:    packs what it is given and counts the blocks, by f2fs's own rule; keeps nothing.
// Units:   blocks of 4 KiB, as they are needed once the reserved ones are released.
// Errors:  make -> as ClusterPacker::make.
// Threads: one at a time.
// Proof:   cluster_estimate_test.cc.
#pragma once

#include <vector>

#include "cluster/cluster_packer.h"

namespace uzram {

struct ClusterCounts {
  std::uint64_t raw_blocks = 0;     // What the content takes unpacked.
  std::uint64_t stored_blocks = 0;  // What it takes as clusters.
  std::uint64_t packed_clusters = 0;
  std::uint64_t raw_clusters = 0;  // With the partial ones at the ends of files.
};

class ClusterEstimate {
 public:
  [[nodiscard]] static Result<ClusterEstimate> make(const ClusterOptions& options);

  // A stretch of a file that begins at a multiple of the largest cluster; only the last one of a
  // file may be no multiple of that itself.
  void add(ConstBytes content);

  [[nodiscard]] const ClusterOptions& options() const { return packer_.options(); }
  [[nodiscard]] const ClusterCounts& counts() const { return counts_; }

 private:
  explicit ClusterEstimate(ClusterPacker packer)
      : packer_(std::move(packer)), out_(packer_.options().cluster_bytes()) {}

  ClusterPacker packer_;
  std::vector<std::byte> out_;
  ClusterCounts counts_;
};

}  // namespace uzram
