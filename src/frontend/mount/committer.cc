// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/committer.h"

#include <algorithm>

namespace uzram {
namespace {

constexpr std::chrono::seconds kClosedDelay{5};
constexpr std::chrono::seconds kOpenDelay{30};

}  // namespace

Committer::Committer(std::size_t most_closed, Commit commit, Hold hold, Hold let_go)
    : most_closed_(most_closed),
      commit_(std::move(commit)),
      hold_(std::move(hold)),
      let_go_(std::move(let_go)) {}

Committer::~Committer() {
  {
    const MutexLock lock(mutex_);
    is_ending_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Committer::start() {
  thread_ = std::thread([this] { work(); });
}

void Committer::note_change(Inode& inode) {
  const MutexLock lock(mutex_);
  const auto [place, is_new] = waiting_.try_emplace(&inode);
  if (!is_new) return;
  place->second.due = Clock::now() + kOpenDelay;
  hold_(inode);
  changed_.notify_one();
}

void Committer::note_close(Inode& inode) {
  Inode* other = nullptr;
  {
    const MutexLock lock(mutex_);
    const auto [place, is_new] = waiting_.try_emplace(&inode);
    Waiting& waiting = place->second;
    if (is_new) {
      waiting.due = Clock::now() + kClosedDelay;
      hold_(inode);
    } else {
      waiting.due = std::min(waiting.due, Clock::now() + kClosedDelay);
    }
    if (!waiting.is_closed) ++closed_count_;
    waiting.is_closed = true;
    if (closed_count_ > most_closed_) other = take_closed_one();
    changed_.notify_one();
  }
  if (other != nullptr) static_cast<void>(commit_one(*other));
}

void Committer::wait_again(Inode& inode) {
  const MutexLock lock(mutex_);
  const auto [place, is_new] = waiting_.try_emplace(&inode);
  if (!is_new) return;
  place->second = {Clock::now() + kClosedDelay, true};
  ++closed_count_;
  hold_(inode);
}

void Committer::remove(Inode& inode) {
  const auto found = waiting_.find(&inode);
  if (found->second.is_closed) --closed_count_;
  waiting_.erase(found);
}

void Committer::forget(Inode& inode) {
  {
    const MutexLock lock(mutex_);
    if (waiting_.count(&inode) == 0) return;
    remove(inode);
  }
  let_go_(inode);
}

Inode* Committer::take_due() {
  const auto now = Clock::now();
  for (const auto& [inode, waiting] : waiting_) {
    if (waiting.due > now) continue;
    Inode* const due = inode;
    remove(*due);
    return due;
  }
  return nullptr;
}

Inode* Committer::take_closed_one() {
  Inode* oldest = nullptr;
  auto oldest_due = Clock::time_point::max();
  for (const auto& [inode, waiting] : waiting_) {
    if (!waiting.is_closed || waiting.due >= oldest_due) continue;
    oldest = inode;
    oldest_due = waiting.due;
  }
  if (oldest != nullptr) remove(*oldest);
  return oldest;
}

Result<void> Committer::commit_one(Inode& inode) {
  const Result<void> done = commit_(inode);
  if (!done && may_succeed_later(done.error().code)) wait_again(inode);
  let_go_(inode);
  return done;
}

void Committer::work() {
  for (;;) {
    Inode* due = nullptr;
    {
      const MutexLock lock(mutex_);
      if (is_ending_) return;
      due = take_due();
      if (due == nullptr) {
        if (waiting_.empty())
          changed_.wait(mutex_);
        else
          changed_.wait_for(mutex_, std::chrono::seconds{1});
        continue;
      }
    }
    static_cast<void>(commit_one(*due));
  }
}

Result<void> Committer::commit_all() {
  std::map<Inode*, Waiting> all;
  {
    const MutexLock lock(mutex_);
    all.swap(waiting_);
    closed_count_ = 0;
  }
  Result<void> last;
  for (const auto& [inode, waiting] : all) {
    if (auto done = commit_(*inode); !done) last = done;
    let_go_(*inode);
  }
  return last;
}

}  // namespace uzram
