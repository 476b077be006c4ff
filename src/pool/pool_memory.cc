// SPDX-License-Identifier: Apache-2.0
// The pool's dealings with memory as pages: giving back, keeping ahead of need, taking over after a
// crash.
#include <bit>
#include <new>

#include "base/check.h"
#include "pool/pool.h"

namespace uzram {
namespace {

std::uint64_t count_pages(std::uint64_t mask) {
  return static_cast<std::uint64_t>(std::popcount(mask));
}

}  // namespace

std::uint64_t Pool::punch_dead_pages(Span& span, std::uint32_t index, std::uint64_t most_pages) {
  std::uint64_t given = 0;
  while (given < most_pages) {
    const std::uint64_t dead = span.resident_pages & ~span.live_pages;
    if (dead == 0 || span.is_reserved) break;
    const auto first = static_cast<std::uint64_t>(std::countr_zero(dead));
    const auto run = static_cast<std::uint64_t>(std::countr_one(dead >> first));
    if (!arena_.punch(arena_offset_ + index * kSpanBytes + first * kPageBytes, run * kPageBytes))
      break;
    const std::uint64_t mask = (~std::uint64_t{0} >> (64 - run)) << first;
    span.resident_pages &= ~mask;
    resident_pages_.fetch_sub(run, std::memory_order_relaxed);
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

Result<void> Pool::reserve(std::uint64_t pages) {
  if (pages == 0) release_reserve();
  while (reserved_pages() < pages) {
    const std::uint32_t index = take_free_span(0);
    if (index == kNoSpan) break;
    const Result<void> populated = arena_.populate(arena_offset_ + index * kSpanBytes, kSpanBytes);
    Span& span = spans_[index];  // Neither listed nor of a class: this thread's alone until it is
                                 // given back.
    const std::uint64_t was_empty = count_pages(span.resident_pages);
    resident_pages_.fetch_sub(was_empty, std::memory_order_relaxed);
    empty_pages_.fetch_sub(was_empty, std::memory_order_relaxed);
    reserved_pages_.fetch_add(kSpanPages, std::memory_order_relaxed);
    span.resident_pages = ~std::uint64_t{0};
    span.is_reserved = true;
    give_free_span(index);
    if (!populated) break;
  }
  if (reserved_pages() >= pages) return {};
  release_reserve();
  trim(0);
  return fail(ENOMEM);
}

void Pool::release_reserve() {
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    Span& span = spans_[index];
    const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
    MutexLock lock(mutex_of(class_index));
    if (!span.is_reserved || span.class_index.load(std::memory_order_relaxed) != class_index)
      continue;
    const std::uint64_t dead = count_pages(span.resident_pages & ~span.live_pages);
    span.is_reserved = false;
    reserved_pages_.fetch_sub(dead, std::memory_order_relaxed);
    resident_pages_.fetch_add(dead, std::memory_order_relaxed);
    empty_pages_.fetch_add(dead, std::memory_order_relaxed);
    punch_dead_pages(span, index, dead);
  }
  // Pages that could not be given back are in use from now on.
  static_cast<void>(try_add_resident(0, LimitRule::Exceed));
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
// --------------------------------------------------------------------------------------------------------

std::optional<Pool::Place> Pool::valid_place(Handle handle, std::size_t bytes) const {
  const std::size_t class_index = class_index_for(bytes);
  const Place place = place_of(handle, class_index);
  if (place.span >= span_capacity_) return std::nullopt;
  if (place.object >= kSizeClasses[class_index].object_count) return std::nullopt;
  if (handle_of(place, class_index) != handle) return std::nullopt;
  return place;
}

// Boyer and Moore's majority vote. The candidate is in `limit`, its lead in `next`; both are set anew
// when the span gets its class or is given back.
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

Result<void> Pool::finish_adoption() {
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    Span& span = spans_[index];
    const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
    // What a killed process had allocated or freed without a slot is not live: all of it goes back.
    span.resident_pages = ~std::uint64_t{0};
    resident_pages_.fetch_add(kSpanPages, std::memory_order_relaxed);
    empty_pages_.fetch_add(kSpanPages - count_pages(span.live_pages), std::memory_order_relaxed);
    if (class_index == 0) {
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
  const std::uint64_t untouched = count * kSpanBytes;
  return arena_.punch(arena_offset_ + untouched, span_capacity_ * kSpanBytes - untouched);
}

}  // namespace uzram
