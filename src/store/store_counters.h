// SPDX-License-Identifier: Apache-2.0
// store/store_counters.h: sums over slots, kept as they change.
//
// Threads: replace from any thread; sum from any thread, exact at a quiet moment.
// Laws:    6.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "store/cluster_object.h"
#include "store/lanes.h"
#include "store/slot_word.h"

namespace uzram {

enum class SlotKind { Page, Shared, Cluster };

struct StoreSums {
  std::int64_t stored_pages = 0;
  // compr_data_size: a raw page counts kPageBytes, a same-filled one nothing, shared content and
  // clusters once, what is written back nothing.
  std::int64_t packed_bytes = 0;
  std::int64_t same_pages = 0;
  std::int64_t raw_pages = 0;      // Raw content, however many pages share it.
  std::int64_t shared_pages = 0;   // Pages that say Shared.
  std::int64_t shared_slots = 0;   // Contents that several pages have in common.
  std::int64_t member_pages = 0;   // Pages and shared contents in clusters.
  std::int64_t clusters = 0;       // In the pool or written back.
  std::int64_t written_pages = 0;  // Pages and shared contents written back one by one.
  std::int64_t written_clusters = 0;

  // What one slot adds.
  static StoreSums of(SlotWord word, SlotKind kind) {
    StoreSums sums;
    if (word.is_empty() || word.state() == SlotState::Lost) return sums;
    if (kind == SlotKind::Page) sums.stored_pages = 1;
    if (kind == SlotKind::Shared) sums.shared_slots = 1;
    if (kind == SlotKind::Cluster) sums.clusters = 1;
    switch (word.state()) {
      case SlotState::Same:
      case SlotState::SameStored:
        sums.same_pages = 1;
        break;
      case SlotState::Packed:
        sums.packed_bytes = static_cast<std::int64_t>(word.packed_bytes());
        break;
      case SlotState::Raw:
        sums.packed_bytes = kPageBytes;
        sums.raw_pages = 1;
        break;
      case SlotState::Shared:
        sums.shared_pages = 1;
        break;
      case SlotState::Member:
        sums.member_pages = 1;
        break;
      case SlotState::Cluster:
        sums.packed_bytes = static_cast<std::int64_t>(ClusterShape::of(word).stream_bytes);
        break;
      case SlotState::WrittenBack:
        sums.written_pages = 1;
        break;
      case SlotState::ClusterWrittenBack:
        sums.written_clusters = 1;
        break;
      case SlotState::Empty:
      case SlotState::Lost:
        break;
    }
    return sums;
  }

  static constexpr std::size_t kFieldCount = 10;
  // Every field, in the order above.
  [[nodiscard]] std::array<std::int64_t, kFieldCount> fields() const {
    return {stored_pages, packed_bytes, same_pages, raw_pages,     shared_pages,
            shared_slots, member_pages, clusters,   written_pages, written_clusters};
  }
  static StoreSums from(const std::array<std::int64_t, kFieldCount>& f) {
    return {f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8], f[9]};
  }
  StoreSums& operator+=(const StoreSums& other) {
    std::array<std::int64_t, kFieldCount> sum = fields();
    for (std::size_t i = 0; i < kFieldCount; ++i) sum[i] += other.fields()[i];
    return *this = from(sum);
  }
  friend bool operator==(const StoreSums&, const StoreSums&) = default;
};

class StoreCounters {
 public:
  void replace(SlotWord old_word, SlotWord new_word, SlotKind kind = SlotKind::Page) {
    if (kind == SlotKind::Page && old_word.state() == SlotState::Packed &&
        new_word.state() == SlotState::Packed) {  // What most overwrites are.
      shard().fields[kPackedBytesField].fetch_add(
          static_cast<std::int64_t>(new_word.packed_bytes()) -
              static_cast<std::int64_t>(old_word.packed_bytes()),
          std::memory_order_relaxed);
      return;
    }
    const auto before = StoreSums::of(old_word, kind).fields();
    const auto after = StoreSums::of(new_word, kind).fields();
    Shard& mine = shard();
    for (std::size_t i = 0; i < StoreSums::kFieldCount; ++i) {
      const std::int64_t change = after[i] - before[i];
      if (change != 0) mine.fields[i].fetch_add(change, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] StoreSums sum() const {
    std::array<std::int64_t, StoreSums::kFieldCount> total{};
    for (const Shard& shard : shards_) {
      for (std::size_t i = 0; i < total.size(); ++i)
        total[i] += shard.fields[i].load(std::memory_order_relaxed);
    }
    return StoreSums::from(total);
  }

 private:
  static constexpr std::size_t kShardCount = 8;
  static constexpr std::size_t kPackedBytesField = 1;
  struct alignas(64) Shard {  // Relaxed everywhere: counts that publish nothing.
    std::array<std::atomic<std::int64_t>, StoreSums::kFieldCount> fields{};
  };
  Shard& shard() { return shards_[thread_number() % kShardCount]; }

  std::array<Shard, kShardCount> shards_;
};

}  // namespace uzram
