// SPDX-License-Identifier: Apache-2.0
// Requests about open directories.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "frontend/mount/mount_operations.h"

namespace uzram {
namespace {

struct OpenFolder {
  struct Close {
    void operator()(DIR* folder) const { ::closedir(folder); }
  };
  Mutex mutex;
  std::unique_ptr<DIR, Close> listing UZ_GUARDED_BY(mutex);
  off_t offset UZ_GUARDED_BY(mutex) = 0;              // Of what comes next.
  const dirent* next UZ_GUARDED_BY(mutex) = nullptr;  // Read already, not yet given.
};

OpenFolder& open_folder_of(const fuse_file_info& info) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return *reinterpret_cast<OpenFolder*>(static_cast<std::uintptr_t>(info.fh));
}

void on_opendir(fuse_req_t request, fuse_ino_t node, fuse_file_info* info) {
  const std::string path = inode_of(request, node).path();
  int descriptor = -1;
  auto opened = as_caller(request, [&] {
    descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return descriptor < 0 ? -1 : 0;
  });
  if (!opened) return reply_error(request, opened.error().code);
  auto folder = std::make_unique<OpenFolder>();
  {
    const MutexLock lock(folder->mutex);
    folder->listing.reset(::fdopendir(descriptor));
    if (folder->listing == nullptr) {
      ::close(descriptor);
      return reply_error(request, ENOMEM);
    }
  }
  info->fh = reinterpret_cast<std::uintptr_t>(folder.get());
  if (::fuse_reply_open(request, info) != -ENOENT) static_cast<void>(folder.release());
}

void on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  const std::unique_ptr<OpenFolder> folder(&open_folder_of(*info));
  reply_error(request, 0);
}

bool is_dot(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

// Adds an entry at the end of `out`. Returns: false when there is no room.
bool add_entry(fuse_req_t request, Inode& folder, const dirent& entry, bool with_attributes,
               std::vector<char>& out, std::size_t room) {
  fuse_entry_param plus{};
  plus.attr.st_ino = entry.d_ino;
  plus.attr.st_mode = static_cast<mode_t>(DTTOIF(entry.d_type));
  const std::size_t used = out.size();
  const std::size_t bytes =
      with_attributes ? ::fuse_add_direntry_plus(request, nullptr, 0, entry.d_name, nullptr, 0)
                      : ::fuse_add_direntry(request, nullptr, 0, entry.d_name, nullptr, 0);
  if (used + bytes > room) return false;
  out.resize(used + bytes);
  if (!with_attributes) {
    ::fuse_add_direntry(request, &out[used], bytes, entry.d_name, &plus.attr, entry.d_off);
    return true;
  }
  // Without its attributes, when there are none to be had: the kernel asks again.
  if (!is_dot(entry.d_name)) {
    if (const auto found = look_up(volume_of(request), folder, entry.d_name)) plus = *found;
  }
  ::fuse_add_direntry_plus(request, &out[used], bytes, entry.d_name, &plus, entry.d_off);
  return true;
}

// As many entries as have room. Returns: an errno value, or 0.
int read_entries(fuse_req_t request, Inode& inode, OpenFolder& folder, off_t offset,
                 bool with_attributes, std::vector<char>& out, std::size_t room) {
  const MutexLock lock(folder.mutex);
  if (offset != folder.offset) {
    ::seekdir(folder.listing.get(), offset);
    folder.offset = offset;
    folder.next = nullptr;
  }
  for (;;) {
    errno = 0;
    if (folder.next == nullptr) folder.next = ::readdir(folder.listing.get());
    if (folder.next == nullptr) return out.empty() ? errno : 0;
    if (!is_private(volume_of(request), inode, folder.next->d_name) &&
        !add_entry(request, inode, *folder.next, with_attributes, out, room)) {
      return 0;
    }
    folder.offset = folder.next->d_off;
    folder.next = nullptr;
  }
}

// The kernel may let go of the folder as soon as it has its answer: no lock is held then.
void read_folder(fuse_req_t request, fuse_ino_t node, std::size_t room, off_t offset,
                 const fuse_file_info& info, bool with_attributes) {
  std::vector<char> out;
  out.reserve(room);
  const int code = read_entries(request, inode_of(request, node), open_folder_of(info), offset,
                                with_attributes, out, room);
  if (code != 0) return reply_error(request, code);
  ::fuse_reply_buf(request, out.data(), out.size());
}

void on_readdir(fuse_req_t request, fuse_ino_t node, std::size_t room, off_t offset,
                fuse_file_info* info) {
  read_folder(request, node, room, offset, *info, false);
}

void on_readdirplus(fuse_req_t request, fuse_ino_t node, std::size_t room, off_t offset,
                    fuse_file_info* info) {
  read_folder(request, node, room, offset, *info, true);
}

void on_fsyncdir(fuse_req_t request, fuse_ino_t, int, fuse_file_info* info) {
  OpenFolder& folder = open_folder_of(*info);
  int code = 0;
  {
    const MutexLock lock(folder.mutex);
    if (::fsync(::dirfd(folder.listing.get())) != 0) code = errno;
  }
  reply_error(request, code);
}

}  // namespace

void add_folder_operations(fuse_lowlevel_ops& callbacks) {
  callbacks.opendir = on_opendir;
  callbacks.readdir = on_readdir;
  callbacks.readdirplus = on_readdirplus;
  callbacks.releasedir = on_releasedir;
  callbacks.fsyncdir = on_fsyncdir;
}

}  // namespace uzram
