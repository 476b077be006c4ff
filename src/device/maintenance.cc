// SPDX-License-Identifier: Apache-2.0
#include "device/maintenance.h"

#include <chrono>

#include "base/start_thread.h"
#include "store/cluster_maker.h"

namespace uzram {
namespace {

// Long enough that a round finds much to do at once, short enough that freed memory is soon free.
constexpr std::chrono::milliseconds kPause{100};
// How long the thread waits for more to do before it goes.
constexpr std::chrono::milliseconds kLinger{500};

// Blocks of the backing store that a round at rest may give back.
constexpr std::uint64_t kMostDiscards = 65536;

// Of all pages that clusters were made of, more than an eighth is gone.
bool has_many_dead_members(const Store& store) {
  const SharedSlots& clusters = store.cluster_slots();
  std::uint64_t made = 0;
  std::uint64_t alive = 0;
  for (std::uint64_t slot = clusters.begin(); slot < clusters.end(); ++slot) {
    const std::uint32_t users = clusters.users({slot});
    if (users == 0) continue;
    made += clusters.size({slot});
    alive += users;
  }
  return made > alive && (made - alive) * 8 > made;
}

}  // namespace

Maintenance::~Maintenance() UZ_NO_THREAD_SAFETY_ANALYSIS {
  must_stop_.store(true, std::memory_order_relaxed);
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Result<void> Maintenance::start() {
  if (is_running_) return {};
  if (thread_.joinable()) thread_.join();  // It has nothing left to do but to end.
  auto thread = start_thread("uzram-tidy", [this] { work(); });
  if (!thread) return tl::unexpected(thread.error());
  thread_ = std::move(*thread);
  is_running_ = true;
  return {};
}

Result<void> Maintenance::keep(bool is_kept) {
  MutexLock lock(mutex_);
  if (is_kept) {
    if (const Result<void> started = start(); !started) return started;
  }
  is_kept_ = is_kept;
  changed_.notify_all();
  return {};
}

void Maintenance::wake() {
  if (is_due_.exchange(true, std::memory_order_relaxed)) return;
  {
    MutexLock lock(mutex_);
    changed_.notify_all();
    if (is_ending_ || is_running_) return;
    const auto now = std::chrono::steady_clock::now();
    if (now >= next_try_ && start()) return;
    is_due_.store(false, std::memory_order_relaxed);
    if (now < next_try_) return;
    next_try_ = now + kPause;
  }
  if (!round_mutex_.try_lock()) return;
  store_.maintain(Pace::Busy);
  round_mutex_.unlock();
}

bool Maintenance::has_long_nothing_to_do() {
  if (is_kept_) {
    changed_.wait(mutex_);
    return false;
  }
  changed_.wait_for(mutex_, kLinger);
  return !is_kept_ && !is_due_.load(std::memory_order_relaxed);
}

void Maintenance::maintain(bool is_busy) {
  if (!is_busy) {
    if (has_many_dead_members(store_)) {
      ClusterRequest request;
      request.only_mostly_dead = true;
      // What it cannot do now it tries again at the next rest.
      static_cast<void>(make_clusters(store_, request, must_stop_));
    }
    if (store_.backing() != nullptr)
      static_cast<void>(store_.backing()->discard_freed_blocks(kMostDiscards));
  }
  store_.maintain(is_busy ? Pace::Busy : Pace::Rest);
}

void Maintenance::settle() {
  {
    MutexLock round(round_mutex_);
    store_.maintain(Pace::Busy);
  }
  poke();  // What is left waits for rest.
}

void Maintenance::work() {
  if (store_.needs_dedup_index()) store_.rebuild_dedup_index(must_stop_);
  MutexLock lock(mutex_);
  bool is_tidy = true;  // Nothing has changed since a round at rest.
  while (!is_ending_) {
    if (is_tidy && !is_due_.load(std::memory_order_relaxed)) {
      if (has_long_nothing_to_do()) break;
      continue;
    }
    changed_.wait_for(mutex_, kPause);
    if (is_ending_) break;
    const bool was_due = is_due_.exchange(false, std::memory_order_relaxed);
    mutex_.unlock();
    {
      MutexLock round(round_mutex_);
      maintain(was_due);
    }
    mutex_.lock();
    is_tidy = !was_due;
  }
  is_running_ = false;
}

}  // namespace uzram
