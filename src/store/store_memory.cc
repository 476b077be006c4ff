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

Result<void> Store::make_resident(std::uint64_t begin, std::uint64_t end) {
  const std::uint64_t first = begin * sizeof(std::uint64_t) / kPageBytes * kPageBytes;
  const std::uint64_t last = round_up(end * sizeof(std::uint64_t), kPageBytes);
  if (const Result<void> table = arena_->populate(layout_.table_offset + first, last - first);
      !table) {
    return table;
  }
  for (std::uint64_t page = begin; page < end; page += kSlotsPerTablePage) table_.touch({page});
  if (end > begin) table_.touch({end - 1});
  if (!access_seconds_) return {};
  constexpr std::uint64_t kTimesPerPage = kPageBytes / sizeof(std::uint32_t);
  // A write that changes nothing, whoever else writes there.
  for (std::uint64_t page = begin; page < end; page += kTimesPerPage)
    (*access_seconds_)[page].fetch_or(0, std::memory_order_relaxed);
  if (end > begin) (*access_seconds_)[end - 1].fetch_or(0, std::memory_order_relaxed);
  return {};
}

Result<void> Store::set_size(std::uint64_t pages) {
  if (pages > config_.disk_pages) return fail(EFBIG);
  const std::uint64_t former = size_pages();
  if (pages > former && pool_->reserved_pages() != 0) {
    if (const Result<void> ready = make_resident(former, pages); !ready) return ready;
  }
  write_arena_size(*arena_, pages);
  size_pages_.store(pages, std::memory_order_relaxed);
  return {};
}

Result<void> Store::reserve(std::uint64_t pool_pages) {
  if (pool_pages == 0) return pool_->reserve(0);
  // The words of the device's pages; the other regions are written in the background.
  if (const Result<void> ready = make_resident(0, size_pages()); !ready) return ready;
  // Every class may hold a span whose last pages no other class can use: half a span for each, when
  // all are in use.
  const std::uint64_t stranded = std::min(pool_pages / 8, kClassCount * kSpanPages / 2);
  return pool_->reserve(pool_pages + stranded);
}

void Store::maintain(Pace pace) {
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
