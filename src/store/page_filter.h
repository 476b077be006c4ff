// SPDX-License-Identifier: Apache-2.0
// store/page_filter.h: which slots a request in the background is about.
#pragma once

#include <atomic>
#include <cstdint>

#include "store/slot_word.h"

namespace uzram {

// The words of `recompress type=` and `writeback type=`.
enum class PageType { All, Idle, Huge, HugeIdle, Incompressible };

struct PageFilter {
  PageType type = PageType::All;
  int least_age = 0;  // In rounds of the policy without an access.

  [[nodiscard]] bool wants(SlotWord word) const {
    if (word.age() < least_age) return false;
    const bool is_huge = word.state() == SlotState::Raw;
    switch (type) {
      case PageType::All:
        return true;
      case PageType::Idle:
        return word.is_idle();
      case PageType::Huge:
        return is_huge;
      case PageType::HugeIdle:
        return is_huge && word.is_idle();
      case PageType::Incompressible:
        return word.state() != SlotState::Member && word.is_incompressible();
    }
    return false;
  }
};

// Set from any thread to end work in the background soon; what is done by then stays.
using StopSignal = std::atomic<bool>;

}  // namespace uzram
