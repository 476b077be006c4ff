// SPDX-License-Identifier: Apache-2.0
// store/store_counters.h: sums over slots, kept as pages change.
//
// Threads: add from any thread; sum from any thread, exact at a quiet moment.
// Laws:    6.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "store/lanes.h"
#include "store/slot_word.h"

namespace uzram {

struct StoreSums {
  std::int64_t stored_pages = 0;
  std::int64_t packed_bytes =
      0;  // compr_data_size: a raw page counts kPageBytes, a same-filled one nothing.
  std::int64_t same_pages = 0;
  std::int64_t raw_pages = 0;

  // What one slot adds.
  static StoreSums of(SlotWord word) {
    switch (word.state()) {
      case SlotState::Same:
      case SlotState::SameStored:
        return {1, 0, 1, 0};
      case SlotState::Packed:
        return {1, static_cast<std::int64_t>(word.packed_bytes()), 0, 0};
      case SlotState::Raw:
        return {1, kPageBytes, 0, 1};
      case SlotState::Empty:
      case SlotState::Lost:
        break;
    }
    return {};
  }
  StoreSums& operator+=(const StoreSums& other) {
    stored_pages += other.stored_pages;
    packed_bytes += other.packed_bytes;
    same_pages += other.same_pages;
    raw_pages += other.raw_pages;
    return *this;
  }
  friend bool operator==(const StoreSums&, const StoreSums&) = default;
};

class StoreCounters {
 public:
  void replace(SlotWord old_word, SlotWord new_word) {
    const StoreSums before = StoreSums::of(old_word);
    const StoreSums after = StoreSums::of(new_word);
    Shard& shard = shards_[thread_number() % kShardCount];
    add(shard.stored_pages, after.stored_pages - before.stored_pages);
    add(shard.packed_bytes, after.packed_bytes - before.packed_bytes);
    add(shard.same_pages, after.same_pages - before.same_pages);
    add(shard.raw_pages, after.raw_pages - before.raw_pages);
  }
  [[nodiscard]] StoreSums sum() const {
    StoreSums total;
    for (const Shard& shard : shards_) {
      total += {shard.stored_pages.load(std::memory_order_relaxed),
                shard.packed_bytes.load(std::memory_order_relaxed),
                shard.same_pages.load(std::memory_order_relaxed),
                shard.raw_pages.load(std::memory_order_relaxed)};
    }
    return total;
  }

 private:
  static constexpr std::size_t kShardCount = 8;
  struct alignas(64) Shard {  // Relaxed everywhere: counts that publish nothing.
    std::atomic<std::int64_t> stored_pages{0};
    std::atomic<std::int64_t> packed_bytes{0};
    std::atomic<std::int64_t> same_pages{0};
    std::atomic<std::int64_t> raw_pages{0};
  };
  static void add(std::atomic<std::int64_t>& counter, std::int64_t change) {
    if (change != 0) counter.fetch_add(change, std::memory_order_relaxed);
  }
  std::array<Shard, kShardCount> shards_;
};

}  // namespace uzram
