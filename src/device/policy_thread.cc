// SPDX-License-Identifier: Apache-2.0
#include "device/policy_thread.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace uzram {
namespace {

using std::chrono::milliseconds;

// Longer times do not fit into a wait's nanoseconds.
constexpr milliseconds kLongestNap = std::chrono::hours(1);
constexpr int kNicest = 19;

// Lower is always allowed, so what could go wrong here is of no interest.
void lower_priority() {
  ::pthread_setname_np(::pthread_self(), "uzram-policy");
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNicest));
}

}  // namespace

Result<void> PolicyThread::set(const PolicySettings& settings) {
  MutexLock lock(mutex_);
  if (settings.is_on && !is_running_) {
    if (thread_.joinable()) thread_.join();  // It has left work() already.
    try {
      thread_ = std::thread([this] { work(); });
    } catch (const std::system_error&) {
      return fail(EAGAIN);
    }
    is_running_ = true;
  }
  runner_.set(settings);
  has_changed_ = true;
  changed_.notify_all();
  return {};
}

bool PolicyThread::is_running() const {
  MutexLock lock(mutex_);
  return is_running_;
}

void PolicyThread::end() {
  runner_.end();
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PolicyThread::work() {
  lower_priority();
  MutexLock lock(mutex_);
  while (!is_ending_) {
    has_changed_ = false;
    mutex_.unlock();
    const std::optional<milliseconds> wake_at = runner_.look();
    const milliseconds now = runner_.sources().now();
    mutex_.lock();
    if (has_changed_ || is_ending_) continue;
    if (!wake_at) break;
    if (*wake_at > now) changed_.wait_for(mutex_, std::min(*wake_at - now, kLongestNap));
  }
  is_running_ = false;
}

}  // namespace uzram
