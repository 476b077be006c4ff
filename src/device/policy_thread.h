// SPDX-License-Identifier: Apache-2.0
// device/policy_thread.h: the thread that looks after a device while its policy is on.
//
// What:    starts with the policy and ends with it; sleeps until the time that each look names, or
//          until the settings change.
// Priority: nice 19. Not the idle class: a thread of that class that is preempted while it holds a
//          page might not run again for as long as others want the processor, and a request for
//          that page would wait as long.
// Errors:  set -> EAGAIN no thread can be made; nothing has changed then.
// Threads: set and end by one thread at a time; explain from any thread. set does not wait for a
//          step that is at work, end does: at most for one page, and for requests to a backing
//          store, which end early once that is shut down.
// Proof:   policy_thread_test.cc, device_policy_thread_test.cc.
#pragma once

#include <string>
#include <thread>

#include "base/mutex.h"
#include "device/policy_runner.h"

namespace uzram {

class PolicyThread {
 public:
  // No thread yet. Requires: store and host outlive it.
  PolicyThread(Store& store, PolicyHost& host, PolicySources sources = machine_sources())
      : runner_(store, host, std::move(sources)) {}
  ~PolicyThread() { end(); }
  PolicyThread(const PolicyThread&) = delete;
  PolicyThread& operator=(const PolicyThread&) = delete;

  Result<void> set(const PolicySettings& settings) UZ_EXCLUDES(mutex_);
  [[nodiscard]] std::string explain() const { return runner_.explain(); }
  [[nodiscard]] bool is_running() const UZ_EXCLUDES(mutex_);
  // For good.
  void end() UZ_EXCLUDES(mutex_);

 private:
  void work() UZ_EXCLUDES(mutex_);

  PolicyRunner runner_;
  mutable Mutex mutex_;
  ConditionVariable changed_;
  bool has_changed_ UZ_GUARDED_BY(mutex_) = false;
  bool is_running_ UZ_GUARDED_BY(mutex_) = false;
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Changed by set and end only.
};

}  // namespace uzram
