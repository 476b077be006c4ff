// SPDX-License-Identifier: Apache-2.0
// store/page_filter.h: which slots a request in the background is about.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>

#include "store/slot_word.h"

namespace uzram {

// The words of `recompress type=` and `writeback type=`, and one for the policy.
enum class PageType { All, Idle, Huge, HugeIdle, Incompressible, HugeOrIncompressible };

struct PageFilter {
  PageType type = PageType::All;
  int least_age = 0;  // Ages as the policy's sweeps make them.
  int below_age = SlotWord::kMostAge + 1;

  [[nodiscard]] bool wants(SlotWord word) const {
    if (word.age() < least_age || word.age() >= below_age) return false;
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
        return is_incompressible(word);
      case PageType::HugeOrIncompressible:
        return is_huge || is_incompressible(word);
    }
    return false;
  }

 private:
  static bool is_incompressible(SlotWord word) {
    return word.state() != SlotState::Member && word.is_incompressible();
  }
};

// Set from any thread to end work in the background soon; what is done by then stays.
using StopSignal = std::atomic<bool>;

// How much of the thread's CPU time work in the background may use.
class CpuBudget {
 public:
  // Absent: as much as it takes.
  explicit CpuBudget(std::optional<std::chrono::microseconds> most)
      : end_(most ? std::optional(used() + *most) : std::nullopt) {}
  // Looks at the clock at every 16th call.
  [[nodiscard]] bool is_spent() {
    if (!end_ || is_spent_) return is_spent_;
    if (++calls_ % 16 == 0) is_spent_ = used() >= *end_;
    return is_spent_;
  }

 private:
  static std::chrono::nanoseconds used() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
  }
  std::optional<std::chrono::nanoseconds> end_;
  unsigned calls_ = 0;
  bool is_spent_ = false;
};

}  // namespace uzram
