// SPDX-License-Identifier: Apache-2.0
// device/backing_health.h: whether the policy should try to write pages back.
//
// What:    from what the store shows and how the last writebacks went. A store that failed or
//          stalls is left alone for kPatience, and then one step tries again; one that was full is
//          tried again when blocks have become free.
// Threads: a value; nothing is shared.
// Proof:   policy_runner_test.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "backing/backing_space.h"
#include "policy/policy_snapshot.h"

namespace uzram {

class BackingHealth {
 public:
  static constexpr std::chrono::milliseconds kPatience{60'000};

  [[nodiscard]] BackingState look(const BackingSpace& backing, std::chrono::milliseconds now);
  // A writeback has ended with this errno value, or 0.
  void note(const BackingSpace& backing, int error, std::chrono::milliseconds now);

 private:
  bool has_seen_stall_ = false;
  std::chrono::milliseconds leave_until_{};
  std::optional<std::uint64_t> blocks_when_full_;
};

}  // namespace uzram
