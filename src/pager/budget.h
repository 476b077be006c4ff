// SPDX-License-Identifier: Apache-2.0
// pager/budget.h: how much of the limit is left, and from where on somebody must act.
//
// What:    the sum of everything that the process pays for a pager, and the watermarks. Not here:
//          who makes room (reclaim.cc).
// Shapes:  free counts pages below the limit; it is negative when the limit was lowered, or when
//          packed bytes grew.
//              high   background reclaim stops
//              low    background reclaim starts
//              min    faulting threads make room before they take a page
// Units:   pages, unless a name says bytes.
// Threads: from any thread; relaxed counts that publish nothing.
// Proof:   budget_test.cc.
// Source:  the meaning of vm.watermark_scale_factor in Linux.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/units.h"

namespace uzram {

struct Watermarks {
  std::int64_t min = 0;
  std::int64_t low = 0;
  std::int64_t high = 0;
};

// Requires: scale_factor in 1/10000 of the limit.
[[nodiscard]] constexpr Watermarks watermarks_for(std::uint64_t limit_pages,
                                                  unsigned scale_factor) {
  constexpr std::int64_t kLeastDistance = 16;
  constexpr unsigned kScale = 10000;
  const auto limit = static_cast<std::int64_t>(limit_pages);
  const std::int64_t distance = std::max(kLeastDistance, limit * scale_factor / kScale);
  return {kLeastDistance, kLeastDistance + distance, kLeastDistance + 2 * distance};
}

class Budget {
 public:
  // Below this many pages for resident and staged pages together, nothing can work.
  static constexpr std::int64_t kLeastPages = 128;

  Budget(std::uint64_t limit_bytes, unsigned scale_factor) : scale_factor_(scale_factor) {
    set_limit_bytes(limit_bytes);
  }
  void set_limit_bytes(std::uint64_t bytes) {
    limit_pages_.store(static_cast<std::int64_t>(bytes / kPageBytes), std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t limit_bytes() const {
    return static_cast<std::uint64_t>(limit_pages_.load(std::memory_order_relaxed)) * kPageBytes;
  }
  // Resident and staged pages.
  void charge(std::int64_t pages) { pages_.fetch_add(pages, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t charged() const { return pages_.load(std::memory_order_relaxed); }
  // Everything else, as it is now.
  void set_other_bytes(std::uint64_t bytes) {
    other_pages_.store(static_cast<std::int64_t>(bytes_to_pages(bytes)), std::memory_order_relaxed);
  }
  // Pages that resident and staged pages may have together.
  [[nodiscard]] std::int64_t room() const {
    return limit_pages_.load(std::memory_order_relaxed) -
           other_pages_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::int64_t free() const { return room() - charged(); }
  [[nodiscard]] Watermarks watermarks() const {
    return watermarks_for(static_cast<std::uint64_t>(limit_pages_.load(std::memory_order_relaxed)),
                          scale_factor_);
  }

 private:
  const unsigned scale_factor_;
  std::atomic<std::int64_t> limit_pages_{0};
  std::atomic<std::int64_t> pages_{0};
  std::atomic<std::int64_t> other_pages_{0};
};

}  // namespace uzram
