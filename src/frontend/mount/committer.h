// SPDX-License-Identifier: Apache-2.0
// frontend/mount/committer.h: makes changes safe that nobody asked to make safe.
//
// What:    a thread that commits files some time after they changed: soon once nobody has them
//          open, otherwise later. Not here: what a commit is (regular_file.h).
// Shapes:  5 seconds after the last close, 30 after the first change that is not committed. When
//          too many closed files have changes, one is committed by whoever closed the last.
// Errors:  a file whose commit fails for lack of space is tried again; all others keep the error
//          for whoever uses them next.
// Threads: any. A file is held in the table while it is waiting here.
// Proof:   regular_file_thread_test.cc, tests/mount.
#pragma once

#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <thread>

#include "base/mutex.h"
#include "base/result.h"

namespace uzram {

class Inode;

// Whether a commit that failed so may succeed when somebody has made room.
[[nodiscard]] inline bool may_succeed_later(int code) { return code == ENOSPC || code == EDQUOT; }

class Committer {
 public:
  // Commits a file and closes what nobody uses.
  using Commit = std::function<Result<void>(Inode&)>;
  // The file is needed from now on, and no longer.
  using Hold = std::function<void(Inode&)>;

  Committer(std::size_t most_closed, Commit commit, Hold hold, Hold let_go);
  ~Committer();
  Committer(const Committer&) = delete;
  Committer& operator=(const Committer&) = delete;

  // Not in the constructor: the thread must not run before the process has become a daemon.
  void start();
  void note_change(Inode& inode);
  // Nobody has it open any more. Commits another file if there are too many.
  void note_close(Inode& inode);
  // It has nothing that would have to be safe.
  void forget(Inode& inode);
  // Everything there is, now. Returns: the last error.
  [[nodiscard]] Result<void> commit_all();

 private:
  using Clock = std::chrono::steady_clock;
  struct Waiting {
    Clock::time_point due;
    bool is_closed = false;
  };

  void work();
  Inode* take_due() UZ_REQUIRES(mutex_);
  Inode* take_closed_one() UZ_REQUIRES(mutex_);
  void remove(Inode& inode) UZ_REQUIRES(mutex_);
  Result<void> commit_one(Inode& inode);
  void wait_again(Inode& inode);

  const std::size_t most_closed_;
  const Commit commit_;
  const Hold hold_;
  const Hold let_go_;
  std::thread thread_;

  Mutex mutex_;
  ConditionVariable changed_;
  std::map<Inode*, Waiting> waiting_ UZ_GUARDED_BY(mutex_);
  std::size_t closed_count_ UZ_GUARDED_BY(mutex_) = 0;
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
};

}  // namespace uzram
