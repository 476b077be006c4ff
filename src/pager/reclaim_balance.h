// SPDX-License-Identifier: Apache-2.0
// pager/reclaim_balance.h: whose pages go next: anonymous memory's or files'.
//
// What:    swappiness: the two kinds are reclaimed in proportion to what the user says that each
//          costs, against what bringing its pages back has cost lately. Not here: which pages of a
//          kind (reclaim.cc).
// Shapes:  swappiness 0 to 200: 0 takes anonymous pages only when there are no others, 100 treats
//          both alike, 200 takes files' pages last.
// Threads: from any thread; counts are relaxed, and lose nothing that matters.
// Proof:   reclaim_balance_test.cc, with refaults as traces.
// Source:  the meaning of vm.swappiness in Linux since 5.8.
#pragma once

#include <atomic>
#include <cstdint>

namespace uzram {

enum class PageKindOf : std::uint8_t { Anonymous, File };

class ReclaimBalance {
 public:
  static constexpr unsigned kMostSwappiness = 200;

  void set_swappiness(unsigned swappiness) {
    swappiness_.store(swappiness, std::memory_order_relaxed);
  }
  [[nodiscard]] unsigned swappiness() const { return swappiness_.load(std::memory_order_relaxed); }
  // A page was needed again soon after it had gone. `resident_pages`: of both kinds; older costs
  // lose half of their weight when the sum has passed a quarter of it.
  void note_refault(PageKindOf kind, std::uint64_t resident_pages);
  // Whose turn it is, when both kinds have pages: over many calls in the right proportion.
  [[nodiscard]] PageKindOf choose();

 private:
  std::atomic<unsigned> swappiness_{100};
  std::atomic<std::uint64_t> anonymous_cost_{0};
  std::atomic<std::uint64_t> file_cost_{0};
  std::atomic<std::uint64_t> credit_{0};  // Of anonymous pages, in 1/2^32 of a turn.
};

}  // namespace uzram
