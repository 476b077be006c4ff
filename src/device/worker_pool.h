// SPDX-License-Identifier: Apache-2.0
// device/worker_pool.h: helper threads that share one large request with the thread that brought
// it.
//
// What:    run() splits work into chunks; the caller takes chunks too, so nothing ever waits for an
//          idle helper. One request at a time is shared: with several large requests in flight the
//          processors are busy anyway.
// Threads: run from any thread.
//          The devices of a process share one pool.
// Memory:  threads are made by the first run, or before that by prepare; then nothing is allocated.
//          Where no thread is to be had the caller does all of it, and tries again later.
// Laws:    5.
// Proof:   worker_pool_thread_test.cc.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace uzram {

class WorkerPool {
 public:
  // No thread yet.
  explicit WorkerPool(std::size_t helper_count) : helper_count_(helper_count) {}
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  // Makes the helpers now, as far as they are to be had.
  void prepare() UZ_EXCLUDES(owner_mutex_);
  // Calls work(i) for every i in [0, chunk_count), on this thread and on helpers, and returns when
  // all are done.
  template <typename Work>
  void run(std::size_t chunk_count, Work& work) {
    run_job({[](void* context, std::size_t i) { (*static_cast<Work*>(context))(i); }, &work,
             chunk_count});
  }

 private:
  struct Job {
    void (*call)(void* context, std::size_t chunk) = nullptr;
    void* context = nullptr;
    std::size_t chunk_count = 0;
  };
  void run_job(Job job);
  void start_helpers() UZ_REQUIRES(owner_mutex_);
  void take_chunks(const Job& job);
  void serve();

  const std::size_t helper_count_;
  Mutex owner_mutex_;  // Held by the thread whose job is shared. Taken before mutex_.
  // synchronizes itself; relaxed: only hands out numbers, mutex_ publishes the job and its results.
  std::atomic<std::size_t> next_chunk_{0};
  // guarded by mutex_
  Mutex mutex_;
  ConditionVariable job_posted_;
  ConditionVariable helpers_left_;
  Job job_ UZ_GUARDED_BY(mutex_);
  bool is_posted_ UZ_GUARDED_BY(mutex_) = false;
  std::size_t helpers_inside_ UZ_GUARDED_BY(mutex_) = 0;
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point next_try_ UZ_GUARDED_BY(owner_mutex_);
  std::vector<std::thread> helpers_ UZ_GUARDED_BY(owner_mutex_);  // Last: they use what is above.
};

// The pool of this process, for devices that share; it ends with the last of them.
[[nodiscard]] std::shared_ptr<WorkerPool> shared_workers(std::size_t helper_count);

}  // namespace uzram
