// SPDX-License-Identifier: Apache-2.0
// pool/size_classes.h: which object sizes the pool makes, and how each is laid out in a span.
//
// What:   a class holds objects of one size. A span is 256 KiB of arena addresses, of which a class
//         uses the first page_count pages: as many as waste least at the end. Addresses that are
//         not used cost nothing (the arena is sparse), so a span need not be full of pages and
//         every class has the same address arithmetic. There is no cliff: 43 objects of 4,000 bytes
//         fill 42 pages, so each costs 4,001.
// Units:  bytes; classes are 16 bytes apart, class_index i holds objects of 16 * i bytes, i in
//         [1, 256].
// Proof:  validate_size_classes, run by size_classes_test.cc.
// Source: measured on real pages: 16-byte steps cost about 0.5 % by rounding. The end of a span
//         wastes at most 0.4 %; only objects of 4,033 to 4,080 bytes cost a whole page.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/units.h"

namespace uzram {

inline constexpr std::size_t kClassStepBytes = 16;
inline constexpr std::size_t kClassCount =
    kPageBytes / kClassStepBytes;  // Indexes 1 to kClassCount.
inline constexpr std::size_t kSpanPages = 64;
inline constexpr std::size_t kSpanBytes = kSpanPages * kPageBytes;
inline constexpr std::size_t kSpanMostObjects = 256;

struct SizeClass {
  std::uint16_t object_bytes = 0;
  std::uint16_t object_count = 0;  // Objects in a span.
  std::uint16_t page_count = 0;    // Pages of a span that objects may touch.
};

using SizeClassTable = std::array<SizeClass, kClassCount + 1>;  // Row 0 is not used.

// Requires: 1 <= bytes <= kPageBytes.
constexpr std::size_t class_index_for(std::size_t bytes) {
  return (bytes + kClassStepBytes - 1) / kClassStepBytes;
}

// Among the larger half of possible page counts, the one that wastes the smallest share.
constexpr SizeClass best_size_class(std::size_t object_bytes) {
  std::size_t most_pages = kSpanMostObjects * object_bytes / kPageBytes;
  most_pages = most_pages < 1 ? 1 : most_pages;
  most_pages = most_pages > kSpanPages ? kSpanPages : most_pages;
  SizeClass best;
  std::size_t best_waste = kPageBytes;
  for (std::size_t pages = most_pages; pages >= (most_pages + 1) / 2; --pages) {
    std::size_t count = pages * kPageBytes / object_bytes;
    count = count > kSpanMostObjects ? kSpanMostObjects : count;
    const std::size_t waste = pages * kPageBytes - count * object_bytes;
    // waste / pages < best_waste / best.page_count, without division.
    if (best.page_count == 0 || waste * best.page_count < best_waste * pages) {
      best = {static_cast<std::uint16_t>(object_bytes), static_cast<std::uint16_t>(count),
              static_cast<std::uint16_t>(pages)};
      best_waste = waste;
    }
  }
  return best;
}

constexpr SizeClassTable make_size_classes() {
  SizeClassTable table{};
  for (std::size_t i = 1; i <= kClassCount; ++i) table[i] = best_size_class(i * kClassStepBytes);
  return table;
}

inline constexpr SizeClassTable kSizeClasses = make_size_classes();

// Returns: an empty string when every class holds to the rules, otherwise the first rule that is
// broken.
[[nodiscard]] std::string validate_size_classes(const SizeClassTable& table);

}  // namespace uzram
