// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/private_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

namespace uzram {
namespace {

constexpr const char* kLockName = "lock";
// A mount that ends takes the folder away under one that begins.
constexpr int kMostTries = 100;

bool is_same_file(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Whether `name` in `folder` still leads to what is open.
bool leads_to(int folder, const char* name, int open_file) {
  struct stat named {};
  struct stat status {};
  return ::fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
         ::fstat(open_file, &status) == 0 && is_same_file(named, status);
}

Result<FileDescriptor> open_own_folder(int top) {
  if (::mkdirat(top, kPrivateFolder, 0700) != 0 && errno != EEXIST) return fail_errno();
  FileDescriptor place(
      ::openat(top, kPrivateFolder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!place.is_open()) return fail(errno == ENOTDIR || errno == ELOOP ? EPERM : errno);
  if (::fstat(place.get(), &status) != 0) return fail_errno();
  // Some file systems know one owner and one mode only: what counts is who may write.
  const mode_t foreign_writers = S_IWGRP | S_IWOTH;
  if (status.st_uid != ::geteuid() || (status.st_mode & foreign_writers) != 0) return fail(EPERM);
  if ((status.st_mode & 07777) != 0700) static_cast<void>(::fchmod(place.get(), 0700));
  return place;
}

// Returns: none when somebody has taken the folder or the lock away meanwhile.
Result<FileDescriptor> try_lock(int top, int folder) {
  FileDescriptor lock(
      ::openat(folder, kLockName, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600));
  if (!lock.is_open()) return errno == ENOENT ? Result<FileDescriptor>{} : fail_errno();
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(errno == EWOULDBLOCK ? EBUSY : errno);
  if (!leads_to(folder, kLockName, lock.get()) || !leads_to(top, kPrivateFolder, folder))
    return FileDescriptor{};
  return lock;
}

void remove_files_in(int folder) {
  const int listed = ::openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* const listing = listed < 0 ? nullptr : ::fdopendir(listed);
  if (listing == nullptr) {
    if (listed >= 0) ::close(listed);
    return;
  }
  while (const dirent* const entry = ::readdir(listing)) {
    const bool is_kept = entry->d_name[0] == '.' || std::strcmp(entry->d_name, kLockName) == 0;
    if (!is_kept) ::unlinkat(folder, entry->d_name, 0);
  }
  ::closedir(listing);
}

}  // namespace

Result<std::unique_ptr<PrivateFolder>> PrivateFolder::open(int top) {
  for (int i = 0; i < kMostTries; ++i) {
    auto place = open_own_folder(top);
    if (!place) return fail(place.error().code);
    auto lock = try_lock(top, place->get());
    if (!lock) return fail(lock.error().code);
    if (!lock->is_open()) continue;
    remove_files_in(place->get());
    return std::unique_ptr<PrivateFolder>(new PrivateFolder(std::move(*place), std::move(*lock)));
  }
  return fail(EBUSY);
}

Result<std::string> PrivateFolder::make_file(FileDescriptor& file) {
  std::string name = std::to_string(count_.fetch_add(1, std::memory_order_relaxed));
  file = FileDescriptor(::openat(place_.get(), name.c_str(),
                                 O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.is_open()) return fail_errno();
  return name;
}

Result<void> PrivateFolder::remove(int top) {
  remove_files_in(place_.get());
  static_cast<void>(::unlinkat(place_.get(), kLockName, 0));
  const bool is_in_place = leads_to(top, kPrivateFolder, place_.get());
  const bool is_gone = !is_in_place || ::unlinkat(top, kPrivateFolder, AT_REMOVEDIR) == 0;
  // Another mount may have begun since the lock has lost its name: then the folder is in use.
  const int code = is_gone || errno == ENOTEMPTY ? 0 : errno;
  lock_.reset();
  if (code != 0) return fail(code);
  return {};
}

}  // namespace uzram
