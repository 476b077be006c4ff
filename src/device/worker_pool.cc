// SPDX-License-Identifier: Apache-2.0
#include "device/worker_pool.h"

#include "base/start_thread.h"

namespace uzram {

namespace {

constexpr std::chrono::seconds kTryAgainAfter{1};

}  // namespace

void WorkerPool::start_helpers() {
  if (helpers_.size() >= helper_count_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_try_) return;
  next_try_ = now + kTryAgainAfter;
  helpers_.reserve(helper_count_);
  while (helpers_.size() < helper_count_) {
    auto helper = start_thread("uzram-helper", [this] { serve(); });
    if (!helper) return;
    helpers_.push_back(std::move(*helper));
  }
}

void WorkerPool::prepare() {
  MutexLock lock(owner_mutex_);
  start_helpers();
}

std::shared_ptr<WorkerPool> shared_workers(std::size_t helper_count) {
  struct Shared {
    Mutex mutex;
    std::weak_ptr<WorkerPool> pool UZ_GUARDED_BY(mutex);
  };
  static auto* const shared = new Shared;  // Never destroyed: a device may outlive static objects.
  MutexLock lock(shared->mutex);
  std::shared_ptr<WorkerPool> pool = shared->pool.lock();
  if (pool == nullptr) shared->pool = pool = std::make_shared<WorkerPool>(helper_count);
  return pool;
}

WorkerPool::~WorkerPool() UZ_NO_THREAD_SAFETY_ANALYSIS {
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
  if (helper_count_ == 0 || !owner_mutex_.try_lock()) {
    for (std::size_t i = 0; i < job.chunk_count; ++i) job.call(job.context, i);
    return;
  }
  start_helpers();
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
