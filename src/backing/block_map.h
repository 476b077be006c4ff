// SPDX-License-Identifier: Apache-2.0
// backing/block_map.h: which blocks are in use, and how much of each is live.
//
// What:    hands out runs of blocks that lie next to each other, counts the live steps (16 bytes)
//          of each block, and frees a block when the last of them dies. A block is free, taken (a
//          run that is being filled, written or discarded), or in use with live steps.
// Shapes:  two bytes and three bits a block, in sparse private memory: a store of 1 TiB that
//          holds nothing costs nothing.
// Errors:  take_run -> nullopt when no free run is long enough.
// Threads: every member from any thread unless said otherwise.
// Laws:    6.
// Proof:   block_map_test.cc, backing_model_test.cc.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <span>

#include "backing/object_place.h"
#include "base/mutex.h"
#include "base/sparse_array.h"

namespace uzram {

class BlockMap {
 public:
  // Errors: ENOMEM.
  static Result<std::unique_ptr<BlockMap>> create(std::uint64_t block_count);

  [[nodiscard]] std::uint64_t block_count() const { return block_count_; }

  // Takes `least` to `most` free blocks in a row, from behind the last ones taken; a run of `most`
  // is preferred to a nearer shorter one. Requires: 1 <= least <= most <= kRunBlocks.
  [[nodiscard]] std::optional<BlockRange> take_run(std::uint64_t least, std::uint64_t most)
      UZ_EXCLUDES(mutex_);
  // Taken blocks become free again.
  void give_back(BlockRange range) UZ_EXCLUDES(mutex_);
  // Taken blocks come into use. Requires: a count for each, none 0, as add_live counts them.
  void set_live(BlockRange range, std::span<const std::uint16_t> live_steps);
  // An object died: its blocks have fewer live steps, those without any are free.
  void remove_live(BackingPosition position, std::size_t object_bytes) UZ_EXCLUDES(mutex_);
  [[nodiscard]] std::uint64_t live_steps(std::uint64_t block) const {
    return live_steps_[block].load(std::memory_order_relaxed);
  }

  // Recovery, by one thread and before all else: an object lives here. Returns: false when another
  // adopted one does.
  [[nodiscard]] bool try_adopt(BackingPosition position, std::size_t object_bytes)
      UZ_EXCLUDES(mutex_);
  void finish_adoption() { claimed_steps_.reset(); }

  // Takes the next `least` to `most` free blocks in a row that have been taken since they were last
  // handed out by this function. Returns: nullopt when there are none up to the end of the store;
  // the next call starts at its beginning.
  [[nodiscard]] std::optional<BlockRange> take_freed_run(std::uint64_t least, std::uint64_t most)
      UZ_EXCLUDES(mutex_);

  [[nodiscard]] std::uint64_t blocks_in_use() const {
    return blocks_in_use_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t total_live_steps() const {
    return total_live_steps_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t memory_bytes() const UZ_EXCLUDES(mutex_);
  void check_invariants() const UZ_EXCLUDES(mutex_);

 private:
  // Having seen so many blocks, take_run is content with what it has found.
  static constexpr std::uint64_t kPatienceBlocks = 256 * 1024;
  using Bits = SparseArray<std::uint64_t>;
  // Looks through free runs for one of `most` blocks.
  struct Search {
    std::uint64_t least;
    std::uint64_t most;
    std::uint64_t seen_blocks = 0;
    BlockRange best;
    [[nodiscard]] bool is_over() const {
      return best.count == most || (best.count >= least && seen_blocks >= kPatienceBlocks);
    }
  };

  BlockMap(std::uint64_t block_count, SparseArray<std::atomic<std::uint16_t>> live_steps, Bits used,
           Bits touched);
  void mark_used(BlockRange range) UZ_REQUIRES(mutex_);
  void mark_free(BlockRange range) UZ_REQUIRES(mutex_);
  // Looks at the blocks from `first` to `end`.
  void look_for_run(Search& search, std::uint64_t first, std::uint64_t end) const
      UZ_REQUIRES(mutex_);
  [[nodiscard]] bool try_claim(BackingPosition position, std::size_t object_bytes);

  // constant after construction
  const std::uint64_t block_count_;

  // synchronizes itself; relaxed: a block's steps reach 0 once, and mutex_ orders what follows.
  const SparseArray<std::atomic<std::uint16_t>> live_steps_;
  std::atomic<std::uint64_t> total_live_steps_{0};
  std::atomic<std::uint64_t> blocks_in_use_{0};  // Changed with mutex_ held.

  // recovery only: a bit for each step of each block, at the first adopt
  std::optional<Bits> claimed_steps_;

  // guarded by mutex_
  mutable Mutex mutex_;
  const Bits used_ UZ_GUARDED_BY(mutex_);     // A bit a block: not free.
  const Bits touched_ UZ_GUARDED_BY(mutex_);  // A bit a block: taken since it was last discarded.
  std::uint64_t cursor_ UZ_GUARDED_BY(mutex_) = 0;
  std::uint64_t discard_cursor_ UZ_GUARDED_BY(mutex_) = 0;
  std::uint64_t touched_end_ UZ_GUARDED_BY(mutex_) = 0;  // Blocks from here on were never taken.
  // No free run is as long as this; known from the last search that failed.
  std::uint64_t hopeless_count_ UZ_GUARDED_BY(mutex_) = ~std::uint64_t{0};
};

}  // namespace uzram
