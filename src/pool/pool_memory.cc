// SPDX-License-Identifier: Apache-2.0
// The pool's dealings with memory as pages: giving back, keeping ahead of need, taking over after
// a crash.
#include <algorithm>
#include <bit>
#include <new>

#include "base/check.h"
#include "pool/pool.h"

namespace uzram {
std::uint64_t Pool::punch_dead_pages(Span& span, std::uint32_t index, std::uint64_t most_pages) {
  std::uint64_t given = 0;
  while (given < most_pages) {
    const std::uint64_t dead = span.resident_pages & ~span.live_pages;
    if (dead == 0 || span.is_reserved) break;
    const auto first = static_cast<std::uint64_t>(std::countr_zero(dead));
    const auto dead_run = static_cast<std::uint64_t>(std::countr_one(dead >> first));
    const std::uint64_t run = std::min(dead_run, most_pages - given);
    if (!arena_.punch(arena_offset_ + index * kSpanBytes + first * kPageBytes, run * kPageBytes))
      break;
    const std::uint64_t mask = (~std::uint64_t{0} >> (64 - run)) << first;
    span.resident_pages &= ~mask;
    resident_pages_.fetch_sub(run, std::memory_order_relaxed);
    if (MemoryAllowance* const allowance = allowance_.load(std::memory_order_acquire)) {
      allowance->give_back(run);
    }
    empty_pages_.fetch_sub(run, std::memory_order_relaxed);
    given += run;
  }
  return given;
}

std::uint64_t Pool::trim_span(std::uint32_t index, std::uint64_t most_pages) {
  Span& span = spans_[index];
  const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
  MutexLock lock(mutex_of(class_index));
  // Taken or given back meanwhile: the next trim will find it.
  if (span.class_index.load(std::memory_order_relaxed) != class_index) return 0;
  if (class_index == 0 && !span.is_free_listed) return 0;
  return punch_dead_pages(span, index, most_pages);
}

std::uint64_t Pool::trim(std::uint64_t keep_pages) {
  std::uint64_t given = 0;
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    const std::uint64_t empty = empty_pages();
    if (empty <= keep_pages) break;
    given += trim_span(index, empty - keep_pages);
  }
  return given;
}

std::uint64_t Pool::metadata_bytes() const { return touched_span_count() * sizeof(Span); }

std::uint64_t Pool::tight_pages() const {
  std::uint64_t pages = 0;
  for (std::size_t i = 1; i <= kClassCount; ++i) {
    MutexLock lock(classes_[i].mutex);
    pages += tight_pages_for(kSizeClasses[i], classes_[i].used_count);
  }
  return pages;
}

// --- recovery

std::optional<Pool::Place> Pool::valid_place(Handle handle, std::size_t bytes) const {
  if (bytes == 0 || bytes > kPageBytes) return std::nullopt;
  const std::size_t class_index = class_index_for(bytes);
  const Place place = place_of(handle, class_index);
  if (place.span >= span_capacity_) return std::nullopt;
  if (place.object >= kSizeClasses[class_index].object_count) return std::nullopt;
  if (handle_of(place, class_index) != handle) return std::nullopt;
  return place;
}

// Boyer and Moore's majority vote. The candidate is in `limit`, its lead in `next`; both are set
// anew when the span gets its class or is given back.
void Pool::survey(Handle handle, std::size_t bytes) {
  const std::optional<Place> place = valid_place(handle, bytes);
  if (!place) return;
  MutexLock lock(free_mutex_);
  for (; touched_spans_ <= place->span; ++touched_spans_) new (&spans_[touched_spans_]) Span();
  Span& span = spans_[place->span];
  const auto vote = static_cast<std::uint16_t>(class_index_for(bytes));
  if (span.limit == 0 || span.next == 0) {
    span.limit = vote;
    span.next = 1;
  } else {
    span.next += span.limit == vote ? 1U : ~0U;
  }
}

bool Pool::adopt(Handle handle, std::size_t bytes) {
  const std::optional<Place> place = valid_place(handle, bytes);
  if (!place) return false;
  const std::size_t class_index = class_index_for(bytes);
  const SizeClass& size_class = kSizeClasses[class_index];
  MutexLock lock(free_mutex_);
  for (; touched_spans_ <= place->span; ++touched_spans_) new (&spans_[touched_spans_]) Span();
  Span& span = spans_[place->span];
  const std::uint16_t was = span.class_index.load(std::memory_order_relaxed);
  const std::uint16_t expected = was != 0 ? was : span.limit;  // 0: nobody was asked.
  if (expected != 0 && expected != class_index) return false;
  if (was != 0 && span.is_used(place->object)) return false;
  span.class_index.store(static_cast<std::uint16_t>(class_index), std::memory_order_relaxed);
  span.limit = size_class.object_count;
  span.next = kNoSpan;
  span.set_used(place->object);
  ++span.used_count;
  span.live_pages |= pages_of_object(size_class, place->object);
  return true;
}

void Pool::disown(Handle handle, std::size_t bytes) {
  const std::optional<Place> place = valid_place(handle, bytes);
  UZ_CHECK(place);
  MutexLock lock(free_mutex_);
  Span& span = spans_[place->span];
  UZ_CHECK(span.is_used(place->object));
  span.clear_used(place->object);
  --span.used_count;
  const SizeClass& size_class = kSizeClasses[class_index_for(bytes)];
  span.live_pages &= ~dead_pages(span, size_class, span.live_pages);
}

Result<void> Pool::finish_adoption() {
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    Span& span = spans_[index];
    const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
    // What a killed process had allocated or freed without a slot is not live: all of it goes back.
    span.resident_pages = ~std::uint64_t{0};
    resident_pages_.fetch_add(kSpanPages, std::memory_order_relaxed);
    empty_pages_.fetch_add(kSpanPages - count_pages(span.live_pages), std::memory_order_relaxed);
    if (class_index == 0 || span.used_count == 0) {
      span.class_index.store(0, std::memory_order_relaxed);
      give_free_span(index);
      continue;
    }
    ClassState& state = classes_[class_index];
    MutexLock lock(state.mutex);
    state.used_count += span.used_count;
    ++state.span_count;
    put_in_right_list(state, index);
  }
  trim(0);
  reset_resident_pages_max();
  if (count == span_capacity_) return {};
  const std::uint64_t known = count * kSpanBytes;
  return arena_.punch(arena_offset_ + known, span_capacity_ * kSpanBytes - known);
}

}  // namespace uzram
