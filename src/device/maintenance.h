// SPDX-License-Identifier: Apache-2.0
// device/maintenance.h: the thread that keeps a store's memory tidy behind the requests.
//
// What:    while pages change it lets the store give back empty pages and compact from time to
//          time, and once more at rest, together with what is better done when nobody waits:
//          packing mostly dead clusters again, telling the backing store which blocks are free.
//          After a crash it finds out what content there is, for deduplication. An idle device
//          never wakes it. What a request of the background has freed is given back by settle,
//          before the request returns. The thread comes with a change and goes when all is tidy, so
//          a device at rest has none. Where no thread is to be had, the thread that made the change
//          tidies up, ten times a second at most.
// Threads: poke from any thread; costs one relaxed load while a round is already due.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "base/mutex.h"
#include "store/store.h"

namespace uzram {

class Maintenance {
 public:
  // Requires: the store outlives it.
  explicit Maintenance(Store& store) : store_(store) {
    if (store_.needs_dedup_index()) poke();
  }
  ~Maintenance();
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  // True: the thread is there, and stays until false. Errors: EAGAIN, ENOMEM.
  Result<void> keep(bool is_kept);
  // Says that pages have changed.
  void poke() {
    if (!is_due_.load(std::memory_order_relaxed)) wake();
  }

  // Gives back at once what a request has freed, so that whoever asks next finds the memory free.
  void settle();

  // Held during a round: whoever holds it finds the store as the requests have left it.
  [[nodiscard]] Mutex& round_mutex() { return round_mutex_; }

 private:
  void wake();
  void work();
  [[nodiscard]] bool has_long_nothing_to_do() UZ_REQUIRES(mutex_);
  Result<void> start() UZ_REQUIRES(mutex_);
  void maintain(bool is_busy);

  Store& store_;
  StopSignal must_stop_{false};  // Relaxed: a round looks at it now and then.
  // Relaxed: a hint; the store is synchronized by itself.
  std::atomic<bool> is_due_{false};
  Mutex round_mutex_;
  Mutex mutex_;
  ConditionVariable changed_;
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
  bool is_running_ UZ_GUARDED_BY(mutex_) = false;
  bool is_kept_ UZ_GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point next_try_ UZ_GUARDED_BY(mutex_);  // For want of a thread.
  std::thread thread_ UZ_GUARDED_BY(mutex_);  // Last: it uses everything above.
};

}  // namespace uzram
