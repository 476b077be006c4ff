// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/disk_view.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace uzram {

bool DiskView::is_there() const {
  if (has_ended->load(std::memory_order_relaxed)) return false;
  if (binding) return binding->is_current();
  struct statx status {};
  const int flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_STATX_DONT_SYNC;
  return ::statx(AT_FDCWD, file_path.c_str(), flags, STATX_TYPE, &status) == 0 &&
         makedev(status.stx_dev_major, status.stx_dev_minor) == file_device;
}

std::string DiskView::block_path() const { return binding ? binding->path() : file_path; }

Result<FileDescriptor> DiskView::open() const {
  return binding ? binding->open(O_RDONLY) : open_file(O_RDONLY);
}

Result<FileDescriptor> DiskView::open_file(int flags) const {
  FileDescriptor file(::open(file_path.c_str(), flags | O_NOFOLLOW | O_CLOEXEC));
  if (!file.is_open()) return fail_errno();
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno();
  if (status.st_dev != file_device) return fail(ENODEV);
  return file;
}

DiskNumbers DiskView::numbers() const {
  DiskNumbers numbers;
  numbers.file = file_device;
  struct stat status {};
  if (binding && ::stat(binding->path().c_str(), &status) == 0 && S_ISBLK(status.st_mode)) {
    numbers.block = status.st_rdev;
  }
  return numbers;
}

}  // namespace uzram
