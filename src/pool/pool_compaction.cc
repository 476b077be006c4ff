// SPDX-License-Identifier: Apache-2.0
// Compaction: which objects have to move so that a class fits into its fullest spans.
//
// The pool does not know which slots point to an object, and does not have to: it only forbids
// places. The store goes through the slot table once and moves every object that stands on a
// forbidden place (store/store_memory.cc). A back-reference in each object would cost 4 bytes for
// every stored page; a walk over the table costs 8 bytes of reading per page, once per compaction
// of the whole pool.
#include <algorithm>
#include <bit>
#include <vector>

#include "base/check.h"
#include "pool/pool.h"

namespace uzram {

std::uint64_t Pool::plan_class(std::size_t class_index, std::span<std::uint32_t> candidates) {
  const SizeClass& size_class = kSizeClasses[class_index];
  ClassState& state = classes_[class_index];
  MutexLock lock(state.mutex);
  const auto end = std::remove_if(candidates.begin(), candidates.end(), [&](std::uint32_t index) {
    return spans_[index].class_index.load(std::memory_order_relaxed) != class_index;
  });
  std::sort(candidates.begin(), end, [&](std::uint32_t a, std::uint32_t b) {
    return spans_[a].used_count != spans_[b].used_count
               ? spans_[a].used_count > spans_[b].used_count
               : a < b;
  });
  std::uint64_t used = 0;
  std::uint64_t live_pages = 0;
  for (auto it = candidates.begin(); it != end; ++it) {
    used += spans_[*it].used_count;
    live_pages += static_cast<std::uint64_t>(std::popcount(spans_[*it].live_pages));
  }
  // With a reserve whole spans count: others cannot use what is free in this class's.
  std::uint64_t room = 0;
  auto needed_end = candidates.begin();
  for (; room < used; ++needed_end) room += room_of(spans_[*needed_end], size_class);
  const bool frees_span = is_reserve_kept() && needed_end != end;
  if (tight_pages_for(size_class, used) >= live_pages && !frees_span) return 0;
  std::uint64_t moves = 0;
  std::uint64_t rest = used;  // Objects that still need a place, going from the fullest span on.
  for (auto it = candidates.begin(); it != end; ++it) {
    Span& span = spans_[*it];
    span.limit =
        static_cast<std::uint16_t>(std::min<std::uint64_t>(rest, room_of(span, size_class)));
    rest -= span.limit;
    for (std::size_t object = span.limit; object < size_class.object_count; ++object) {
      moves += span.is_used(object) ? 1 : 0;
    }
    put_in_right_list(state, *it);
  }
  return moves;
}

std::uint64_t Pool::begin_compaction() {
  std::array<std::vector<std::uint32_t>, kClassCount + 1> by_class;
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    by_class[spans_[index].class_index.load(std::memory_order_relaxed)].push_back(index);
  }
  std::uint64_t moves = 0;
  for (std::size_t i = 1; i <= kClassCount; ++i) {
    if (!by_class[i].empty()) moves += plan_class(i, by_class[i]);
  }
  return moves;
}

bool Pool::must_move(Handle handle, std::size_t bytes) const {
  const std::size_t class_index = class_index_for(bytes);
  const Place place = place_of(handle, class_index);
  const Span& span = spans_[place.span];
  MutexLock lock(classes_[class_index].mutex);
  // A handle that was freed meanwhile may stand in a span of another class: not ours to read.
  return span.class_index.load(std::memory_order_relaxed) == class_index &&
         place.object >= span.limit;
}

void Pool::end_compaction() {
  const std::uint32_t count = touched_span_count();
  for (std::uint32_t index = 0; index < count; ++index) {
    Span& span = spans_[index];
    const std::uint16_t class_index = span.class_index.load(std::memory_order_relaxed);
    if (class_index == 0) continue;
    ClassState& state = classes_[class_index];
    MutexLock lock(state.mutex);
    if (span.class_index.load(std::memory_order_relaxed) != class_index) continue;
    span.limit = room_of(span, kSizeClasses[class_index]);
    put_in_right_list(state, index);
  }
}

}  // namespace uzram
