// SPDX-License-Identifier: Apache-2.0
// frontend/mount/late_answers.h: answers that wait for other requests to be answered first.
//
// What:    one thread, beside those that answer everything else, that does one such task after the
//          other. For requests that need what only the kernel has yet: it is asked to write that,
//          and its writes must find a thread that is free.
// Threads: start and stop from one, post from any.
// Proof:   regular_file_thread_test.cc, tests/mount.
#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "base/mutex.h"

namespace uzram {

class LateAnswers {
 public:
  LateAnswers() = default;
  ~LateAnswers() { stop(); }
  LateAnswers(const LateAnswers&) = delete;
  LateAnswers& operator=(const LateAnswers&) = delete;

  void start();
  void post(std::function<void()> task);
  // Does what was posted, and ends.
  void stop();

 private:
  void work();

  std::thread thread_;
  Mutex mutex_;
  ConditionVariable posted_;
  std::deque<std::function<void()>> tasks_ UZ_GUARDED_BY(mutex_);
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
};

}  // namespace uzram
