// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/change_times.h"

#include <fcntl.h>

#include <array>

namespace uzram {
namespace {

bool is_same_moment(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

InodeKey key_of(const struct stat& status) { return {status.st_dev, status.st_ino}; }

}  // namespace

timespec ChangeTimes::shown(const struct stat& status) const {
  const MutexLock lock(mutex_);
  const auto found = times_.find(key_of(status));
  const bool is_kept = found != times_.end() && is_same_moment(found->second.below, status.st_ctim);
  return is_kept ? found->second.shown : status.st_ctim;
}

void ChangeTimes::note(const struct stat& status, const timespec& shown) {
  const MutexLock lock(mutex_);
  if (is_same_moment(status.st_ctim, shown)) {
    times_.erase(key_of(status));
    return;
  }
  if (times_.size() >= kMostFiles) times_.erase(times_.begin());
  times_[key_of(status)] = {status.st_ctim, shown};
}

KeptTimes::KeptTimes(ChangeTimes& change_times, const Inode& inode)
    : change_times_(change_times), inode_(inode) {
  is_known_ = ::fstat(inode.place(), &status_) == 0;
}

KeptTimes::~KeptTimes() {
  if (!is_known_) return;
  const std::array<timespec, 2> times = {timespec{0, UTIME_OMIT}, status_.st_mtim};
  static_cast<void>(::utimensat(AT_FDCWD, inode_.path().c_str(), times.data(), 0));
  struct stat now {};
  if (::fstat(inode_.place(), &now) == 0) change_times_.note(now, change_times_.shown(status_));
}

}  // namespace uzram
