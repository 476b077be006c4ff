// SPDX-License-Identifier: Apache-2.0
// device/worker_pool.h: helper threads that share one large request with the thread that brought
// it.
//
// What:    run() splits work into chunks; the caller takes chunks too, so nothing ever waits for an
//          idle helper. One request at a time is shared: with several large requests in flight the
//          processors are busy anyway.
// Threads: run from any thread.
// Memory:  threads are made in the constructor; run allocates nothing.
// Laws:    5.
// Proof:   worker_pool_thread_test.cc.
#pragma once

#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

#include "base/mutex.h"

namespace uzram {

class WorkerPool {
 public:
  explicit WorkerPool(std::size_t helper_count);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

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
  void take_chunks(const Job& job);
  void serve();

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
  std::vector<std::thread> helpers_;  // Last: they use everything above.
};

}  // namespace uzram
