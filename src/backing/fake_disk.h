// SPDX-License-Identifier: Apache-2.0
// backing/fake_disk.h: a backing store in memory that fails, stalls and loses writes when a test
// says so.
//
// What:    a FakeDisk is the medium: it outlives the stores on it, as a disk outlives a process.
//          A request that is held up happens when it is let go, however late that is.
// Threads: any.
#pragma once

#include <cstring>
#include <deque>
#include <functional>
#include <string_view>
#include <vector>

#include "backing/backing_store.h"

namespace uzram {

class FakeDisk {
 public:
  using Clock = std::chrono::steady_clock;
  using Kind = BackingRequest::Kind;

  explicit FakeDisk(std::uint64_t block_count) : bytes_(block_count * kBlockBytes) {}

  [[nodiscard]] std::uint64_t block_count() const { return bytes_.size() / kBlockBytes; }
  // The medium itself, at a quiet moment.
  [[nodiscard]] MutableBytes bytes() { return bytes_; }
  [[nodiscard]] MutableBytes block(std::uint64_t index) {
    return bytes().subspan(index * kBlockBytes, kBlockBytes);
  }
  [[nodiscard]] bool holds(ConstBytes pattern) const {
    const auto text = [](ConstBytes bytes) {
      return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    };
    return text(bytes_).find(text(pattern)) != std::string_view::npos;
  }

  // Requests of this kind fail, after `skipped` that do not, until there were `count`.
  void fail(Kind kind, int error, std::uint64_t skipped = 0,
            std::uint64_t count = ~std::uint64_t{0}) {
    MutexLock lock(mutex_);
    faults_.push_back({kind, error, false, skipped, count});
  }
  // The answer is lost, and what was written too.
  void lose_writes(std::uint64_t count) {
    MutexLock lock(mutex_);
    faults_.push_back({Kind::Write, EIO, true, 0, count});
  }
  void work_again() {
    MutexLock lock(mutex_);
    faults_.clear();
  }
  // From now on requests wait.
  void hold_up() {
    MutexLock lock(mutex_);
    is_held_up_ = true;
  }
  // Requests from now on are answered at once; those that wait go on waiting.
  void answer_new_requests() {
    MutexLock lock(mutex_);
    is_held_up_ = false;
  }
  // Those that wait happen now, and no more are held up.
  void let_go() {
    MutexLock lock(mutex_);
    is_held_up_ = false;
    for (Pending& pending : pending_) {
      if (pending.is_waiting) perform(pending);
    }
    done_.notify_all();
  }
  // Does this before the next request of the kind, in the thread that makes it.
  void before_next(Kind kind, std::function<void()> work) {
    MutexLock lock(mutex_);
    before_next_[static_cast<std::size_t>(kind)] = std::move(work);
  }
  [[nodiscard]] std::uint64_t request_count(Kind kind) const {
    MutexLock lock(mutex_);
    return request_counts_[static_cast<std::size_t>(kind)];
  }

  // --- for FakeStore
  void connect(std::size_t request_count) {
    MutexLock lock(mutex_);
    pending_.assign(request_count, {});
  }
  void submit(const BackingRequest& request) {
    std::function<void()> before;
    {
      MutexLock lock(mutex_);
      before = std::exchange(before_next_[static_cast<std::size_t>(request.kind)], nullptr);
    }
    if (before) before();
    MutexLock lock(mutex_);
    ++request_counts_[static_cast<std::size_t>(request.kind)];
    Pending& pending = pending_[request.index];
    pending = {};
    pending.kind = request.kind;
    pending.range = request.range;
    pending.buffer = request.buffer;
    pending.is_waiting = true;
    if (!is_held_up_) perform(pending);
  }
  bool poll(BackingRequest& request, Clock::time_point until) {
    MutexLock lock(mutex_);
    Pending& pending = pending_[request.index];
    while (pending.is_waiting) {
      const auto left = until - Clock::now();
      if (left <= Clock::duration::zero()) return false;
      done_.wait_for(mutex_, left);
    }
    request.error = pending.error;
    request.may_still_happen = pending.may_still_happen;
    return true;
  }

 private:
  struct Fault {
    Kind kind;
    int error;
    bool is_lost;
    std::uint64_t skipped;
    std::uint64_t count;
  };
  struct Pending {
    Kind kind = Kind::Read;
    BlockRange range;
    MutableBytes buffer;
    bool is_waiting = false;
    int error = 0;
    bool may_still_happen = false;
  };

  void perform(Pending& pending) UZ_REQUIRES(mutex_) {
    pending.is_waiting = false;
    for (Fault& fault : faults_) {
      if (fault.kind != pending.kind || fault.count == 0) continue;
      if (fault.skipped > 0) {
        --fault.skipped;
        continue;
      }
      --fault.count;
      pending.error = fault.error;
      pending.may_still_happen = fault.is_lost;
      return;
    }
    std::byte* place = bytes_.data() + pending.range.first * kBlockBytes;
    const std::uint64_t bytes = pending.range.count * kBlockBytes;
    switch (pending.kind) {
      case Kind::Read:
        std::memcpy(pending.buffer.data(), place, bytes);
        break;
      case Kind::Write:
        std::memcpy(place, pending.buffer.data(), bytes);
        break;
      case Kind::Discard:
        std::memset(place, 0, bytes);
        break;
    }
  }

  std::vector<std::byte> bytes_;
  mutable Mutex mutex_;
  ConditionVariable done_;
  std::vector<Pending> pending_ UZ_GUARDED_BY(mutex_);
  std::vector<Fault> faults_ UZ_GUARDED_BY(mutex_);
  bool is_held_up_ UZ_GUARDED_BY(mutex_) = false;
  std::uint64_t request_counts_[3] UZ_GUARDED_BY(mutex_) = {};
  std::function<void()> before_next_[3] UZ_GUARDED_BY(mutex_);
};

class FakeStore final : public BackingStore {
 public:
  FakeStore(FakeDisk& disk, const BackingOptions& options)
      : BackingStore(disk.block_count(), options), disk_(disk) {
    disk_.connect(requests().size());
  }
  ~FakeStore() override { say_farewell(); }

  [[nodiscard]] const char* kind() const override { return "fake"; }

 private:
  void submit(BackingRequest& request) override { disk_.submit(request); }
  bool poll(BackingRequest& request, Clock::time_point until) override {
    return disk_.poll(request, until);
  }
  FakeDisk& disk_;
};

}  // namespace uzram
