// SPDX-License-Identifier: Apache-2.0
// store/slot_ids.h: which slots of a region are taken.
//
// What:    hands out the lowest free slot, so that the touched part of the region stays short.
// Threads: every member from any thread.
// Memory:  a bit for each slot up to the highest ever taken; nothing allocates after create.
// Laws:    2: rebuilt from the table after a crash, by adopt.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <optional>

#include "base/mutex.h"
#include "base/sparse_array.h"
#include "base/units.h"

namespace uzram {

class SlotIds {
 public:
  // Slots [begin, end) of the table.
  SlotIds(std::uint64_t begin, std::uint64_t end, SparseArray<std::uint64_t> bits)
      : begin_(begin), count_(end - begin), bits_(std::move(bits)) {}
  static Result<SparseArray<std::uint64_t>> make_bits(std::uint64_t begin, std::uint64_t end) {
    return SparseArray<std::uint64_t>::create((end - begin + 63) / 64);
  }

  // Returns: nullopt when all are taken.
  [[nodiscard]] std::optional<PageIndex> take() {
    MutexLock lock(mutex_);
    for (std::uint64_t word = first_open_word_; word * 64 < count_; ++word) {
      if (~bits_[word] == 0) continue;
      const auto bit = static_cast<std::uint64_t>(std::countr_one(bits_[word]));
      if (word * 64 + bit >= count_) break;
      first_open_word_ = word;
      mark(word * 64 + bit);
      return PageIndex{begin_ + word * 64 + bit};
    }
    return std::nullopt;
  }
  void give(PageIndex slot) {
    MutexLock lock(mutex_);
    const std::uint64_t index = slot.value - begin_;
    bits_[index / 64] &= ~(std::uint64_t{1} << (index % 64));
    first_open_word_ = std::min(first_open_word_, index / 64);
    taken_.fetch_sub(1, std::memory_order_relaxed);
  }
  void adopt(PageIndex slot) {
    MutexLock lock(mutex_);
    mark(slot.value - begin_);
  }

  [[nodiscard]] std::uint64_t taken() const { return taken_.load(std::memory_order_relaxed); }
  // One behind the highest slot that was ever taken.
  [[nodiscard]] std::uint64_t end() const {
    return begin_ + highest_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t begin() const { return begin_; }

 private:
  void mark(std::uint64_t index) UZ_REQUIRES(mutex_) {
    bits_[index / 64] |= std::uint64_t{1} << (index % 64);
    taken_.fetch_add(1, std::memory_order_relaxed);
    if (index >= highest_.load(std::memory_order_relaxed))
      highest_.store(index + 1, std::memory_order_relaxed);
  }

  const std::uint64_t begin_;
  const std::uint64_t count_;
  Mutex mutex_;
  SparseArray<std::uint64_t> bits_ UZ_GUARDED_BY(mutex_);
  std::uint64_t first_open_word_ UZ_GUARDED_BY(mutex_) = 0;
  // Relaxed: counts that publish nothing.
  std::atomic<std::uint64_t> taken_{0};
  std::atomic<std::uint64_t> highest_{0};
};

}  // namespace uzram
