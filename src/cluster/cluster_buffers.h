// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_buffers.h: unpacked clusters in memory, those used last, up to a limit.
//
// What:    keeps clusters that were read, and those that were changed until they are written. Not
//          here: reading and writing them (cluster_file.h).
// Shapes:  at least two clusters, however low the limit.
// Threads: one at a time.
// Memory:  add allocates below the limit; at it, nothing does.
// Proof:   cluster_buffers_test.cc, cluster_file_allocation_test.cc.
#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "base/units.h"

namespace uzram {

struct ClusterBuffer {
  std::uint64_t cluster = 0;
  bool has_changed = false;
  std::size_t ready_bytes = 0;  // At the front of the content; the rest was not unpacked yet.
  std::vector<std::byte> content;
};

class ClusterBuffers {
 public:
  ClusterBuffers(std::size_t cluster_bytes, std::size_t limit_bytes);

  // Returns: nullptr when it is not there. What is found counts as used last.
  [[nodiscard]] ClusterBuffer* find(std::uint64_t cluster);
  // A buffer with any content, in place of the one that was not used for longest. Returns: nullptr
  // when the limit is reached and every buffer has changed.
  // Requires: the cluster is not there.
  [[nodiscard]] ClusterBuffer* add(std::uint64_t cluster);
  void forget(std::uint64_t cluster);
  // This one and all behind it.
  void forget_from(std::uint64_t cluster);

  // By cluster.
  [[nodiscard]] std::vector<ClusterBuffer*> changed();
  [[nodiscard]] std::size_t count() const { return buffers_.size(); }

 private:
  const std::size_t cluster_bytes_;
  const std::size_t most_count_;
  std::list<ClusterBuffer> buffers_;  // Used last: at the front.
  std::unordered_map<std::uint64_t, std::list<ClusterBuffer>::iterator> places_;
};

}  // namespace uzram
