// SPDX-License-Identifier: Apache-2.0
#include "device/backing_health.h"

#include <cerrno>

namespace uzram {

BackingState BackingHealth::look(const BackingSpace& backing, std::chrono::milliseconds now) {
  const bool is_stalled = backing.store().is_stalled();
  // Requests of readers have found out first.
  if (is_stalled && !has_seen_stall_) leave_until_ = now + kPatience;
  has_seen_stall_ = is_stalled;
  if (now < leave_until_) return is_stalled ? BackingState::Stalls : BackingState::Failed;
  if (blocks_when_full_ && backing.counters().blocks_in_use >= *blocks_when_full_)
    return BackingState::Full;
  return BackingState::Works;
}

void BackingHealth::note(const BackingSpace& backing, int error, std::chrono::milliseconds now) {
  blocks_when_full_.reset();
  if (error == ENOSPC) {
    blocks_when_full_ = backing.counters().blocks_in_use;
  } else if (error != 0) {
    leave_until_ = now + kPatience;
  }
}

}  // namespace uzram
