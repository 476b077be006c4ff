// SPDX-License-Identifier: Apache-2.0
// pager/probe.h: what a pager could do on this machine, for this user.
//
// What:    tries each backend for real: a small pager, pages put away and touched again. Not here:
//          words for a person (app/commands/pager.cc).
// Errors:  none: what does not work is the answer, with its errno.
// Threads: one call at a time; it takes and gives back the signals that a pager takes.
// Proof:   probe_test.cc, pager_safety_test.cc.
#pragma once

#include <array>
#include <cstdint>

#include "pager/pager.h"

namespace uzram {

struct BackendProbe {
  PagerBackend backend = PagerBackend::Automatic;
  int code = 0;                         // 0: works; otherwise why not.
  std::uint64_t fault_nanoseconds = 0;  // Of a page that was away: the median.
};

struct PagerProbe {
  std::array<BackendProbe, 5> backends;  // Move, Protect, Signal, Explicit, Strict.
  // Of userfaultfd: how it was opened, or why it was not.
  int userfaultfd_code = 0;
  bool is_userfaultfd_device = false;
  // What Automatic takes.
  [[nodiscard]] PagerBackend automatic() const;
};

[[nodiscard]] PagerProbe probe_pager();
// 0, or why this process cannot have Strict: EPERM the privilege is missing; ENOSYS.
[[nodiscard]] int strict_refusal();

}  // namespace uzram
