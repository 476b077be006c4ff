// SPDX-License-Identifier: Apache-2.0
// store/dedup_index.h: where content like this may be stored already.
//
// What:    from a hash of a page's content to slots that may hold the same. A hint: what it finds
//          is compared byte for byte by the store, what it misses is stored twice. Not here:
//          sharing (store_dedup.cc).
// Shapes:  buckets of eight 8-byte entries, a cache line; every content has two buckets to be in.
//          They grow one by one with the entries (linear hashing), so a large empty device costs
//          nothing.
// Units:   with kMostLoad and a 4-byte tag for each slot, at most 16 bytes a unique page.
// Threads: every member from any thread: entries are single words. An entry that is being moved to
//          a new bucket may be missed. Only growing takes a lock, and only who finds no room waits
//          for it; it is held for as long as buckets are added, and nothing is waited for with it.
// Memory:  sparse; nothing allocates after create.
// Laws:    2: rebuilt from slots after a crash.
// Proof:   dedup_index_test.cc.
// Source:  W. Litwin, Linear hashing (1980); two choices as in Azar et al. (1994), and moving an
//          entry to its other bucket as in cuckoo hashing (Pagh and Rodler, 2001), one step far.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "base/sparse_array.h"
#include "base/units.h"

namespace uzram {

// What is kept of a content's hash. Never 0 for a page that has one.
struct ContentTag {
  static constexpr int kBits = 30;
  std::uint32_t value = 0;
  static constexpr ContentTag of(std::uint64_t hash) {
    const auto top = static_cast<std::uint32_t>(hash >> (64 - kBits));
    return {top == 0 ? 1 : top};
  }
  friend bool operator==(const ContentTag&, const ContentTag&) = default;
};

// How often writes have found their content lately: a moving average, a hint.
class DuplicateOdds {
 public:
  // Whether a look at the index is worth waiting for, as it saves packing a page: break-even is
  // near one write in 30 with lz4.
  [[nodiscard]] bool are_good() const { return share_.load(std::memory_order_relaxed) > kAll / 32; }
  // Threads may lose each other's notes.
  void note(bool was_found) {
    const std::uint32_t share = share_.load(std::memory_order_relaxed);
    const std::uint32_t next = share - share / kMemory + (was_found ? kAll / kMemory : 0);
    if (next != share) share_.store(next, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint32_t kAll = 1U << 20;
  static constexpr std::uint32_t kMemory = 128;  // Writes.
  std::atomic<std::uint32_t> share_{kAll / 8};
};

class DedupIndex {
 public:
  static constexpr std::size_t kBucketEntries = 8;
  static constexpr std::size_t kCandidates = 4;

  // For slots [0, slot_count).
  static Result<std::unique_ptr<DedupIndex>> create(std::uint64_t slot_count,
                                                    std::uint64_t most_contents);

  // Asks for the lines that find will look at.
  void prefetch(ContentTag tag) const {
    for (const std::uint64_t home : homes(tag, bucket_count_.load(std::memory_order_relaxed)))
      __builtin_prefetch(&buckets_[home]);
  }
  struct Candidates {
    std::array<PageIndex, kCandidates> slots;
    std::size_t count = 0;
  };
  [[nodiscard]] Candidates find(ContentTag tag) const;

  // Says that the slot holds such content now, and forgets what it held before.
  void set(PageIndex slot, ContentTag tag);
  // Says that the slot holds nothing that others could share.
  void clear(PageIndex slot);
  [[nodiscard]] ContentTag tag_of(PageIndex slot) const {
    return {tags_[slot.value].load(std::memory_order_relaxed)};
  }
  // The content of `from` is that of `to` now.
  void move(PageIndex from, PageIndex to);

  [[nodiscard]] std::uint64_t entries() const {
    return entry_count_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t bucket_bytes() const {
    return bucket_count_.load(std::memory_order_relaxed) * sizeof(Bucket);
  }

 private:
  struct alignas(64) Bucket {
    // slot + 1 in the low 34 bits, tag above; 0: free.
    std::array<std::atomic<std::uint64_t>, kBucketEntries> entries;
  };
  static_assert(sizeof(Bucket) == 64);
  static constexpr int kSlotBits = 34;
  static constexpr std::uint64_t kFirstBuckets = 64;
  // In hundredths. More entries than this grow the table.
  static constexpr std::uint64_t kMostLoad = 72;

  DedupIndex(SparseArray<Bucket> buckets, SparseArray<std::atomic<std::uint32_t>> tags)
      : buckets_(std::move(buckets)), tags_(std::move(tags)) {}
  static std::uint64_t entry_of(PageIndex slot, ContentTag tag) {
    return static_cast<std::uint64_t>(tag.value) << kSlotBits | (slot.value + 1);
  }
  static ContentTag tag_in(std::uint64_t entry) {
    return {static_cast<std::uint32_t>(entry >> kSlotBits)};
  }
  static PageIndex slot_in(std::uint64_t entry) {
    return {(entry & ((std::uint64_t{1} << kSlotBits) - 1)) - 1};
  }
  // The two buckets of a content, when there are so many.
  static std::array<std::uint64_t, 2> homes(ContentTag tag, std::uint64_t bucket_count) {
    const std::uint32_t first = tag.value * 0x9e3779b1U;
    const std::uint32_t second = (tag.value ^ 0x2545f491U) * 0x85ebca6bU;
    return {address(first ^ first >> 15, bucket_count),
            address(second ^ second >> 13, bucket_count)};
  }
  // Linear hashing: buckets [0, count) with count between two powers of two.
  static std::uint64_t address(std::uint32_t hash, std::uint64_t count) {
    const std::uint64_t top = std::bit_ceil(count);
    const std::uint64_t place = hash & (top - 1);
    return place < count ? place : place - top / 2;
  }
  // Returns: how many entries there are more.
  int insert(std::uint64_t entry) UZ_EXCLUDES(growth_mutex_);
  bool try_insert(std::uint64_t entry);
  bool try_put(std::uint64_t bucket, std::uint64_t entry);
  bool try_displace(std::uint64_t bucket, std::uint64_t entry);
  // Returns: whether the bucket held it.
  bool take_out(std::uint64_t bucket, std::uint64_t entry);
  // Returns: how many entries there are less.
  int remove(std::uint64_t entry);
  void grow() UZ_EXCLUDES(growth_mutex_);
  [[nodiscard]] bool needs_buckets() const;
  void add_bucket() UZ_REQUIRES(growth_mutex_);

  SparseArray<Bucket> buckets_;
  SparseArray<std::atomic<std::uint32_t>> tags_;
  // Relaxed: entries are hints, and whoever misses one loses nothing but memory.
  std::atomic<std::uint64_t> bucket_count_{kFirstBuckets};
  std::atomic<std::uint64_t> entry_count_{0};
  Mutex growth_mutex_;
};

}  // namespace uzram
