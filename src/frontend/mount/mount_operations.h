// SPDX-License-Identifier: Apache-2.0
// frontend/mount/mount_operations.h: answers the kernel's requests to a mounted volume.
//
// What:    one callback of libfuse for each request, as four groups; each adds its own to the
//          table. Not here: the session and its threads (mount_server.h), contents
//          (regular_file.h).
// Shapes:  a node's number is its Inode's address; the volume is the session's user data.
// Errors:  the reply carries the errno; damage in a cluster file is EIO.
// Threads: any number of requests at once.
// Proof:   tests/mount.
// Source:  libfuse's fuse_lowlevel.h.
#pragma once

#include <fuse_lowlevel.h>

#include <string>

#include "frontend/mount/caller.h"
#include "frontend/mount/volume.h"

namespace uzram {

void add_name_operations(fuse_lowlevel_ops& callbacks);
void add_attribute_operations(fuse_lowlevel_ops& callbacks);
void add_file_operations(fuse_lowlevel_ops& callbacks);
void add_folder_operations(fuse_lowlevel_ops& callbacks);
// Of mount_ioctl.cc.
void answer_ioctl(fuse_req_t request, fuse_ino_t node, unsigned command, void* argument,
                  fuse_file_info* info, unsigned flags, const void* in, std::size_t in_bytes,
                  std::size_t out_bytes);

// --- what they share -------------------------------------------------------------------------

// How long the kernel believes what it was told. Only the mount changes what is below.
inline constexpr double kBelievedSeconds = 1.0;

// An open file.
struct OpenFile {
  bool can_write = false;
};

[[nodiscard]] Volume& volume_of(fuse_req_t request);
[[nodiscard]] Inode& inode_of(fuse_req_t request, fuse_ino_t node);
[[nodiscard]] fuse_ino_t node_of(Inode& inode);
[[nodiscard]] OpenFile& open_file_of(const fuse_file_info& info);

void reply_error(fuse_req_t request, int code);
void reply_done(fuse_req_t request, const Result<void>& done);

// What stat shows of it.
[[nodiscard]] Result<struct stat> status_of(Volume& volume, Inode& inode);
// Finds a name, and counts one more use of what it names.
[[nodiscard]] Result<fuse_entry_param> look_up(Volume& volume, Inode& folder, const char* name);
// Whether the mount keeps this name for itself.
[[nodiscard]] bool is_private(Volume& volume, const Inode& folder, const char* name);
// The same for what is open already.
[[nodiscard]] Result<fuse_entry_param> entry_of_open_file(Volume& volume, int file);

// --- on behalf of others -----------------------------------------------------------------------

[[nodiscard]] Caller caller_of(fuse_req_t request);
// Does one system call with the caller's ids. Returns: its errno.
template <typename Work>
[[nodiscard]] Result<void> as_caller(fuse_req_t request, const Work& work) {
  const auto acting = ActAs::begin(caller_of(request));
  if (!acting) return fail(acting.error().code);
  if (work() != 0) return fail_errno();
  return {};
}

}  // namespace uzram
