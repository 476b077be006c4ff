// SPDX-License-Identifier: Apache-2.0
// pool/span.h: what the pool knows of one span: a cache line of private memory, rebuilt from slot
// words after a crash.
//
// Shapes:  object i of a span lies at span start + i * object_bytes and may straddle pages.
// Threads: guarded by the mutex of the class that the span belongs to, or by the free-span mutex.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "base/check.h"
#include "pool/size_classes.h"

namespace uzram {

inline constexpr std::uint32_t kNoSpan = 0xffffffff;
inline constexpr std::uint8_t kNoList = 0xff;

struct alignas(64) Span {
  std::array<std::uint64_t, kSpanMostObjects / 64> used_objects{};  // Bit i: object i is allocated.
  std::uint64_t live_pages = 0;      // Bit p: some allocated object touches page p.
  std::uint64_t resident_pages = 0;  // Bit p: page p may be resident. live_pages is a subset.
  std::uint32_t previous = kNoSpan;  // In the class's list for this fullness; or in the free list.
  std::uint32_t next = kNoSpan;
  std::uint16_t used_count = 0;
  std::uint16_t limit =
      0;  // Objects from here on are not to be allocated: compaction empties them.
  // 0: the span is free. Changed under the mutex of the class; relaxed reads elsewhere only choose
  // which mutex to take and look again under it.
  std::atomic<std::uint16_t> class_index{0};
  std::uint8_t list = kNoList;  // Which of the class's lists holds it.
  bool is_free_listed : 1 = false;
  // Its first pages, up to the first that is not resident, are resident ahead of need; dead ones
  // count as reserved, not as empty. Only places in them are allocated.
  bool is_reserved : 1 = false;

  [[nodiscard]] bool is_used(std::size_t object) const {
    return (used_objects[object / 64] >> (object % 64) & 1) != 0;
  }
  void set_used(std::size_t object) {
    used_objects[object / 64] |= std::uint64_t{1} << (object % 64);
  }
  void clear_used(std::size_t object) {
    used_objects[object / 64] &= ~(std::uint64_t{1} << (object % 64));
  }

  // Returns: the lowest free object below `end`, or `end`.
  [[nodiscard]] std::size_t first_free(std::size_t end) const {
    for (std::size_t word = 0; word * 64 < end; ++word) {
      if (~used_objects[word] == 0) continue;
      const std::size_t object =
          word * 64 + static_cast<std::size_t>(std::countr_one(used_objects[word]));
      return object < end ? object : end;
    }
    return end;
  }

  // Whether an object in [first, last] is allocated. Requires: first <= last < kSpanMostObjects.
  [[nodiscard]] bool any_used(std::size_t first, std::size_t last) const {
    for (std::size_t word = first / 64; word <= last / 64; ++word) {
      std::uint64_t mask = ~std::uint64_t{0};
      if (word == first / 64) mask &= ~std::uint64_t{0} << (first % 64);
      if (word == last / 64) mask &= ~std::uint64_t{0} >> (63 - last % 64);
      if ((used_objects[word] & mask) != 0) return true;
    }
    return false;
  }
};
static_assert(sizeof(Span) == 64, "a span's description is one cache line");

// How many pages a mask of them names.
inline std::uint64_t count_pages(std::uint64_t mask) {
  return static_cast<std::uint64_t>(std::popcount(mask));
}

// The pages of a span that object `object` of a class touches, as a mask.
inline std::uint64_t pages_of_object(const SizeClass& size_class, std::size_t object) {
  const std::size_t first = object * size_class.object_bytes / kPageBytes;
  const std::size_t last = ((object + 1) * size_class.object_bytes - 1) / kPageBytes;
  UZ_DCHECK(last < kSpanPages);
  return (~std::uint64_t{0} << first) & (~std::uint64_t{0} >> (63 - last));
}

// Those pages among `pages` that no allocated object touches.
inline std::uint64_t dead_pages(const Span& span, const SizeClass& size_class,
                                std::uint64_t pages) {
  std::uint64_t dead = 0;
  for (std::uint64_t rest = pages; rest != 0; rest &= rest - 1) {
    const auto page = static_cast<std::size_t>(std::countr_zero(rest));
    const std::size_t first = page * kPageBytes / size_class.object_bytes;
    std::size_t last = ((page + 1) * kPageBytes - 1) / size_class.object_bytes;
    if (last >= size_class.object_count) last = size_class.object_count - 1U;
    if (first > last || !span.any_used(first, last)) dead |= std::uint64_t{1} << page;
  }
  return dead;
}

// The objects that allocate may place in a span: in a reserved one, those whose pages are resident.
inline std::uint16_t room_of(const Span& span, const SizeClass& size_class) {
  if (!span.is_reserved) return size_class.object_count;
  const auto pages = static_cast<std::size_t>(std::countr_one(span.resident_pages));
  const std::size_t objects = pages * kPageBytes / size_class.object_bytes;
  return objects < size_class.object_count ? static_cast<std::uint16_t>(objects)
                                           : size_class.object_count;
}

// Pages that `object_count` objects need when they fill spans from the start.
inline std::uint64_t tight_pages_for(const SizeClass& size_class, std::uint64_t object_count) {
  const std::uint64_t full = object_count / size_class.object_count;
  const std::uint64_t rest = object_count % size_class.object_count;
  return full * size_class.page_count + bytes_to_pages(rest * size_class.object_bytes);
}

}  // namespace uzram
