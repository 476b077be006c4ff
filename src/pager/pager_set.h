// SPDX-License-Identifier: Apache-2.0
// pager/pager_set.h: all pagers of the process, for those who cannot be told which one is meant:
//          signal
// handlers and fork handlers.
//
// What:    up to kMostPagers entries; signal handlers for the first pager that needs them, which
//          pass on what is not ours; fork handlers.
// Errors:  add -> EAGAIN too many pagers; those of sigaction.
// Threads: find from a signal handler; add and remove from any thread.
// Proof:   pager_safety_test.cc.
#pragma once

#include <csignal>

#include "pager/pager_core.h"

namespace uzram {

class PagerSet {
 public:
  static constexpr std::size_t kMostPagers = 16;
  static Result<void> add(PagerCore& core);
  static void remove(PagerCore& core);
  // Null: no pager has this address.
  static PagerCore* find(const void* address);
  // See Pager::handle_fault.
  static bool handle_fault(int signal, const siginfo_t& info, const void* context);
};

}  // namespace uzram
