// SPDX-License-Identifier: Apache-2.0
// store/page_ages.h: which pages are idle, and how old they are.
//
// What:    idle marks as the kernel's `idle` attribute sets them; ages as the policy's sweeps
//          advance them; a census of pages by form and age; what one page is, for block_state. Not
//          here: which ages sweep when (policy/age_ladder.h), what happens to old pages.
// Shapes:  ages are 0 to SlotWord::kMostAge. Same-filled and written-back pages have no idle mark.
// Threads: from any thread, while pages are read and written; each word changes by itself.
// Proof:   page_ages_test.cc.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

#include "store/store.h"

namespace uzram {

// --- idle

// Marks every page that the device stores.
void mark_all_idle(Store& store);
// Marks those that were not accessed for so long, and clears the mark of the others.
// Errors: EINVAL when the store does not track accesses.
Result<void> mark_idle_for(Store& store, std::chrono::seconds age);

// --- ages

enum class SlotForm : std::uint8_t {
  Packed,          // Alone, by the device's first algorithm.
  Recompressed,    // Alone, by another one.
  Raw,             // Did not shrink; another algorithm may still do better.
  Incompressible,  // Did not shrink, and recompression has tried.
  Cluster2,        // Member of a cluster that was made of 2 or 3 pages,
  Cluster4,        // 4 to 7, and so on.
  Cluster8,
  Cluster16,
  Cluster32,
  WrittenBack,  // Alone or in a cluster.
};
inline constexpr std::size_t kSlotFormCount = 10;
inline constexpr std::size_t kAgeCount = SlotWord::kMostAge + 1;

// Contents by form and age: what several pages share counts once.
using SlotCensus = std::array<std::array<std::uint64_t, kAgeCount>, kSlotFormCount>;

struct AgeSweep {
  std::uint8_t advancing = 0;  // Bit k: contents of age k become one older.
  int idle_age = kAgeCount;    // From this age on they get the idle mark.
  bool is_restart = false;     // Instead, every age becomes 0.
};
// One walk over all slots. Returns: the census afterwards.
SlotCensus sweep_ages(Store& store, const AgeSweep& sweep);

// --- one page

struct PageState {
  PageIndex page;
  SlotWord word;                 // The page's own.
  SlotWord content;              // Where that leads to: a Shared word's slot, otherwise the same.
  bool is_written_back = false;  // It or its cluster.
  std::uint32_t access_seconds = 0;  // Since boot; 0 when accesses are not tracked.
  std::size_t cluster_pages = 0;     // Of a member's cluster; 0: not a member.
  std::uint32_t sharers = 0;         // Pages with this content; 0: not shared.
  // Its part of StoreSums::packed_bytes: what pages share counts in equal parts.
  double packed_share_bytes = 0;
  [[nodiscard]] bool is_same() const {
    return word.state() == SlotState::Same || word.state() == SlotState::SameStored;
  }
  [[nodiscard]] bool is_huge() const {
    return content.state() == SlotState::Raw ||
           (content.state() == SlotState::WrittenBack && content.packed_bytes() == 0);
  }
  // Packed by another algorithm than the first, or in a cluster.
  [[nodiscard]] bool is_recompressed() const;
  [[nodiscard]] bool is_incompressible() const;
};
// Returns: nullopt for a page that stores nothing.
[[nodiscard]] std::optional<PageState> state_of(const Store& store, PageIndex page);

}  // namespace uzram
