// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_buffers.h: unpacked clusters in memory, those used last, up to a limit.
//
// What:    keeps clusters that were read, and those that were changed until they are written. Not
//          here: reading and writing them (cluster_file.h).
// Shapes:  at least two clusters, however low the limit.
// Threads: read: any. Everything else: one at a time, the owner, while others read. The owner may
//          look at a buffer's content, and changes it between hide and show.
// Memory:  add allocates below the limit; at it, nothing does.
// Proof:   cluster_buffers_test.cc, cluster_file_allocation_test.cc.
#pragma once

#include <cstdint>
#include <list>
#include <unordered_map>
#include <vector>

#include "base/mutex.h"
#include "base/units.h"

namespace uzram {

struct ClusterBuffer {
  std::uint64_t cluster = 0;
  bool has_changed = false;
  // At the front of the content; the rest was not unpacked yet. Set by hide and show alone.
  std::size_t ready_bytes = 0;
  std::vector<std::byte> content;
};

class ClusterBuffers {
 public:
  ClusterBuffers(std::size_t cluster_bytes, std::size_t limit_bytes);

  // Returns: nullptr when it is not there. What is found counts as used last.
  [[nodiscard]] ClusterBuffer* find(std::uint64_t cluster) UZ_EXCLUDES(mutex_);
  // A buffer with any content, in place of the one that was not used for longest. Returns: nullptr
  // when the limit is reached and every buffer has changed.
  // Requires: the cluster is not there.
  [[nodiscard]] ClusterBuffer* add(std::uint64_t cluster) UZ_EXCLUDES(mutex_);
  void forget(std::uint64_t cluster) UZ_EXCLUDES(mutex_);
  // This one and all behind it.
  void forget_from(std::uint64_t cluster) UZ_EXCLUDES(mutex_);

  // From here on nobody reads it, until this much of it is there.
  void hide(ClusterBuffer& buffer) UZ_EXCLUDES(mutex_);
  void show(ClusterBuffer& buffer, std::size_t ready_bytes) UZ_EXCLUDES(mutex_);
  // Returns: whether all of that was there; it counts as used last then.
  [[nodiscard]] bool read(std::uint64_t cluster, std::size_t begin, MutableBytes out)
      UZ_EXCLUDES(mutex_);

  // By cluster.
  [[nodiscard]] std::vector<ClusterBuffer*> changed() UZ_EXCLUDES(mutex_);
  [[nodiscard]] std::size_t count() const UZ_EXCLUDES(mutex_);

 private:
  const std::size_t cluster_bytes_;
  const std::size_t most_count_;

  mutable Mutex mutex_;
  std::list<ClusterBuffer> buffers_ UZ_GUARDED_BY(mutex_);  // Used last: at the front.
  std::unordered_map<std::uint64_t, std::list<ClusterBuffer>::iterator> places_
      UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
