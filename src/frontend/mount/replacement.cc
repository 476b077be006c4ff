// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/replacement.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <vector>

namespace uzram {
namespace {

Result<void> copy_xattrs(const std::string& from, int to) {
  std::vector<char> names(1 << 16);
  const ssize_t names_bytes = ::listxattr(from.c_str(), names.data(), names.size());
  if (names_bytes < 0) return errno == EOPNOTSUPP ? Result<void>{} : fail_errno();
  std::vector<char> value(1 << 16);
  for (const char* name = names.data(); name < names.data() + names_bytes;
       name += std::char_traits<char>::length(name) + 1) {
    const ssize_t bytes = ::getxattr(from.c_str(), name, value.data(), value.size());
    if (bytes < 0) return fail_errno();
    if (::fsetxattr(to, name, value.data(), static_cast<std::size_t>(bytes), 0) != 0)
      return fail_errno();
  }
  return {};
}

Result<struct stat> status_of(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return fail_errno();
  return status;
}

}  // namespace

Result<Replacement> Replacement::begin(Volume& volume, Inode& inode) {
  const auto status = status_of(inode.place());
  if (!status) return fail(status.error().code);
  if (status->st_nlink == 0) return fail(ENOENT);
  if (status->st_nlink > 1) return fail(EMLINK);
  Replacement made(volume, inode);
  PrivateFolder* const folder = volume.private_folder();
  if (folder == nullptr) return fail(EROFS);
  auto name = folder->make_file(made.file_);
  if (!name) return fail(name.error().code);
  made.name_ = *std::move(name);
  return made;
}

Replacement::~Replacement() {
  if (!name_.empty()) ::unlinkat(volume_.private_folder()->place(), name_.c_str(), 0);
}

KeptFlags Replacement::kept_flags() const {
  KeptFlags flags = inode_.flags();
  flags.number = inode_.shown_number();
  return flags;
}

Result<void> Replacement::copy_attributes(const struct stat& old_status) {
  const int file = file_.get();
  if (::fchown(file, old_status.st_uid, old_status.st_gid) != 0) return fail_errno();
  if (::fchmod(file, old_status.st_mode & 07777) != 0) return fail_errno();
  if (auto copied = copy_xattrs(inode_.path(), file); !copied) return copied;
  // Without xattrs it is known by another number once the mount has ended.
  static_cast<void>(store_kept_flags(fmt::format("/proc/self/fd/{}", file), kept_flags()));
  const std::array<timespec, 2> times = {old_status.st_atim, old_status.st_mtim};
  if (::futimens(file, times.data()) != 0) return fail_errno();
  if (::fsync(file) != 0) return fail_errno();
  return {};
}

// The name may be another file's by now. So the two change places, what comes out is looked at, and
// goes back if it is not the old file.
Result<void> Replacement::take_name(const Volume::Name& target, const struct stat& old_status) {
  const int own = volume_.private_folder()->place();
  const auto rename = [&](unsigned flags) {
    return ::renameat2(own, name_.c_str(), target.folder.get(), target.name.c_str(), flags) == 0;
  };
  if (!rename(RENAME_EXCHANGE)) {
    // Some file systems know no exchange; they have what find_name() has seen.
    if (errno != EINVAL || !rename(0)) return fail_errno();
    name_.clear();
    return {};
  }
  struct stat out {};
  if (::fstatat(own, name_.c_str(), &out, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno();
  const bool is_old_one = out.st_dev == old_status.st_dev && out.st_ino == old_status.st_ino;
  if (is_old_one) {
    ::unlinkat(own, name_.c_str(), 0);
    name_.clear();
    return {};
  }
  // It is somebody else's: it is not removed, whatever happens.
  if (!rename(RENAME_EXCHANGE)) {
    static_cast<void>(rename(RENAME_NOREPLACE));
    name_.clear();
  }
  return fail(EBUSY);
}

Result<void> Replacement::publish() {
  const std::unique_lock<std::shared_mutex> lock(volume_.names_mutex());
  const auto old_status = status_of(inode_.place());
  if (!old_status) return fail(old_status.error().code);
  if (old_status->st_nlink > 1) return fail(EMLINK);
  const auto target = volume_.find_name(inode_);
  if (!target) return fail(target.error().code);
  if (auto copied = copy_attributes(*old_status); !copied) return copied;
  const FileDescriptor place(
      ::open(fmt::format("/proc/self/fd/{}", file_.get()).c_str(), O_PATH | O_CLOEXEC));
  if (!place.is_open()) return fail_errno();
  if (auto taken = take_name(*target, *old_status); !taken) return taken;
  auto replaced = volume_.inodes().replace(inode_, place);
  static_cast<void>(inode_.set_flags(kept_flags()));
  // A sync of the file alone need not make its new name safe.
  const FileDescriptor folder(
      ::openat(target->folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.is_open()) static_cast<void>(::fsync(folder.get()));
  return replaced;
}

}  // namespace uzram
