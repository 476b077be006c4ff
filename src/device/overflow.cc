// SPDX-License-Identifier: Apache-2.0
#include "device/overflow.h"

#include <algorithm>

namespace uzram {
namespace {

// Large enough that looking through the table pays, small enough that a writer does not wait long.
constexpr std::uint64_t kLeastBlocks = 64;
constexpr std::uint64_t kMostBlocks = 4096;
constexpr std::uint64_t kLimitShare = 8;

constexpr std::array kKinds{
    PageFilter{PageType::HugeIdle}, PageFilter{PageType::HugeOrIncompressible},
    PageFilter{PageType::Idle},     PageFilter{PageType::All, 2},
    PageFilter{PageType::All},
};

std::chrono::milliseconds now_in_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
      Overflow::Clock::now().time_since_epoch());
}

}  // namespace

Overflow::Overflow(Store& store, PolicyHost& host, Maintenance& maintenance)
    : store_(store), host_(host), maintenance_(maintenance) {
  static_assert(kKinds.size() == kKindCount);
  if (store_.backing() != nullptr) thread_ = std::thread([this] { work(); });
}

Overflow::~Overflow() {
  if (!thread_.joinable()) return;
  must_stop_.store(true, std::memory_order_relaxed);
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  wanted_.notify_all();
  done_.notify_all();
  thread_.join();
}

Overflow::Clock::time_point Overflow::last_moment() const {
  const BackingSpace* backing = store_.backing();
  return Clock::now() +
         (backing == nullptr ? Clock::duration{} : backing->store().options().time_limit);
}

bool Overflow::make_room(Clock::time_point until) {
  if (!thread_.joinable()) return false;
  MutexLock lock(mutex_);
  const std::uint64_t seen = push_count_;
  is_wanted_ = true;
  wanted_.notify_one();
  while (push_count_ == seen) {
    const auto left = until - Clock::now();
    if (is_ending_ || left <= Clock::duration::zero()) return false;
    done_.wait_for(mutex_, left);
  }
  return has_made_room_;
}

void Overflow::work() {
  MutexLock lock(mutex_);
  for (;;) {
    while (!is_wanted_ && !is_ending_) wanted_.wait(mutex_);
    if (is_ending_) return;
    mutex_.unlock();
    const bool has_made_room = push();
    mutex_.lock();
    is_wanted_ = false;
    has_made_room_ = has_made_room;
    ++push_count_;
    done_.notify_all();
  }
}

bool Overflow::push() {
  const BackingSpace& backing = *store_.backing();
  if (health_.look(backing, now_in_ms()) != BackingState::Works) return false;
  const std::uint64_t wanted =
      std::clamp(store_.pool().limit_pages() / kLimitShare, kLeastBlocks, kMostBlocks);
  std::uint64_t blocks = 0;
  bool has_moved = false;
  for (std::size_t kind = 0; kind < kKindCount && blocks < wanted; ++kind) {
    WritebackRequest request;
    request.pages = kKinds[kind];
    request.most_blocks = wanted - blocks;
    request.first = next_[kind];
    const WritebackOutcome outcome = host_.write_back(request, must_stop_);
    health_.note(backing, outcome.error, now_in_ms());
    next_[kind] = outcome.next;
    blocks += outcome.written_blocks;
    has_moved = has_moved || outcome.written_pages > 0;
    const bool is_over = outcome.error != 0 || outcome.is_limit_reached;
    // The kind has more than what is wanted now.
    if (is_over || (!outcome.has_seen_all && outcome.written_pages > 0)) break;
  }
  // What lay between them becomes whole pages.
  if (has_moved) maintenance_.settle();
  return has_moved;
}

}  // namespace uzram
