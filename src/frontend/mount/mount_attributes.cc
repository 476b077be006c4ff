// SPDX-License-Identifier: Apache-2.0
// Requests about attributes and xattrs.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <vector>

#include "frontend/mount/mount_operations.h"
#include "frontend/mount/regular_file.h"

namespace uzram {
namespace {

void on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  const auto status = status_of(volume_of(request), inode_of(request, node));
  if (!status) return reply_error(request, status.error().code);
  ::fuse_reply_attr(request, &*status, kBelievedSeconds);
}

// --- setattr -----------------------------------------------------------------------------------

Result<void> set_size(Inode& inode, std::uint64_t size_bytes, bool is_open) {
  if (inode.file == nullptr) return fail(EINVAL);
  if (is_open) return inode.file->truncate(size_bytes);
  if (auto opened = inode.file->open(true); !opened) return opened;
  Result<void> done = inode.file->truncate(size_bytes);
  if (auto flushed = inode.file->flush(); done && !flushed) done = flushed;
  inode.file->close(true);
  return done;
}

// As ourselves: the kernel sends the times that it keeps as whoever it writes for.
Result<void> set_times(Inode& inode, const struct stat& wanted, int which) {
  timespec times[2] = {{0, UTIME_OMIT}, {0, UTIME_OMIT}};
  if ((which & FUSE_SET_ATTR_ATIME) != 0) times[0] = wanted.st_atim;
  if ((which & FUSE_SET_ATTR_ATIME_NOW) != 0) times[0].tv_nsec = UTIME_NOW;
  if ((which & FUSE_SET_ATTR_MTIME) != 0) times[1] = wanted.st_mtim;
  if ((which & FUSE_SET_ATTR_MTIME_NOW) != 0) times[1].tv_nsec = UTIME_NOW;
  if (inode.file != nullptr) return inode.file->set_times(times);
  // A symbolic link's own: its descriptor is not followed further.
  if (::utimensat(inode.place(), "", times, AT_EMPTY_PATH) != 0) return fail_errno();
  return {};
}

// A write to the file of another takes set-user-ID away, and the kernel asks for it as the writer:
// whoever it is may make a file lose that, and no more.
Result<void> set_mode(fuse_req_t request, Inode& inode, mode_t mode) {
  {
    const auto acting = ActAs::begin(caller_of(request));
    if (!acting) return fail(acting.error().code);
    auto set = inode.set_mode(mode);
    if (set || set.error().code != EPERM) return set;
  }
  constexpr mode_t kSetIds = S_ISUID | S_ISGID;
  const auto status = inode.status();
  if (!status) return fail(status.error().code);
  const mode_t lost = (status->st_mode & 07777) ^ mode;
  if ((lost & ~kSetIds) != 0 || (lost & mode) != 0) return fail(EPERM);
  return inode.set_mode(mode);
}

Result<void> set_owner(fuse_req_t request, Inode& inode, const struct stat& wanted, int which) {
  const uid_t owner = (which & FUSE_SET_ATTR_UID) != 0 ? wanted.st_uid : static_cast<uid_t>(-1);
  const gid_t group = (which & FUSE_SET_ATTR_GID) != 0 ? wanted.st_gid : static_cast<gid_t>(-1);
  return as_caller(request, [&] {
    return ::fchownat(inode.place(), "", owner, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
  });
}

Result<void> set_attributes(fuse_req_t request, Inode& inode, const struct stat& wanted, int which,
                            bool is_open) {
  if ((which & FUSE_SET_ATTR_MODE) != 0) {
    if (auto set = set_mode(request, inode, wanted.st_mode & 07777); !set) return set;
  }
  if ((which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    if (auto set = set_owner(request, inode, wanted, which); !set) return set;
  }
  if ((which & FUSE_SET_ATTR_SIZE) != 0) {
    auto sized = set_size(inode, static_cast<std::uint64_t>(wanted.st_size), is_open);
    if (!sized) return sized;
  }
  constexpr int kTimes =
      FUSE_SET_ATTR_ATIME | FUSE_SET_ATTR_ATIME_NOW | FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_MTIME_NOW;
  return (which & kTimes) != 0 ? set_times(inode, wanted, which) : Result<void>{};
}

void on_setattr(fuse_req_t request, fuse_ino_t node, struct stat* wanted, int which,
                fuse_file_info* info) {
  Inode& inode = inode_of(request, node);
  auto set = set_attributes(request, inode, *wanted, which, info != nullptr);
  if (!set) return reply_error(request, set.error().code);
  // The kernel says when it was: below, it is now.
  if ((which & FUSE_SET_ATTR_CTIME) != 0 && inode.file != nullptr) {
    if (const auto below = inode.status())
      volume_of(request).change_times().note(*below, wanted->st_ctim);
  }
  on_getattr(request, node, info);
}

void on_statfs(fuse_req_t request, fuse_ino_t) {
  struct statvfs status {};
  if (::fstatvfs(volume_of(request).top(), &status) != 0) return reply_error(request, errno);
  ::fuse_reply_statfs(request, &status);
}

// --- xattrs ------------------------------------------------------------------------------------

// What getxattr and listxattr answer: the bytes, or how many there are.
void reply_xattr(fuse_req_t request, const std::vector<char>& bytes, std::size_t room) {
  if (room == 0)
    ::fuse_reply_xattr(request, bytes.size());
  else if (room < bytes.size())
    reply_error(request, ERANGE);
  else
    ::fuse_reply_buf(request, bytes.data(), bytes.size());
}

bool is_acl(const char* name) {
  constexpr const char* kAcls = "system.posix_acl_";
  return std::strncmp(name, kAcls, std::strlen(kAcls)) == 0;
}

void on_getxattr(fuse_req_t request, fuse_ino_t node, const char* name, std::size_t room) {
  if (is_kept_flags_name(name)) return reply_error(request, ENODATA);
  const std::string path = inode_of(request, node).path();
  std::vector<char> value(room);
  const ssize_t got = ::getxattr(path.c_str(), name, value.data(), room);
  // Where there can be no ACL, there is none: otherwise the kernel would refuse all access.
  if (got < 0) return reply_error(request, errno == EOPNOTSUPP && is_acl(name) ? ENODATA : errno);
  if (room == 0) {
    ::fuse_reply_xattr(request, static_cast<std::size_t>(got));
    return;
  }
  value.resize(static_cast<std::size_t>(got));
  reply_xattr(request, value, room);
}

void on_listxattr(fuse_req_t request, fuse_ino_t node, std::size_t room) {
  const std::string path = inode_of(request, node).path();
  std::vector<char> all(XATTR_LIST_MAX);
  const ssize_t got = ::listxattr(path.c_str(), all.data(), all.size());
  if (got < 0) return reply_error(request, errno);
  std::vector<char> shown;
  const bool is_for_root = caller_of(request).user == 0;
  for (const char* name = all.data(); name < all.data() + got;) {
    const std::size_t bytes = std::strlen(name) + 1;
    const bool is_hidden = !is_for_root && std::strncmp(name, "trusted.", 8) == 0;
    if (!is_hidden && !is_kept_flags_name(name)) shown.insert(shown.end(), name, name + bytes);
    name += bytes;
  }
  reply_xattr(request, shown, room);
}

void on_setxattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value,
                 std::size_t bytes, int flags) {
  if (is_kept_flags_name(name)) return reply_error(request, EPERM);
  const std::string path = inode_of(request, node).path();
  reply_done(request, as_caller(request, [&] {
               return ::setxattr(path.c_str(), name, value, bytes, flags);
             }));
}

void on_removexattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  if (is_kept_flags_name(name)) return reply_error(request, ENODATA);
  const std::string path = inode_of(request, node).path();
  reply_done(request, as_caller(request, [&] { return ::removexattr(path.c_str(), name); }));
}

}  // namespace

void add_attribute_operations(fuse_lowlevel_ops& callbacks) {
  callbacks.getattr = on_getattr;
  callbacks.setattr = on_setattr;
  callbacks.statfs = on_statfs;
  callbacks.getxattr = on_getxattr;
  callbacks.listxattr = on_listxattr;
  callbacks.setxattr = on_setxattr;
  callbacks.removexattr = on_removexattr;
}

}  // namespace uzram
