// SPDX-License-Identifier: Apache-2.0
// What all requests share, and requests about names.
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstring>
#include <string>
#include <utility>

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

Result<struct stat> status_of(Volume& volume, Inode& inode) {
  const auto below = inode.status();
  if (!below) return below;
  auto status = below;
  status->st_ino = inode.shown_number();
  if (inode.file == nullptr) return status;
  const auto size = inode.file->size_bytes(*below);
  if (!size) return fail(size.error().code);
  status->st_size = static_cast<off_t>(*size);
  status->st_ctim = volume.change_times().shown(*below);
  return status;
}

bool is_private(Volume& volume, const Inode& folder, const char* name) {
  return &folder == &volume.root() && std::strcmp(name, kPrivateFolder) == 0;
}

Caller caller_of(fuse_req_t request) {
  const fuse_ctx& context = *::fuse_req_ctx(request);
  return {context.uid, context.gid, context.pid, context.umask};
}

namespace {

using NamesShared = std::shared_lock<std::shared_mutex>;

// The file that open() leads to, with one more use. No file takes another's place meanwhile.
template <typename Open>
Result<Inode*> inode_at(Volume& volume, const Open& open) {
  const NamesShared lock(volume.names_mutex());
  FileDescriptor place(open());
  struct stat status {};
  if (!place.is_open() || ::fstat(place.get(), &status) != 0) return fail_errno();
  return &volume.inodes().look_up(std::move(place), status);
}

Result<Inode*> inode_named(Volume& volume, const Inode& folder, const char* name) {
  return inode_at(volume,
                  [&] { return ::openat(folder.place(), name, O_PATH | O_NOFOLLOW | O_CLOEXEC); });
}

Result<fuse_entry_param> entry_of(Volume& volume, const Result<Inode*>& found) {
  if (!found) return fail(found.error().code);
  const auto shown = status_of(volume, **found);
  if (!shown) {
    volume.inodes().let_go(**found);
    return fail(shown.error().code);
  }
  fuse_entry_param entry{};
  entry.ino = node_of(**found);
  entry.attr = *shown;
  entry.attr_timeout = entry.entry_timeout = kBelievedSeconds;
  return entry;
}

}  // namespace

Result<fuse_entry_param> look_up(Volume& volume, Inode& folder, const char* name) {
  if (is_private(volume, folder, name)) return fail(ENOENT);
  return entry_of(volume, inode_named(volume, folder, name));
}

Result<fuse_entry_param> entry_of_open_file(Volume& volume, int file) {
  const std::string path = "/proc/self/fd/" + std::to_string(file);
  return entry_of(volume,
                  inode_at(volume, [&] { return ::open(path.c_str(), O_PATH | O_CLOEXEC); }));
}

namespace {

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

// --- names -------------------------------------------------------------------------------------

void on_readlink(fuse_req_t request, fuse_ino_t node) {
  std::array<char, PATH_MAX + 1> target;
  const ssize_t got =
      ::readlinkat(inode_of(request, node).place(), "", target.data(), target.size() - 1);
  if (got < 0) return reply_error(request, errno);
  target[static_cast<std::size_t>(got)] = '\0';
  ::fuse_reply_readlink(request, target.data());
}

// Makes something with make(), as the caller, and answers with it.
template <typename Make>
void make_entry(fuse_req_t request, fuse_ino_t parent, const char* name, const Make& make) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, EPERM);
  if (auto made = as_caller(request, [&] { return make(folder.place()); }); !made)
    return reply_error(request, made.error().code);
  reply_entry(request, folder, name);
}

void on_mknod(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode, dev_t device) {
  make_entry(request, parent, name, [&](int folder) {
    return ::mknodat(folder, name, mode_under_umask(caller_of(request), mode), device);
  });
}

// A directory hands its flag on to those below. The new one is the caller's: if others changed
// names meanwhile, what has the name now need not be.
void inherit_flag(fuse_req_t request, Inode& folder, const char* name) {
  const CompressFlag flag = folder.flags().compress;
  if (flag == CompressFlag::Unset) return;
  Volume& volume = volume_of(request);
  const auto entry = look_up(volume, folder, name);
  if (!entry) return;
  Inode& made = inode_of(request, entry->ino);
  const uid_t owner = ::geteuid() == 0 ? caller_of(request).user : ::geteuid();
  if (made.is_folder() && entry->attr.st_uid == owner) {
    KeptFlags flags;
    flags.compress = flag;
    static_cast<void>(made.set_flags(flags));
  }
  volume.inodes().let_go(made);
}

void on_mkdir(fuse_req_t request, fuse_ino_t parent, const char* name, mode_t mode) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, EPERM);
  auto made = as_caller(request, [&] {
    return ::mkdirat(folder.place(), name, mode_under_umask(caller_of(request), mode));
  });
  if (!made) return reply_error(request, made.error().code);
  inherit_flag(request, folder, name);
  reply_entry(request, folder, name);
}

void on_symlink(fuse_req_t request, const char* target, fuse_ino_t parent, const char* name) {
  make_entry(request, parent, name, [&](int folder) { return ::symlinkat(target, folder, name); });
}

void on_link(fuse_req_t request, fuse_ino_t node, fuse_ino_t parent, const char* name) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, EPERM);
  const std::string linked = inode_of(request, node).path();
  Result<void> done;
  {
    const NamesShared lock(volume_of(request).names_mutex());
    done = as_caller(request, [&] {
      // A link to a symbolic link is one to the link itself: its descriptor leads no further.
      return ::linkat(AT_FDCWD, linked.c_str(), folder.place(), name, AT_SYMLINK_FOLLOW);
    });
  }
  if (!done) return reply_error(request, done.error().code);
  reply_entry(request, folder, name);
}

void remove_name(fuse_req_t request, fuse_ino_t parent, const char* name, int flags) {
  Inode& folder = inode_of(request, parent);
  if (is_private(volume_of(request), folder, name)) return reply_error(request, ENOENT);
  Result<void> done;
  {
    const NamesShared lock(volume_of(request).names_mutex());
    done = as_caller(request, [&] { return ::unlinkat(folder.place(), name, flags); });
  }
  reply_done(request, done);
}

void on_unlink(fuse_req_t request, fuse_ino_t parent, const char* name) {
  remove_name(request, parent, name, 0);
}

void on_rmdir(fuse_req_t request, fuse_ino_t parent, const char* name) {
  remove_name(request, parent, name, AT_REMOVEDIR);
}

// One of the two names of a renaming.
struct Renamed {
  Inode& folder;
  std::string name;
};

Result<void> rename_as_caller(fuse_req_t request, const Renamed& from, const Renamed& to,
                              unsigned flags) {
  const NamesShared lock(volume_of(request).names_mutex());
  return as_caller(request, [&] {
    return ::renameat2(from.folder.place(), from.name.c_str(), to.folder.place(), to.name.c_str(),
                       flags);
  });
}

// The regular file that is there, with one more use, or none.
Inode* regular_file_at(Volume& volume, const Renamed& at) {
  const auto found = inode_named(volume, at.folder, at.name.c_str());
  if (!found) return nullptr;
  if ((*found)->is_regular()) return *found;
  volume.inodes().let_go(**found);
  return nullptr;
}

// Who writes a file anew beside the old one and renames it over that has the old one or the new
// one after a crash, without a sync: as with the file systems of the kernel.
void rename_over(fuse_req_t request, Inode& file, const Renamed& from, const Renamed& to,
                 unsigned flags) {
  Result<void> done = file.file->sync();
  if (done) done = rename_as_caller(request, from, to, flags);
  volume_of(request).inodes().let_go(file);
  reply_done(request, done);
}

void on_rename(fuse_req_t request, fuse_ino_t parent, const char* name, fuse_ino_t new_parent,
               const char* new_name, unsigned flags) {
  Volume& volume = volume_of(request);
  Inode& from = inode_of(request, parent);
  Inode& to = inode_of(request, new_parent);
  if (is_private(volume, from, name)) return reply_error(request, ENOENT);
  if (is_private(volume, to, new_name)) return reply_error(request, EPERM);
  const Renamed source{from, name};
  const Renamed target{to, new_name};
  struct stat replaced {};
  Inode* file = nullptr;
  if (::fstatat(to.place(), new_name, &replaced, AT_SYMLINK_NOFOLLOW) == 0 &&
      S_ISREG(replaced.st_mode)) {
    file = regular_file_at(volume, source);
  }
  if (file != nullptr && file->file->writer_count() != 0) {
    // What only the kernel has yet comes along.
    volume.late_answers().post([request, file, source, target, flags] {
      volume_of(request).write_back(*file);
      rename_over(request, *file, source, target, flags);
    });
    return;
  }
  if (file != nullptr && file->file->has_changes())
    return rename_over(request, *file, source, target, flags);
  if (file != nullptr) volume.inodes().let_go(*file);
  reply_done(request, rename_as_caller(request, source, target, flags));
}

}  // namespace

void add_name_operations(fuse_lowlevel_ops& callbacks) {
  callbacks.lookup = on_lookup;
  callbacks.forget = on_forget;
  callbacks.forget_multi = on_forget_multi;
  callbacks.readlink = on_readlink;
  callbacks.mknod = on_mknod;
  callbacks.mkdir = on_mkdir;
  callbacks.symlink = on_symlink;
  callbacks.link = on_link;
  callbacks.unlink = on_unlink;
  callbacks.rmdir = on_rmdir;
  callbacks.rename = on_rename;
}

}  // namespace uzram
