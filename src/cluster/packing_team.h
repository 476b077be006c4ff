// SPDX-License-Identifier: Apache-2.0
// cluster/packing_team.h: threads that pack clusters, and one of them at a time that writes.
//
// What:    takes clusters, packs them in chunks of neighbours, and hands each chunk to its caller's
//          function, one after the other. Whoever has packed a chunk while nobody writes does it,
//          and writes what the others finish meanwhile: a file's writes wait for each other anyway,
//          and those who would wait go on packing. Not here: where blocks lie (cluster_file.h).
// Shapes:  a chunk is 128 KiB of content, or one cluster: more would not stay in the processor's
//          cache until it is written, less costs calls of the system.
// Threads: run, by one caller at a time. Its helpers end before it returns.
// Memory:  a packer for each thread; when whole clusters come, room for a chunk, or for two of each
//          of several threads.
// Proof:   packing_team_test.cc.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "cluster/cluster_file_format.h"
#include "cluster/cluster_packer.h"

namespace uzram {

// What is to be stored: a whole cluster, or the blocks of the last, partial one, which stays raw.
struct PendingCluster {
  std::uint64_t cluster = 0;
  ConstBytes content;
  bool is_whole = true;
};

struct PackedCluster {
  const PendingCluster* pending = nullptr;
  // Packed ones of a chunk lie one behind the other; raw ones where their content does.
  ConstBytes blocks;
  MapEntry entry;  // Without its place.
};

class PackingTeam {
 public:
  [[nodiscard]] static Result<std::unique_ptr<PackingTeam>> make(const ClusterOptions& options,
                                                                 unsigned thread_count);

  // Called for one chunk at a time, on any thread; sees what earlier calls did.
  using Write = std::function<void(std::span<PackedCluster> chunk)>;
  // Returns when all of `batch` was handed to `write`.
  void run(std::span<const PendingCluster> batch, const Write& write) UZ_EXCLUDES(mutex_);

 private:
  struct Chunk {
    // Made when it is needed first: what a small file writes is raw.
    std::unique_ptr<std::byte[]> room;
    std::size_t room_bytes = 0;
    std::vector<PackedCluster> clusters;
    std::span<const PendingCluster> pending;
  };

  PackingTeam(std::vector<ClusterPacker> packers, std::size_t chunk_clusters);

  void serve(ClusterPacker& packer, const Write& write);
  // Returns: nullptr when all of the batch is taken.
  Chunk* take_chunk() UZ_EXCLUDES(mutex_);
  static void pack(ClusterPacker& packer, Chunk& chunk);
  void hand_on(Chunk* chunk, const Write& write) UZ_EXCLUDES(mutex_);
  Chunk* next_to_write(Chunk* written) UZ_EXCLUDES(mutex_);

  // Constant after construction.
  const std::size_t chunk_clusters_;

  std::vector<ClusterPacker> packers_;  // Each one its thread's.
  std::vector<Chunk> chunks_;           // Each one that thread's which took it out of a list.

  Mutex mutex_;
  ConditionVariable chunk_is_free_;
  std::span<const PendingCluster> left_ UZ_GUARDED_BY(mutex_);
  std::size_t share_clusters_ UZ_GUARDED_BY(mutex_) = 1;
  std::vector<Chunk*> free_ UZ_GUARDED_BY(mutex_);
  std::vector<Chunk*> packed_ UZ_GUARDED_BY(mutex_);  // To be written, in this order.
  bool is_writing_ UZ_GUARDED_BY(mutex_) = false;
};

}  // namespace uzram
