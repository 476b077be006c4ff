// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_file.h: one file whose content is kept as f2fs clusters, on any file system.
//
// What:    read and write anywhere, append, truncate, punch, sync. Changes are gathered in memory
//          and packed when the buffers are full or at a sync, by several threads. Not here: the
//          bytes' layout (docs/format.md), the file itself (cluster_storage.h).
// Units:   offsets and sizes in bytes of the content.
// Errors:  open -> EBADMSG: no cluster file, or its roots are damaged; EPROTONOSUPPORT: a newer
//          version. Reads -> EBADMSG: that cluster is damaged; the others read. Changes -> EBADF:
//          opened for reading; EFBIG; ENOSPC and others of the storage: what was there before is
//          still there, in memory and in the file. A sync that the storage fails ends writing: EIO
//          from then on; reads go on, and the next one who opens the file sees the last whole sync.
// Threads: any, at once. Reads of unpacked clusters in memory wait for nobody. Every other call
//          happens as a whole, one after the other, and may block for as long as others read, pack
//          and sync; a read beside a change may see a part of it. What visit_clusters and verify
//          call must not use the file. Packing uses as many threads as the limits say, which end
//          with each call.
// Owns:    its storage. What was not synced when it is destroyed is lost.
// Laws:    3: nothing that the last synced root reaches is written over.
// Proof:   cluster_file_test.cc, cluster_file_crash_test.cc (a crash at every write, with any part
//          of what was not synced), cluster_file_model_test.cc, cluster_file_thread_test.cc,
//          cluster_file_fuzz.cc.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <unordered_set>
#include <vector>

#include "base/mutex.h"
#include "cluster/cluster_buffers.h"
#include "cluster/cluster_map.h"
#include "cluster/cluster_packer.h"
#include "cluster/free_blocks.h"
#include "cluster/packing_team.h"

namespace uzram {

struct ClusterFileLimits {
  // Of unpacked clusters. Map blocks that have not changed may take a quarter of it, or 256 KiB;
  // begin_cluster_reads goes beyond that.
  std::size_t cache_bytes = std::size_t{8} << 20;
  unsigned thread_count = 1;
};

struct ClusterFileTotals {
  std::uint64_t packed_clusters = 0;
  std::uint64_t raw_clusters = 0;
  std::uint64_t content_blocks = 0;  // What those clusters would take raw.
  std::uint64_t stored_blocks = 0;   // What they take.
  std::uint64_t map_blocks = 0;
};

class ClusterFile {
 public:
  // Makes an empty one. Requires: the storage is empty.
  [[nodiscard]] static Result<std::unique_ptr<ClusterFile>> create(
      std::unique_ptr<ClusterStorage> storage, const ClusterOptions& options,
      const ClusterFileLimits& limits);
  [[nodiscard]] static Result<std::unique_ptr<ClusterFile>> open(
      std::unique_ptr<ClusterStorage> storage, StorageMode mode, const ClusterFileLimits& limits);

  [[nodiscard]] std::uint64_t size_bytes() const {
    return size_bytes_.load(std::memory_order_acquire);
  }
  [[nodiscard]] const ClusterOptions& options() const { return options_; }
  [[nodiscard]] std::uint64_t cluster_count() const;
  [[nodiscard]] bool is_writable() const { return is_writable_; }
  [[nodiscard]] bool is_reserved() const;

  // Returns: where the next content begins that is no hole, at or behind `offset`; the size when
  // there is none.
  [[nodiscard]] Result<std::uint64_t> next_data(std::uint64_t offset);
  // Returns: how many bytes there were, less than asked for at the end only.
  [[nodiscard]] Result<std::size_t> read(std::uint64_t offset, MutableBytes out);
  // A whole cluster, with zeros behind the end of the content. Allocates nothing between
  // begin_cluster_reads of it and the end. Requires: `out` has the cluster's size.
  [[nodiscard]] Result<void> read_cluster(std::uint64_t cluster, MutableBytes out);
  // Reads the map of these clusters, keeps all of it that was read until the end, and makes what
  // unpacking needs. What is damaged, or cannot be read, is left to who reads it.
  void begin_cluster_reads(std::uint64_t first, std::uint64_t count);
  // Requires: one for each begin.
  void end_cluster_reads();
  // What is between the end and `offset` becomes zeros. After an error, parts of it may be there.
  // Long writes are packed and written at once, from where they are.
  [[nodiscard]] Result<void> write(std::uint64_t offset, ConstBytes bytes);
  [[nodiscard]] Result<void> truncate(std::uint64_t size_bytes);
  // Zeros, for which nothing is stored where they fill clusters. The size stays.
  [[nodiscard]] Result<void> punch(std::uint64_t offset, std::uint64_t bytes);
  // All changes so far are safe when this succeeds.
  [[nodiscard]] Result<void> sync();

  // Sets aside the space that the content takes unpacked beside what is there, so that no change of
  // what there is between two syncs runs out of it; or gives that back (the state of a new file).
  // Both sync.
  [[nodiscard]] Result<void> reserve();
  [[nodiscard]] Result<void> release();

  using VisitCluster = std::function<void(std::uint64_t cluster, const MapEntry& entry)>;
  // Every cluster that is stored, as of the last sync or flush, in order.
  [[nodiscard]] Result<void> visit_clusters(const VisitCluster& visit);
  [[nodiscard]] Result<ClusterFileTotals> totals();
  // Reads and unpacks everything; tells `fault` the first cluster and how many are lost with it.
  // Returns: how many faults there were.
  using Fault = std::function<void(std::uint64_t cluster, std::uint64_t cluster_count)>;
  [[nodiscard]] Result<std::uint64_t> verify(const Fault& fault,
                                             const std::function<void(std::uint64_t)>& advance);

  // Writes what has changed, without a sync.
  [[nodiscard]] Result<void> flush();

  // Ends the program when what it keeps in memory contradicts itself. For tests; after a sync.
  void check_invariants();

 private:
  struct Run {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
  };
  ClusterFile(std::unique_ptr<ClusterStorage> storage, const ClusterFileRoot& root,
              bool is_writable, const ClusterFileLimits& limits);

  Result<void> make_unpacker() UZ_EXCLUDES(mutex_);
  std::optional<std::size_t> read_buffered(std::uint64_t offset, MutableBytes out);
  Result<void> begin_change() UZ_REQUIRES(mutex_);
  Result<void> take_used_blocks() UZ_REQUIRES(mutex_);
  Result<ClusterBuffer*> buffer(std::uint64_t cluster, std::size_t wanted_bytes)
      UZ_REQUIRES(mutex_);
  Result<void> read_in_cluster(std::uint64_t cluster, std::size_t begin, MutableBytes out,
                               std::size_t wanted_bytes) UZ_REQUIRES(mutex_);
  Result<void> read_whole(std::uint64_t cluster, MutableBytes out) UZ_REQUIRES(mutex_);
  Result<std::size_t> load(std::uint64_t cluster, const MapEntry& entry, MutableBytes content,
                           std::size_t wanted_bytes) UZ_REQUIRES(mutex_);
  Result<ClusterFileTotals> count_clusters() UZ_REQUIRES(mutex_);
  [[nodiscard]] std::size_t batch_count() const;
  void trim_map() UZ_REQUIRES(mutex_);
  Result<void> write_changed() UZ_REQUIRES(mutex_);
  // Packs and writes; says which are done, in any order. Others may be done when one fails.
  using Published = std::function<void(const PendingCluster& done)>;
  Result<void> write_clusters(std::span<const PendingCluster> batch, const Published& published)
      UZ_REQUIRES(mutex_);
  Result<void> write_chunk(std::span<PackedCluster> chunk, const Published& published)
      UZ_REQUIRES(mutex_);
  Result<void> publish(std::span<const PackedCluster> run, const Published& published)
      UZ_REQUIRES(mutex_);
  Result<std::size_t> write_whole(std::uint64_t offset, ConstBytes bytes) UZ_REQUIRES(mutex_);
  Result<std::size_t> write_in_cluster(std::uint64_t offset, ConstBytes bytes) UZ_REQUIRES(mutex_);
  Result<void> clear_part(std::uint64_t cluster, std::size_t begin, std::size_t bytes)
      UZ_REQUIRES(mutex_);
  Result<void> punch_cluster(std::uint64_t cluster) UZ_REQUIRES(mutex_);
  void drop(const MapEntry& entry) UZ_REQUIRES(mutex_);
  Result<void> make_safe() UZ_REQUIRES(mutex_);
  Result<void> write_root() UZ_REQUIRES(mutex_);
  void give_space_back() UZ_REQUIRES(mutex_);
  void give_all_free_back() UZ_REQUIRES(mutex_);
  Result<void> top_up_reserve() UZ_REQUIRES(mutex_);

  [[nodiscard]] std::size_t cluster_bytes() const { return options_.cluster_bytes(); }
  void grow_to(std::uint64_t size_bytes) UZ_REQUIRES(mutex_);
  // How many bytes of the content a cluster has.
  [[nodiscard]] std::size_t used_bytes(std::uint64_t cluster) const;

  // Constant after construction.
  const std::unique_ptr<ClusterStorage> storage_;
  const bool is_writable_;
  const ClusterFileLimits limits_;
  const ClusterOptions options_;

  // Synchronize themselves: what reads without mutex_ uses.
  ClusterBuffers buffers_;  // Its owner is who holds mutex_.
  // Changes with mutex_ held, to more after the content is there: release and acquire.
  std::atomic<std::uint64_t> size_bytes_;
  std::atomic<std::uint64_t> read_end_ = 0;  // Where the last read ended. Only a hint: relaxed.

  mutable Mutex mutex_;
  // Guarded by mutex_.
  ClusterFileRoot root_ UZ_GUARDED_BY(mutex_);  // The newest one in the storage.
  ClusterMap map_ UZ_GUARDED_BY(mutex_);
  std::size_t cluster_reader_count_ UZ_GUARDED_BY(mutex_) = 0;  // Who need the map as it is.
  std::optional<ClusterUnpacker> unpacker_ UZ_GUARDED_BY(mutex_);
  // Blocks that were read to be unpacked.
  std::vector<std::byte> stored_ UZ_GUARDED_BY(mutex_);

  // Of who writes.
  bool is_broken_ UZ_GUARDED_BY(mutex_) = false;
  std::optional<FreeBlocks> free_ UZ_GUARDED_BY(mutex_);
  std::vector<Run> dropped_ UZ_GUARDED_BY(mutex_);  // Free once the next root is safe.
  // Free already; their space may still be taken.
  std::vector<Run> given_back_ UZ_GUARDED_BY(mutex_);
  // First blocks of runs that no root in the storage has.
  std::unordered_set<std::uint64_t> fresh_ UZ_GUARDED_BY(mutex_);
  std::unique_ptr<PackingTeam> team_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
