// SPDX-License-Identifier: Apache-2.0
// device/overflow.h: room in memory for writes at mem_limit, by moving pages to the backing store.
//
// What:    a write that the limit forbids waits here while a thread writes pages back: first those
//          that do not pack, then idle ones, then old ones, then any. All writers that wait share
//          one push. Not here: what a policy writes back ahead of need (policy_runner.h).
// Errors:  make_room -> false when no room can be had: the store is full, fails, stalls or is left
//          alone after a failure (backing_health.h), writeback_limit is used up, or time is over.
// Threads: make_room from any thread that holds no lock of the store; it waits. One thread pushes.
// Memory:  make_room allocates nothing; the thread does, as all work in the background.
// Laws:    4, 5, 8.
// Proof:   overflow_test.cc.
#pragma once

#include <array>
#include <chrono>
#include <thread>

#include "base/mutex.h"
#include "device/backing_health.h"
#include "device/maintenance.h"
#include "device/policy_runner.h"

namespace uzram {

class Overflow {
 public:
  using Clock = std::chrono::steady_clock;

  // Without a backing store there is no thread. Requires: all three outlive it. Errors:
  // std::system_error.
  Overflow(Store& store, PolicyHost& host, Maintenance& maintenance);
  ~Overflow();
  Overflow(const Overflow&) = delete;
  Overflow& operator=(const Overflow&) = delete;

  // Returns: whether the write should be tried again.
  bool make_room(Clock::time_point until);
  // When a write that begins now gives up.
  [[nodiscard]] Clock::time_point last_moment() const;

 private:
  static constexpr std::size_t kKindCount = 5;

  void work();
  [[nodiscard]] bool push();

  Store& store_;
  PolicyHost& host_;
  Maintenance& maintenance_;
  StopSignal must_stop_{false};  // Relaxed: a push looks at it now and then.
  // belongs to the thread
  BackingHealth health_;
  std::array<PageIndex, kKindCount> next_{};  // Where each kind's next push goes on.
  // guarded by mutex_
  Mutex mutex_;
  ConditionVariable wanted_;
  ConditionVariable done_;
  bool is_wanted_ UZ_GUARDED_BY(mutex_) = false;
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
  bool has_made_room_ UZ_GUARDED_BY(mutex_) = false;  // The last push has.
  std::uint64_t push_count_ UZ_GUARDED_BY(mutex_) = 0;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace uzram
