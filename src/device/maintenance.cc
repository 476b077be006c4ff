// SPDX-License-Identifier: Apache-2.0
#include "device/maintenance.h"

#include <chrono>

#include "store/cluster_maker.h"

namespace uzram {
namespace {

// Long enough that a round finds much to do at once, short enough that freed memory is soon free.
constexpr std::chrono::milliseconds kPause{100};

// A round takes less, but for one that packs clusters, or on a machine with other work.
constexpr std::chrono::milliseconds kMostWait{500};

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

Maintenance::~Maintenance() {
  must_stop_.store(true, std::memory_order_relaxed);
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

void Maintenance::hurry() {
  if (is_urgent_.exchange(true, std::memory_order_relaxed)) return;
  MutexLock lock(mutex_);
  is_due_.store(true, std::memory_order_relaxed);
  changed_.notify_all();
}

void Maintenance::wait_for_room() {
  const auto end = std::chrono::steady_clock::now() + kMostWait;
  hurry();
  MutexLock lock(mutex_);
  const std::uint64_t seen = rounds_;
  while (!is_ending_ && rounds_ == seen && store_.needs_room()) {
    const auto left = end - std::chrono::steady_clock::now();
    if (left <= left.zero()) return;
    room_made_.wait_for(mutex_, left);
  }
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
      changed_.wait(mutex_);
      continue;
    }
    if (!is_urgent_.load(std::memory_order_relaxed)) changed_.wait_for(mutex_, kPause);
    if (is_ending_) return;
    is_urgent_.store(false, std::memory_order_relaxed);
    const bool was_due = is_due_.exchange(false, std::memory_order_relaxed);
    mutex_.unlock();
    {
      MutexLock round(round_mutex_);
      maintain(was_due);
    }
    mutex_.lock();
    ++rounds_;
    room_made_.notify_all();
    is_tidy = !was_due;
  }
}

}  // namespace uzram
