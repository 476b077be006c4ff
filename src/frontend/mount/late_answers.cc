// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/late_answers.h"

namespace uzram {

void LateAnswers::start() {
  thread_ = std::thread([this] { work(); });
}

void LateAnswers::post(std::function<void()> task) {
  const MutexLock lock(mutex_);
  tasks_.push_back(std::move(task));
  posted_.notify_one();
}

void LateAnswers::stop() {
  {
    const MutexLock lock(mutex_);
    is_ending_ = true;
  }
  posted_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void LateAnswers::work() {
  for (;;) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      while (tasks_.empty() && !is_ending_) posted_.wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace uzram
