// SPDX-License-Identifier: Apache-2.0
// The store's memory: set aside ahead of need, and given back.
//
// Compaction seen from the slots: walk the table once, move what stands in the way
// (pool/pool_compaction.cc).
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "store/store.h"

namespace uzram {

// Returns: false when the pool has no other place.
bool Store::move_object(PageIndex slot) {
  const SlotWord word = table_.hold(slot);
  if (word.state() == SlotState::Cluster) {
    const std::optional<SlotWord> moved = cluster_objects_.move(word);
    table_.release(slot, moved.value_or(word));
    if (moved && moved->handle() != word.handle()) pool_->free(word.handle(), word.head_bytes());
    return moved.has_value();
  }
  const std::size_t bytes = object_bytes(word);
  if (bytes == 0 || !pool_->must_move(word.handle(), bytes)) {
    table_.release(slot, word);
    return true;
  }
  const Result<Handle> place = pool_->allocate(bytes, LimitRule::Exceed);
  if (!place) {
    table_.release(slot, word);
    return false;
  }
  std::memcpy(pool_->at(*place, bytes).data(), pool_->at(word.handle(), bytes).data(), bytes);
  table_.release(slot, word.moved_to(*place));
  pool_->free(word.handle(), bytes);
  return true;
}

bool Store::move_objects(std::uint64_t begin, std::uint64_t end) {
  for (std::uint64_t slot = table_.next_touched(begin, end); slot < end;
       slot = table_.next_touched(slot + 1, end)) {
    const SlotWord word = table_.load({slot});
    // A cluster's pieces can be seen only while it is held.
    if (word.state() != SlotState::Cluster) {
      const std::size_t bytes = object_bytes(word);
      if (bytes == 0 || !pool_->must_move(word.handle(), bytes)) continue;
    }
    if (!move_object({slot})) return false;
  }
  return true;
}

std::uint64_t Store::compact(std::uint64_t keep_pages) {
  MutexLock lock(compaction_mutex_);
  const std::uint64_t before = pool_->resident_pages();
  if (pool_->begin_compaction() > 0) {
    // Clusters last: most of their pieces are whole pages, which never stand in the way.
    static_cast<void>(move_objects(0, regions_.pages_end) &&
                      move_objects(regions_.shared_begin, shared_->end()) &&
                      move_objects(regions_.shared_end, clusters_->end()));
  }
  pool_->end_compaction();
  pool_->trim(keep_pages);
  const std::uint64_t after = pool_->resident_pages();
  const std::uint64_t given = before > after ? before - after : 0;
  pages_compacted_.fetch_add(given, std::memory_order_relaxed);
  return given;
}

void Store::touch_access_times() {
  if (!access_seconds_) return;
  constexpr std::uint64_t kTimesPerPage = kPageBytes / sizeof(std::uint32_t);
  // A write that changes nothing, whoever else writes there.
  for (std::uint64_t page = 0; page < config_.disk_pages; page += kTimesPerPage)
    (*access_seconds_)[page].fetch_or(0, std::memory_order_relaxed);
}

Result<void> Store::reserve(std::uint64_t pool_pages) {
  if (pool_pages == 0) return pool_->reserve(0);
  // The words of the device's pages; the other regions are written in the background.
  const std::uint64_t table_bytes =
      round_up(config_.disk_pages * sizeof(std::uint64_t), kPageBytes);
  if (const Result<void> table = arena_->populate(layout_.table_offset, table_bytes); !table)
    return table;
  for (std::uint64_t page = 0; page < config_.disk_pages; page += kSlotsPerTablePage)
    table_.touch({page});
  touch_access_times();
  if (dedup_ != nullptr) {
    // A write that finds its content makes a shared slot.
    const std::uint64_t shared_bytes =
        (regions_.shared_end - regions_.shared_begin) * sizeof(std::uint64_t);
    const std::uint64_t shared_offset = regions_.shared_begin * sizeof(std::uint64_t);
    const std::uint64_t first = shared_offset / kPageBytes * kPageBytes;
    const Result<void> table = arena_->populate(
        layout_.table_offset + first, round_up(shared_offset + shared_bytes, kPageBytes) - first);
    if (!table) return table;
    for (std::uint64_t slot = regions_.shared_begin; slot < regions_.shared_end;
         slot += kSlotsPerTablePage)
      table_.touch({slot});
  }
  // An eighth more, for what classes hold without using it until it is collected: no less than half
  // of what they can hold when all are in use, no more than that.
  constexpr std::uint64_t kMostHeadroom = kClassCount * kSpanPages / 2;
  const std::uint64_t headroom =
      std::clamp(pool_pages / 8, std::min(pool_pages, kMostHeadroom / 2), kMostHeadroom);
  return pool_->reserve(pool_pages, headroom);
}

bool Store::is_far_above_limit() const {
  const std::uint64_t limit = pool_->limit_pages();
  if (limit == 0) return false;
  const std::uint64_t allowed = std::max(kLeastExcessPages, limit / 512);
  const std::uint64_t used = pool_->resident_pages();
  if (used <= limit + allowed) return false;
  // Far above because the limit was lowered: only waste can go.
  return waste_pages() > least_waste_.load(std::memory_order_relaxed) + allowed;
}

std::uint64_t Store::waste_pages() const {
  const std::uint64_t tight = pool_->tight_pages();
  const std::uint64_t used = pool_->resident_pages();
  return used > tight ? used - tight : 0;
}

bool Store::needs_room() const { return pool_->reserve_is_short() || is_far_above_limit(); }

void Store::make_room() {
  if (is_far_above_limit()) {
    compact();
    least_waste_.store(waste_pages(), std::memory_order_relaxed);
  } else if (least_waste_.load(std::memory_order_relaxed) > waste_pages()) {
    least_waste_.store(0, std::memory_order_relaxed);
  }
  if (!pool_->reserve_is_low()) return;
  pool_->restock(Pool::Grip::Soft);
  if (pool_->reserve_is_low()) compact();
  pool_->restock(Pool::Grip::Soft);
  if (pool_->reserve_is_low()) pool_->restock(Pool::Grip::Hard);
  pool_->note_restocked();
}

void Store::maintain(Pace pace) {
  make_room();
  constexpr std::uint64_t kLeastStockPages = 64;
  // Half as much as a busy store may waste: at rest there is time, and it may last.
  const std::uint64_t most_waste_permille = pace == Pace::Busy ? 20 : 10;
  // What is given back while pages are being replaced has to be fetched again by the next writes,
  // at the price of a page fault each: then more is kept. At rest the rest goes back.
  const std::uint64_t stock_share = pace == Pace::Busy ? 96 : 256;
  const std::uint64_t stock = std::max(kLeastStockPages, pool_->resident_pages() / stock_share);
  const std::uint64_t tight = pool_->tight_pages();
  const std::uint64_t in_use = pool_->resident_pages() - pool_->empty_pages();
  const std::uint64_t waste = in_use > tight ? in_use - tight : 0;
  if (waste > kLeastStockPages && waste * 1000 > tight * most_waste_permille) compact(stock);
  if (pool_->empty_pages() > stock + stock / 2) pool_->trim(stock);
}

}  // namespace uzram
