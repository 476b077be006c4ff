// SPDX-License-Identifier: Apache-2.0
// pager/readahead.h: how many neighbours a fault brings along.
//
// What:    page_cluster's aligned block, and VMA readahead: windows that grow while a region's
//          faults come one after another. Not here: which of these pages can be brought
//          (fault_path.cc).
// Shapes:  a window holds the page that faulted, and never leaves its cluster of 64 pages.
// Units:   pages; clusters of the file, where a region is over a cluster file.
// Threads: plan() from any thread at once; a lost update costs a smaller window.
// Proof:   readahead_test.cc, with the faults of known programs as traces.
// Source:  the meaning of vm.page-cluster and of VMA based swap readahead in Linux. The kernel
//          counts hits as minor faults; here a page that is there makes none, so a hit is the next
//          fault at the very end of a window: all of it was used.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "pager/fault_buffers.h"
#include "pager/pager.h"

namespace uzram {

struct ReadaheadRule {
  unsigned page_cluster = 3;  // 0 to 4.
  bool has_vma_readahead = true;
  AccessHint hint = AccessHint::Normal;
  std::uint64_t most_told = kMostFaultPages;  // A window at most, with AccessHint::Sequential.
};

struct PageWindow {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};

// What a region's faults looked like: a few streams, so that threads and merges do not hide each
// other.
class ReadaheadState {
 public:
  [[nodiscard]] PageWindow plan(const ReadaheadRule& rule, std::uint64_t page);
  void forget();

 private:
  static constexpr std::size_t kStreamCount = 4;
  // Of a stream: the page after its window in the upper 56 bits, and the window's pages. 0: none.
  // Relaxed: hints.
  std::array<std::atomic<std::uint64_t>, kStreamCount> streams_{};
  std::atomic<std::uint32_t> oldest_{0};
};

}  // namespace uzram
