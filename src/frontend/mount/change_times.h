// SPDX-License-Identifier: Apache-2.0
// frontend/mount/change_times.h: when files last changed, where the file system below says later.
//
// What:    a commit writes below some time after the change that it makes safe, and the change time
//          there moves. Here is which one to show, as long as the one below is that of the commit.
//          KeptTimes is there while bytes move and the content stays. Not here: times that somebody
//          sets (mount_attributes.cc).
// Shapes:  for as many files as there is room for; the others show the time below. Ends with the
//          mount.
// Threads: any.
// Proof:   RegularFileTest.MovesItsBytesWithoutMovingItsTimes, tests/mount/life_test.py.
#pragma once

#include <sys/stat.h>

#include <unordered_map>

#include "base/mutex.h"
#include "frontend/mount/inode_table.h"

namespace uzram {

class ChangeTimes {
 public:
  // `status` is that of the file below.
  [[nodiscard]] timespec shown(const struct stat& status) const;
  // As long as the one below is the one of `status`, this one is shown.
  void note(const struct stat& status, const timespec& shown);

 private:
  static constexpr std::size_t kMostFiles = std::size_t{1} << 20;
  struct Times {
    timespec below{};
    timespec shown{};
  };
  mutable Mutex mutex_;
  std::unordered_map<InodeKey, Times, InodeKeyHash> times_ UZ_GUARDED_BY(mutex_);
};

class KeptTimes {
 public:
  KeptTimes(ChangeTimes& change_times, const Inode& inode);
  ~KeptTimes();
  KeptTimes(const KeptTimes&) = delete;
  KeptTimes& operator=(const KeptTimes&) = delete;

 private:
  ChangeTimes& change_times_;
  const Inode& inode_;
  struct stat status_ {};
  bool is_known_ = false;
};

}  // namespace uzram
