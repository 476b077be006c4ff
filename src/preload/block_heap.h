// SPDX-License-Identifier: Apache-2.0
// preload/block_heap.h: heap blocks in paged memory, with everything about them outside it.
//
// What:    BlockHeap: malloc's promises for blocks from kLeastBlockBytes up. Small blocks lie in
//          spans of one granule and one size class; large ones are runs of granules, which can grow
//          where they are. Not here: which blocks of a program come here (interpose/).
// Shapes:  classes of (4..7) << n bytes, 256 to 128 KiB; a block is aligned to 64 bytes at least.
// Owns:    a record a granule, outside paged memory. Freeing touches no paged memory.
// Errors:  allocate -> null. Programmer errors (free of what is no block) end the process.
// Threads: every member from any thread.
// Proof:   block_heap_test.cc, which holds it against a map.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "preload/paged_space.h"

namespace uzram {

class BlockHeap {
 public:
  static constexpr std::uint64_t kLeastBlockBytes = 256;
  static constexpr std::uint64_t kMostSpanBlockBytes = std::uint64_t{128} << 10;
  static constexpr unsigned kClassCount = 37;

  // `space` must outlive the heap.
  static Result<std::unique_ptr<BlockHeap>> create(PagedSpace& space);

  struct Block {
    std::byte* start = nullptr;
    bool is_zero = false;  // Known to read as zeros.
  };
  // Requires: alignment is a power of two.
  [[nodiscard]] Block allocate(std::uint64_t bytes, std::uint64_t alignment);
  // Requires: the start of a block.
  void free(std::byte* start);
  [[nodiscard]] std::uint64_t usable_bytes(const std::byte* start) const;
  // Whether the block now has room for `bytes`, in place, and is not much larger.
  [[nodiscard]] bool try_resize(std::byte* start, std::uint64_t bytes);
  // Whether a granule belongs to the heap.
  [[nodiscard]] bool owns(const void* address) const;

  // Bytes of blocks that are not free.
  [[nodiscard]] std::uint64_t block_bytes() const {
    return block_bytes_.load(std::memory_order_relaxed);
  }
  // Aborts when records contradict each other. No other thread may use the heap meanwhile.
  void check_invariants() const;

  void lock_for_fork() UZ_ACQUIRE(mutex_) { mutex_.lock(); }
  void unlock_after_fork() UZ_RELEASE(mutex_) { mutex_.unlock(); }

  // For tests: the size of the class that has room for `bytes`.
  [[nodiscard]] static std::uint64_t class_bytes_for(std::uint64_t bytes) {
    return bytes_of_class(class_for(bytes));
  }

 private:
  enum class Kind : std::uint8_t { None, Span, Head };
  static constexpr std::uint32_t kNoGranule = ~std::uint32_t{0};
  static constexpr unsigned kBitmapWords = PagedSpace::kGranuleBytes / kLeastBlockBytes / 64;
  // What is known of a granule. All zeros: not of the heap, or inside a large block.
  struct Granule {
    Kind kind;
    std::uint8_t size_class;   // Span.
    std::uint16_t used_count;  // Span: blocks in use.
    std::uint32_t next;        // Span: others of its class with room, as granule + 1; 0: none.
    std::uint32_t previous;
    std::uint64_t bytes;                            // Head: what was asked for.
    std::array<std::uint64_t, kBitmapWords> taken;  // Span: a bit a block.
  };

  BlockHeap(PagedSpace& space, SparseArray<Granule> granules)
      : space_(space), granules_(std::move(granules)) {}
  [[nodiscard]] static unsigned class_for(std::uint64_t bytes);
  [[nodiscard]] static std::uint64_t bytes_of_class(unsigned size_class);
  [[nodiscard]] static std::uint64_t granules_of(std::uint64_t bytes) {
    return round_up(bytes, PagedSpace::kGranuleBytes) / PagedSpace::kGranuleBytes;
  }
  Block allocate_large(std::uint64_t bytes, std::uint64_t alignment);
  std::uint32_t new_span(unsigned size_class) UZ_REQUIRES(mutex_);
  void link(std::uint32_t granule) UZ_REQUIRES(mutex_);
  void unlink(std::uint32_t granule) UZ_REQUIRES(mutex_);
  bool resize_large(std::uint64_t granule, std::uint64_t bytes);
  void free_in_span(std::uint32_t granule, const std::byte* start);

  PagedSpace& space_;
  std::atomic<std::uint64_t> block_bytes_{0};  // Relaxed: a count.
  Mutex mutex_;
  // Guarded by mutex_; a block's owner may read what is its own without it.
  SparseArray<Granule> granules_;
  std::array<std::uint32_t, kClassCount> with_room_ UZ_GUARDED_BY(mutex_){};  // As Granule::next.
};

}  // namespace uzram
