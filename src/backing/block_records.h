// SPDX-License-Identifier: Apache-2.0
// backing/block_records.h: what must be remembered of each block beside the positions.
//
// What:    a generation of each block, and the check of the object that has the block to itself,
//          in memory of the caller that outlives a crash. Zeros are a valid start.
// Shapes:  two bytes a block, then, from the next page border on, four bytes a block; the latter
//          are touched for blocks of whole objects only.
// Threads: atomics. Relaxed: a record is written before the position that needs it is published,
//          and that publication orders it.
// Laws:    2.
#pragma once

#include <atomic>

#include "backing/object_place.h"
#include "base/check.h"

namespace uzram {

class BlockRecords {
 public:
  using Generation = std::uint16_t;

  static constexpr std::uint64_t bytes_for(std::uint64_t block_count) {
    return checks_offset(used_blocks(block_count)) +
           round_up(used_blocks(block_count) * sizeof(std::uint32_t), kPageBytes);
  }
  BlockRecords(MutableBytes memory, std::uint64_t block_count)
      : generations_(reinterpret_cast<std::atomic<Generation>*>(memory.data())),
        checks_(reinterpret_cast<std::atomic<std::uint32_t>*>(
            memory.data() + checks_offset(used_blocks(block_count)))) {
    UZ_CHECK(memory.size() >= bytes_for(block_count));
    UZ_CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % kPageBytes == 0);
  }

  [[nodiscard]] Generation generation(std::uint64_t block) const {
    return generations_[block].load(std::memory_order_relaxed);
  }
  void raise_generation(std::uint64_t block) const {
    generations_[block].fetch_add(1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t check(std::uint64_t block) const {
    return checks_[block].load(std::memory_order_relaxed);
  }
  void set_check(std::uint64_t block, std::uint32_t check) const {
    checks_[block].store(check, std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint64_t used_blocks(std::uint64_t block_count) {
    return block_count < kMaxBackingBlocks ? block_count : kMaxBackingBlocks;
  }
  static constexpr std::uint64_t checks_offset(std::uint64_t block_count) {
    return round_up(block_count * sizeof(Generation), kPageBytes);
  }
  static_assert(std::atomic<Generation>::is_always_lock_free &&
                sizeof(std::atomic<Generation>) == sizeof(Generation));
  static_assert(std::atomic<std::uint32_t>::is_always_lock_free &&
                sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));

  std::atomic<Generation>* generations_;
  std::atomic<std::uint32_t>* checks_;
};

}  // namespace uzram
