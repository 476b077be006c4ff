// SPDX-License-Identifier: Apache-2.0
// base/mutex.h: std::mutex with clang's thread-safety annotations, which libstdc++'s own does not
// carry.
//
// What:    Mutex, MutexLock, ConditionVariable and the annotation macros. Lock order is written in
//          INVARIANTS.md.
// Threads: as std::mutex; a waiting ConditionVariable wakes at notify, at the timeout, or for no
//          reason.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#if defined(__clang__)
#define UZ_THREAD_ANNOTATION(x) __attribute__((x))
#else
#define UZ_THREAD_ANNOTATION(x)
#endif

#define UZ_CAPABILITY(x) UZ_THREAD_ANNOTATION(capability(x))
#define UZ_SCOPED_CAPABILITY UZ_THREAD_ANNOTATION(scoped_lockable)
#define UZ_GUARDED_BY(x) UZ_THREAD_ANNOTATION(guarded_by(x))
#define UZ_REQUIRES(...) UZ_THREAD_ANNOTATION(requires_capability(__VA_ARGS__))
#define UZ_ACQUIRE(...) UZ_THREAD_ANNOTATION(acquire_capability(__VA_ARGS__))
#define UZ_RELEASE(...) UZ_THREAD_ANNOTATION(release_capability(__VA_ARGS__))
#define UZ_TRY_ACQUIRE(...) UZ_THREAD_ANNOTATION(try_acquire_capability(__VA_ARGS__))
#define UZ_RETURN_CAPABILITY(x) UZ_THREAD_ANNOTATION(lock_returned(x))
#define UZ_EXCLUDES(...) UZ_THREAD_ANNOTATION(locks_excluded(__VA_ARGS__))
#define UZ_NO_THREAD_SAFETY_ANALYSIS UZ_THREAD_ANNOTATION(no_thread_safety_analysis)

namespace uzram {

class UZ_CAPABILITY("mutex") Mutex {
 public:
  void lock() UZ_ACQUIRE() { mutex_.lock(); }
  void unlock() UZ_RELEASE() { mutex_.unlock(); }
  bool try_lock() UZ_TRY_ACQUIRE(true) { return mutex_.try_lock(); }

 private:
  friend class ConditionVariable;
  std::mutex mutex_;
};

class UZ_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) UZ_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() UZ_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

class ConditionVariable {
 public:
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }
  // Requires: `mutex` is held by the caller; it is held again on return.
  void wait(Mutex& mutex) UZ_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  template <typename Duration>
  void wait_for(Mutex& mutex, Duration duration) UZ_REQUIRES(mutex) {
    std::unique_lock<std::mutex> lock(mutex.mutex_, std::adopt_lock);
    condition_.wait_for(lock, duration);
    lock.release();
  }

 private:
  std::condition_variable condition_;
};

}  // namespace uzram
