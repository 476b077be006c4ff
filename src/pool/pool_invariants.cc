// SPDX-License-Identifier: Apache-2.0
// The proof that the pool's descriptions agree: spans, lists and counts.
#include <bit>

#include "base/check.h"
#include "pool/pool.h"

namespace uzram {
void Pool::check_span(const Span& span, std::size_t class_index) const {
  std::uint64_t used = 0;
  for (const std::uint64_t word : span.used_objects)
    used += static_cast<std::uint64_t>(std::popcount(word));
  UZ_CHECK(used == span.used_count);
  std::uint64_t live = 0;
  if (class_index != 0) {
    const SizeClass& size_class = kSizeClasses[class_index];
    UZ_CHECK(span.used_count > 0);
    UZ_CHECK(span.limit <= size_class.object_count);
    for (std::size_t object = 0; object < kSpanMostObjects; ++object) {
      if (!span.is_used(object)) continue;
      UZ_CHECK(object < size_class.object_count);
      live |= pages_of_object(size_class, object);
    }
  }
  UZ_CHECK(span.is_free_listed == (class_index == 0));
  UZ_CHECK(live == span.live_pages);
  UZ_CHECK((span.live_pages & ~span.resident_pages) == 0);
  // Reserved pages are the first ones, without a gap, and nothing is placed behind them.
  UZ_CHECK(!span.is_reserved || (span.resident_pages & (span.resident_pages + 1)) == 0);
  UZ_CHECK(class_index == 0 || span.limit <= room_of(span, kSizeClasses[class_index]));
}

// A span is in the list of its fullness exactly when it has room.
void Pool::check_lists(const ClassState& state, std::size_t class_index,
                       std::uint64_t roomy_spans) const {
  const SizeClass& size_class = kSizeClasses[class_index];
  for (std::size_t list = 0; list < kListCount; ++list) {
    std::uint32_t previous = kNoSpan;
    for (std::uint32_t index = state.lists[list]; index != kNoSpan; index = spans_[index].next) {
      const Span& span = spans_[index];
      UZ_CHECK(span.class_index.load(std::memory_order_relaxed) == class_index);
      UZ_CHECK(span.list == list);
      UZ_CHECK(span.used_count * kListCount / size_class.object_count == list);
      UZ_CHECK(span.first_free(span.limit) < span.limit);
      UZ_CHECK(span.previous == previous);
      UZ_CHECK(roomy_spans > 0);  // Ends a list that runs in a circle.
      --roomy_spans;
      previous = index;
    }
  }
  UZ_CHECK(roomy_spans == 0);
}

void Pool::check_free_lists(std::uint64_t free_spans) const {
  std::uint64_t stock_spans = 0;
  for (const bool is_stock : {false, true}) {
    const std::uint32_t head = is_stock ? reserved_list_ : free_list_;
    for (std::uint32_t index = head; index != kNoSpan; index = spans_[index].next) {
      const Span& span = spans_[index];
      UZ_CHECK(span.is_free_listed);
      UZ_CHECK((span.is_reserved && span.resident_pages == ~std::uint64_t{0}) == is_stock);
      UZ_CHECK(free_spans > 0);
      --free_spans;
      stock_spans += is_stock ? 1 : 0;
    }
  }
  UZ_CHECK(stock_spans == stock_spans_.load(std::memory_order_relaxed));
  UZ_CHECK(free_spans == 0);
}

std::uint64_t Pool::check_invariants() const {
  struct Sums {
    std::uint64_t spans = 0;
    std::uint64_t used = 0;
    std::uint64_t roomy_spans = 0;
  };
  std::array<Sums, kClassCount + 1> by_class{};
  std::uint64_t objects = 0;
  std::uint64_t resident = 0;
  std::uint64_t empty = 0;
  std::uint64_t reserved = 0;
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    const Span& span = spans_[index];
    const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
    check_span(span, class_index);
    Sums& sums = by_class[class_index];
    ++sums.spans;
    sums.used += span.used_count;
    sums.roomy_spans += span.first_free(span.limit) < span.limit ? 1 : 0;
    objects += span.used_count;
    const std::uint64_t live = count_pages(span.live_pages);
    const std::uint64_t dead = count_pages(span.resident_pages & ~span.live_pages);
    resident += span.is_reserved ? live : live + dead;
    (span.is_reserved ? reserved : empty) += dead;
  }
  UZ_CHECK(resident == resident_pages());
  UZ_CHECK(empty == empty_pages());
  UZ_CHECK(reserved == reserved_pages());
  UZ_CHECK(resident_pages() <= resident_pages_max());
  UZ_CHECK(is_reserve_kept() || (reserved == 0 && spare_pages_.load() == 0));
  for (std::size_t i = 1; i <= kClassCount; ++i) {
    const ClassState& state = classes_[i];
    MutexLock lock(state.mutex);
    UZ_CHECK(by_class[i].used == state.used_count);
    UZ_CHECK(by_class[i].spans == state.span_count);
    check_lists(state, i, by_class[i].roomy_spans);
  }
  MutexLock lock(free_mutex_);
  check_free_lists(by_class[0].spans);
  return objects;
}

}  // namespace uzram
