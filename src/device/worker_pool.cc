// SPDX-License-Identifier: Apache-2.0
#include "device/worker_pool.h"

#include <system_error>

namespace uzram {

WorkerPool::WorkerPool(std::size_t helper_count) {
  helpers_.reserve(helper_count);
  try {
    while (helpers_.size() < helper_count) helpers_.emplace_back([this] { serve(); });
  } catch (const std::system_error&) {
    // No more threads allowed: run works with the helpers that there are.
  }
}

WorkerPool::~WorkerPool() {
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  job_posted_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void WorkerPool::take_chunks(const Job& job) {
  for (;;) {
    const std::size_t chunk = next_chunk_.fetch_add(1, std::memory_order_relaxed);
    if (chunk >= job.chunk_count) return;
    job.call(job.context, chunk);
  }
}

void WorkerPool::run_job(Job job) UZ_NO_THREAD_SAFETY_ANALYSIS {
  if (helpers_.empty() || !owner_mutex_.try_lock()) {
    for (std::size_t i = 0; i < job.chunk_count; ++i) job.call(job.context, i);
    return;
  }
  {
    MutexLock lock(mutex_);
    next_chunk_.store(0, std::memory_order_relaxed);
    job_ = job;
    is_posted_ = true;
  }
  job_posted_.notify_all();
  take_chunks(job);
  {
    MutexLock lock(mutex_);
    is_posted_ = false;
    while (helpers_inside_ > 0) helpers_left_.wait(mutex_);
  }
  owner_mutex_.unlock();
}

void WorkerPool::serve() {
  MutexLock lock(mutex_);
  for (;;) {
    while (!is_posted_ && !is_ending_) job_posted_.wait(mutex_);
    if (is_ending_) return;
    const Job job = job_;
    ++helpers_inside_;
    mutex_.unlock();
    take_chunks(job);
    mutex_.lock();
    // All chunks are taken: nothing is left to help with until the next job.
    is_posted_ = false;
    --helpers_inside_;
    if (helpers_inside_ == 0) helpers_left_.notify_all();
  }
}

}  // namespace uzram
