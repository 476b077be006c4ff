// SPDX-License-Identifier: Apache-2.0
// Requests about names, attributes and xattrs.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <vector>

#include "frontend/mount/mount_operations.h"
#include "frontend/mount/regular_file.h"

namespace uzram {

Volume& volume_of(fuse_req_t request) {
  return *static_cast<Volume*>(::fuse_req_userdata(request));
}

Inode& inode_of(fuse_req_t request, fuse_ino_t node) {
  if (node == FUSE_ROOT_ID) return volume_of(request).root();
  // The kernel gives back what it was given.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return *reinterpret_cast<Inode*>(static_cast<std::uintptr_t>(node));
}

fuse_ino_t node_of(Inode& inode) { return reinterpret_cast<std::uintptr_t>(&inode); }

void reply_error(fuse_req_t request, int code) {
  // A file's content that is not what was written is an I/O error to programs.
  ::fuse_reply_err(request, code == EBADMSG || code == EPROTONOSUPPORT ? EIO : code);
}

void reply_done(fuse_req_t request, const Result<void>& done) {
  reply_error(request, done ? 0 : done.error().code);
}

Result<struct stat> status_of(Inode& inode) {
  struct stat status {};
  if (::fstat(inode.place(), &status) != 0) return fail_errno();
  status.st_ino = inode.shown_number();
  if (inode.file == nullptr) return status;
  const auto size = inode.file->size_bytes(status);
  if (!size) return fail(size.error().code);
  status.st_size = static_cast<off_t>(*size);
  return status;
}

bool is_private(Volume& volume, const Inode& folder, const char* name) {
  return &folder == &volume.root() && std::strcmp(name, kPrivateFolder) == 0;
}

Result<fuse_entry_param> look_up(Volume& volume, Inode& folder, const char* name) {
  if (is_private(volume, folder, name)) return fail(ENOENT);
  FileDescriptor place(::openat(folder.place(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat status {};
  if (!place.is_open() || ::fstat(place.get(), &status) != 0) return fail_errno();
  Inode& inode = volume.inodes().look_up(std::move(place), status);
  const auto shown = status_of(inode);
  if (!shown) {
    volume.inodes().let_go(inode);
    return fail(shown.error().code);
  }
  fuse_entry_param entry{};
  entry.ino = node_of(inode);
  entry.attr = *shown;
  entry.attr_timeout = entry.entry_timeout = kBelievedSeconds;
  return entry;
}

Result<void> give_to_caller(fuse_req_t request, const Inode& folder, int parent, const char* name,
                            mode_t mode) {
  if (::geteuid() != 0) return {};
  const fuse_ctx& caller = *::fuse_req_ctx(request);
  struct stat status {};
  if (::fstat(folder.place(), &status) != 0) return fail_errno();
  // Where the directory says so, the file system has set its group already.
  const gid_t group = (status.st_mode & S_ISGID) != 0 ? static_cast<gid_t>(-1) : caller.gid;
  if (::fchownat(parent, name, caller.uid, group, AT_SYMLINK_NOFOLLOW) != 0) return fail_errno();
  if (S_ISLNK(mode) || (mode & (S_ISUID | S_ISGID)) == 0) return {};
  if (::fchmodat(parent, name, mode & 07777, 0) != 0) return fail_errno();
  return {};
}

namespace {

using NamesShared = std::shared_lock<std::shared_mutex>;

void reply_entry(fuse_req_t request, Inode& folder, const char* name) {
  Volume& volume = volume_of(request);
  const auto entry = look_up(volume, folder, name);
  if (!entry) return reply_error(request, entry.error().code);
  if (::fuse_reply_entry(request, &*entry) == -ENOENT)
    volume.inodes().let_go(inode_of(request, entry->ino));
}

void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Volume& volume = volume_of(request);
  const auto entry = look_up(volume, inode_of(request, parent), name);
  if (!entry && entry.error().code == ENOENT) {
    fuse_entry_param nothing{};
    nothing.entry_timeout = kBelievedSeconds;
    ::fuse_reply_entry(request, &nothing);
    return;
  }
  if (!entry) return reply_error(request, entry.error().code);
  if (::fuse_reply_entry(request, &*entry) == -ENOENT)
    volume.inodes().let_go(inode_of(request, entry->ino));
}

void forget_one(Volume& volume, fuse_ino_t node, std::uint64_t count) {
  if (node == FUSE_ROOT_ID) return;
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  Inode& inode = *reinterpret_cast<Inode*>(static_cast<std::uintptr_t>(node));
  // Its space is to be free now, not when its turn comes.
  if (inode.file != nullptr && inode.file->drop_if_gone()) volume.committer().forget(inode);
  volume.inodes().let_go(inode, count);
}

void on_forget(fuse_req_t request, fuse_ino_t node, std::uint64_t count) {
  forget_one(volume_of(request), node, count);
  ::fuse_reply_none(request);
}

void on_forget_multi(fuse_req_t request, std::size_t count, fuse_forget_data* forgets) {
  for (std::size_t i = 0; i < count; ++i)
    forget_one(volume_of(request), forgets[i].ino, forgets[i].nlookup);
  ::fuse_reply_none(request);
}

void on_getattr(fuse_req_t request, fuse_ino_t node, fuse_file_info*) {
  const auto status = status_of(inode_of(request, node));
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

Result<void> set_attributes(Inode& inode, const struct stat& wanted, int which, bool is_open) {
  if ((which & FUSE_SET_ATTR_MODE) != 0 &&
      ::chmod(inode.path().c_str(), wanted.st_mode & 07777) != 0) {
    return fail_errno();
  }
  if ((which & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
    const uid_t owner = (which & FUSE_SET_ATTR_UID) != 0 ? wanted.st_uid : static_cast<uid_t>(-1);
    const gid_t group = (which & FUSE_SET_ATTR_GID) != 0 ? wanted.st_gid : static_cast<gid_t>(-1);
    if (::fchownat(inode.place(), "", owner, group, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0)
      return fail_errno();
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
  if (auto set = set_attributes(inode_of(request, node), *wanted, which, info != nullptr); !set)
    return reply_error(request, set.error().code);
  on_getattr(request, node, info);
}

// --- names -------------------------------------------------------------------------------------

void on_readlink(fuse_req_t request, fuse_ino_t node) {
  std::array<char, PATH_MAX + 1> target;
  const ssize_t got =
      ::readlinkat(inode_of(request, node).place(), "", target.data(), target.size() - 1);
  if (got < 0) return reply_error(request, errno);
  target[static_cast<std::size_t>(got)] = '\0';
  ::fuse_reply_readlink(request, target.data());
}

// Makes something with make(), gives it to the caller, and answers with it.
template <typename Make>
void make_entry(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, int remove,
                const Make& make) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, EPERM);
  if (make(folder.place()) != 0) return reply_error(request, errno);
  if (auto given = give_to_caller(request, folder, folder.place(), name, mode); !given) {
    ::unlinkat(folder.place(), name, remove);
    return reply_error(request, given.error().code);
  }
  reply_entry(request, folder, name);
}

void on_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  make_entry(request, parent, name, mode, 0,
             [&](int folder) { return ::mknodat(folder, name, mode, device); });
}

// A directory hands its flag on to those below.
void inherit_flag(Inode& folder, const char* name) {
  const CompressFlag flag = folder.flags().compress;
  if (flag == CompressFlag::Unset) return;
  const FileDescriptor made(
      ::openat(folder.place(), name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made.is_open()) return;
  KeptFlags flags;
  flags.compress = flag;
  static_cast<void>(store_kept_flags("/proc/self/fd/" + std::to_string(made.get()), flags));
}

void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  make_entry(request, parent, name, mode | S_IFDIR, AT_REMOVEDIR, [&](int folder) {
    if (::mkdirat(folder, name, mode) != 0) return -1;
    inherit_flag(inode_of(request, parent), name);
    return 0;
  });
}

void on_symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  make_entry(request, parent, name, S_IFLNK, 0,
             [&](int folder) { return ::symlinkat(target, folder, name); });
}

void on_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, EPERM);
  Inode& inode = inode_of(request, node);
  {
    const NamesShared lock(volume_of(request).names_mutex());
    // A link to a symbolic link is one to the link itself: its descriptor leads no further.
    if (::linkat(AT_FDCWD, inode.path().c_str(), folder.place(), name, AT_SYMLINK_FOLLOW) != 0)
      return reply_error(request, errno);
  }
  reply_entry(request, folder, name);
}

void remove_name(fuse_req_t request, fuse_ino_t parent, const char* name, int flags) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, ENOENT);
  const NamesShared lock(volume_of(request).names_mutex());
  reply_error(request, ::unlinkat(folder.place(), name, flags) == 0 ? 0 : errno);
}

void on_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  remove_name(request, parent, name, 0);
}

void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  remove_name(request, parent, name, AT_REMOVEDIR);
}

void on_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
  Volume& volume = volume_of(request);
  Inode& from = inode_of(request, parent);
  Inode& to = inode_of(request, new_parent);
  if (is_private(volume, from, name)) return reply_error(request, ENOENT);
  if (is_private(volume, to, new_name)) return reply_error(request, EPERM);
  const NamesShared lock(volume.names_mutex());
  const bool is_done = ::renameat2(from.place(), name, to.place(), new_name, flags) == 0;
  reply_error(request, is_done ? 0 : errno);
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

void on_getxattr(fuse_req_t request, fuse_ino_t node, const char* name, std::size_t room) {
  if (is_kept_flags_name(name)) return reply_error(request, ENODATA);
  const std::string path = inode_of(request, node).path();
  std::vector<char> value(room);
  const ssize_t got = ::getxattr(path.c_str(), name, value.data(), room);
  if (got < 0) return reply_error(request, errno);
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
  for (const char* name = all.data(); name < all.data() + got;) {
    const std::size_t bytes = std::strlen(name) + 1;
    if (!is_kept_flags_name(name)) shown.insert(shown.end(), name, name + bytes);
    name += bytes;
  }
  reply_xattr(request, shown, room);
}

void on_setxattr(fuse_req_t request, fuse_ino_t node, const char* name, const char* value,
                 std::size_t bytes, int flags) {
  if (is_kept_flags_name(name)) return reply_error(request, EPERM);
  const std::string path = inode_of(request, node).path();
  reply_error(request, ::setxattr(path.c_str(), name, value, bytes, flags) == 0 ? 0 : errno);
}

void on_removexattr(fuse_req_t request, fuse_ino_t node, const char* name) {
  if (is_kept_flags_name(name)) return reply_error(request, ENODATA);
  const std::string path = inode_of(request, node).path();
  reply_error(request, ::removexattr(path.c_str(), name) == 0 ? 0 : errno);
}

}  // namespace

void add_name_operations(fuse_lowlevel_ops& callbacks) {
  callbacks.lookup = on_lookup;
  callbacks.forget = on_forget;
  callbacks.forget_multi = on_forget_multi;
  callbacks.getattr = on_getattr;
  callbacks.setattr = on_setattr;
  callbacks.readlink = on_readlink;
  callbacks.mknod = on_mknod;
  callbacks.mkdir = on_mkdir;
  callbacks.symlink = on_symlink;
  callbacks.link = on_link;
  callbacks.unlink = on_unlink;
  callbacks.rmdir = on_rmdir;
  callbacks.rename = on_rename;
  callbacks.statfs = on_statfs;
  callbacks.getxattr = on_getxattr;
  callbacks.listxattr = on_listxattr;
  callbacks.setxattr = on_setxattr;
  callbacks.removexattr = on_removexattr;
}

}  // namespace uzram
