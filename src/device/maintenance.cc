// SPDX-License-Identifier: Apache-2.0
#include "device/maintenance.h"

#include <chrono>

namespace uzram {
namespace {

// Long enough that a round finds much to do at once, short enough that freed memory is soon free.
constexpr std::chrono::milliseconds kPause{100};

}  // namespace

Maintenance::~Maintenance() {
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Maintenance::wake() {
  if (is_due_.exchange(true, std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  changed_.notify_all();
}

void Maintenance::work() {
  MutexLock lock(mutex_);
  bool is_tidy = true;  // Nothing has changed since a round at rest.
  while (!is_ending_) {
    if (is_tidy && !is_due_.load(std::memory_order_relaxed)) {
      changed_.wait(mutex_);
      continue;
    }
    changed_.wait_for(mutex_, kPause);
    if (is_ending_) return;
    const bool was_due = is_due_.exchange(false, std::memory_order_relaxed);
    mutex_.unlock();
    {
      MutexLock round(round_mutex_);
      store_.maintain(was_due ? Pace::Busy : Pace::Rest);
    }
    mutex_.lock();
    is_tidy = !was_due;
  }
}

}  // namespace uzram
