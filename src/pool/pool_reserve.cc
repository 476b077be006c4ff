// SPDX-License-Identifier: Apache-2.0
// Pages that are resident ahead of need, for objects of any class.
//
// A page belongs to its span, and a span to one class: what a class has taken and does not use is
// of no use to the others. So whole spans are kept in stock. When the stock runs low, compaction
// empties spans, and restocking gives pages back at the ends of spans and touches as many in spans
// for the stock: the arena does not grow, and allocate finds every page resident.
#include <algorithm>
#include <bit>

#include "base/check.h"
#include "pool/pool.h"

namespace uzram {
namespace {

// What a hard grip leaves behind the last object of a span.
constexpr std::uint64_t kPagesForNextObjects = 4;

std::uint64_t first_pages(std::uint64_t count) {
  return count >= kSpanPages ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
}

}  // namespace

Result<void> Pool::reserve(std::uint64_t pages, std::uint64_t headroom) {
  MutexLock lock(reserve_mutex_);
  if (pages == 0) {
    release_reserve();
    return {};
  }
  // What is stored already has room beside it, which the next allocations will take.
  bool has_memory = true;
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; has_memory && index < count; ++index) {
    has_memory = try_reserve_used_span(index);
  }
  while (has_memory && reserved_pages() < pages + headroom) has_memory = try_reserve_free_span();
  if (!has_memory) {
    release_reserve();
    trim(0);
    return fail(ENOMEM);
  }
  headroom_pages_.store(headroom, std::memory_order_relaxed);
  promised_pages_.store(resident_pages() + pages, std::memory_order_relaxed);
  least_stranded_.store(0, std::memory_order_relaxed);
  return {};
}

bool Pool::try_reserve_used_span(std::uint32_t index) {
  Span& span = spans_[index];
  const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
  if (class_index == 0) return true;
  MutexLock lock(classes_[class_index].mutex);
  if (span.class_index.load(std::memory_order_relaxed) != class_index) return true;
  if (span.is_reserved) return true;
  const bool populated = populate_span(index);
  note_populated(span, populated);
  return populated;
}

bool Pool::try_reserve_free_span() {
  const std::uint32_t index = take_free_span(0, Growth::Yes);
  if (index == kNoSpan) return false;
  // Neither listed nor of a class: nobody else looks further than that.
  const bool populated = populate_span(index);
  MutexLock lock(free_mutex_);
  note_populated(spans_[index], populated);
  list_free_span(index);
  return populated;
}

bool Pool::populate_span(std::uint32_t index) const {
  return arena_.populate(arena_offset_ + index * kSpanBytes, kSpanBytes).has_value();
}

void Pool::note_populated(Span& span, bool populated) {
  const std::uint64_t dead = count_pages(~span.live_pages);
  const std::uint64_t had = count_pages(span.resident_pages & ~span.live_pages);
  if (span.is_reserved) {
    reserved_pages_.fetch_sub(had, std::memory_order_relaxed);
  } else {
    resident_pages_.fetch_sub(had, std::memory_order_relaxed);
    empty_pages_.fetch_sub(had, std::memory_order_relaxed);
  }
  // After a failure some pages are there and some are not: as empty pages they all are given back.
  span.resident_pages = ~std::uint64_t{0};
  span.is_reserved = populated;
  if (populated) {
    reserved_pages_.fetch_add(dead, std::memory_order_relaxed);
  } else {
    resident_pages_.fetch_add(dead, std::memory_order_relaxed);
    empty_pages_.fetch_add(dead, std::memory_order_relaxed);
  }
}

void Pool::release_reserve() {
  promised_pages_.store(0, std::memory_order_relaxed);
  headroom_pages_.store(0, std::memory_order_relaxed);
  spare_pages_.store(0, std::memory_order_relaxed);
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    while (!try_release_span(index)) {
    }
  }
  {
    MutexLock lock(free_mutex_);
    std::uint32_t index = reserved_list_;
    reserved_list_ = kNoSpan;
    stock_spans_.store(0, std::memory_order_relaxed);
    while (index != kNoSpan) {
      const std::uint32_t next = spans_[index].next;
      list_free_span(index);
      index = next;
    }
  }
  end_compaction();  // Places that were squeezed out may be used again.
  // Pages that the kernel did not take back count as resident from now on.
  raise_resident_pages_max(resident_pages());
}

// Returns: false when the span has changed hands meanwhile.
bool Pool::try_release_span(std::uint32_t index) {
  Span& span = spans_[index];
  const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
  MutexLock lock(mutex_of(class_index));
  if (span.class_index.load(std::memory_order_relaxed) != class_index) return false;
  if (!span.is_reserved) return true;
  const std::uint64_t dead = count_pages(span.resident_pages & ~span.live_pages);
  span.is_reserved = false;
  reserved_pages_.fetch_sub(dead, std::memory_order_relaxed);
  resident_pages_.fetch_add(dead, std::memory_order_relaxed);
  empty_pages_.fetch_add(dead, std::memory_order_relaxed);
  punch_dead_pages(span, index, kSpanPages);
  return true;
}

// --- keeping whole spans in stock

std::uint64_t Pool::reserve_left() const {
  const std::uint64_t promised = promised_pages_.load(std::memory_order_relaxed);
  const std::uint64_t used = resident_pages();
  if (promised <= used) return 0;
  return std::min(promised - used, reserved_pages() + spare_pages_.load(std::memory_order_relaxed));
}

std::uint64_t Pool::stranded_pages() const {
  const std::uint64_t unused = reserved_pages() + spare_pages_.load(std::memory_order_relaxed);
  const std::uint64_t stock = stock_spans_.load(std::memory_order_relaxed) * kSpanPages;
  return unused > stock ? unused - stock : 0;
}

bool Pool::lacks_stock(std::uint64_t divisor) const {
  const std::uint64_t headroom = headroom_pages_.load(std::memory_order_relaxed);
  const std::uint64_t stock = stock_spans_.load(std::memory_order_relaxed) * kSpanPages;
  if (headroom == 0 || stock >= headroom / divisor) return false;
  return stranded_pages() > least_stranded_.load(std::memory_order_relaxed) + headroom / 8;
}

void Pool::note_restocked() {
  const std::uint64_t headroom = headroom_pages_.load(std::memory_order_relaxed);
  const std::uint64_t stock = stock_spans_.load(std::memory_order_relaxed) * kSpanPages;
  least_stranded_.store(stock >= headroom / 2 ? 0 : stranded_pages(), std::memory_order_relaxed);
}

void Pool::squeeze_span(std::uint32_t index, Grip grip) {
  Span& span = spans_[index];
  const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
  if (class_index == 0) return;
  ClassState& state = classes_[class_index];
  MutexLock lock(state.mutex);
  if (span.class_index.load(std::memory_order_relaxed) != class_index || !span.is_reserved) return;
  const SizeClass& size_class = kSizeClasses[class_index];
  const auto resident = static_cast<std::uint64_t>(std::countr_one(span.resident_pages));
  const auto live_end = static_cast<std::uint64_t>(std::bit_width(span.live_pages));
  std::uint64_t kept = size_class.page_count;
  if (grip == Grip::Hard) kept = std::min(kept, live_end + kPagesForNextObjects);
  if (kept >= resident) return;
  const std::uint64_t run = resident - kept;
  if (!arena_.punch(arena_offset_ + index * kSpanBytes + kept * kPageBytes, run * kPageBytes))
    return;
  span.resident_pages = first_pages(kept);
  span.limit = std::min(span.limit, room_of(span, size_class));
  put_in_right_list(state, index);
  reserved_pages_.fetch_sub(run, std::memory_order_relaxed);
  spare_pages_.fetch_add(run, std::memory_order_relaxed);
}

// Returns: false when there are not enough spare pages, addresses, or there is no memory.
bool Pool::try_fill_span() {
  std::uint64_t lacking = kSpanPages;
  std::uint32_t index = kNoSpan;
  {
    MutexLock lock(free_mutex_);
    if (free_list_ != kNoSpan) lacking -= count_pages(spans_[free_list_].resident_pages);
    if (spare_pages_.load(std::memory_order_relaxed) < lacking) return false;
    index = find_free_span(0, Growth::Yes);
    if (index == kNoSpan) return false;
    spans_[index].next = kNoSpan;
    spans_[index].is_free_listed = false;
  }
  const bool populated = populate_span(index);
  spare_pages_.fetch_sub(lacking, std::memory_order_relaxed);
  MutexLock lock(free_mutex_);
  note_populated(spans_[index], populated);
  list_free_span(index);
  return populated;
}

void Pool::restock(Grip grip) {
  MutexLock lock(reserve_mutex_);
  if (!is_reserve_kept()) return;
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) squeeze_span(index, grip);
  while (try_fill_span()) {
  }
}

// The caller waits here only when nobody has restocked in time.
Result<Handle> Pool::allocate_beyond_stock(std::size_t class_index, LimitRule rule) {
  const bool is_used_up = resident_pages() >= promised_pages_.load(std::memory_order_relaxed);
  if (!is_used_up) {
    restock(Grip::Hard);
    Result<Handle> handle = allocate_in_class(class_index, rule, Growth::No);
    if (handle || handle.error().code != EAGAIN) return handle;
  }
  return allocate_in_class(class_index, rule, Growth::Yes);
}

}  // namespace uzram
