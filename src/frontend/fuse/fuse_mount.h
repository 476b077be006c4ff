// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_mount.h: mounts of FUSE file systems: ours, and what dead daemons left.
//
// What:    mounting a file system that is one file, its descriptors, unmounting, leftovers. Not
//          here: what is said over the descriptors (disk_requests.h).
// Owns:    FuseDescriptors owns every descriptor of one connection that is kept. Clones that
//          serving threads make for a while (disk_crew.h) carry requests of their own and nothing
//          else: another process that is given the connection clones it again, and the kernel has
//          it answer what a lost clone had read (resend).
// Errors:  from the system.
// Threads: any thread; calls block for short. Only is_dead_mount and clear_dead_mount wait for
//          an answer, when there is a server that lives.
// Proof:   fuse_attachment_test.cc, tree_test.cc.
// Source:  mount(2), mount.fuse3(8), proc_pid_mountinfo(5), the kernel's filesystems/fuse.rst.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

struct FuseDescriptors {
  FileDescriptor connection;           // It alone was given to mount(2).
  std::vector<FileDescriptor> clones;  // Each has requests of its own; together they share a queue.
};

// Mounts over the regular file at `path` a file system whose root is a regular file. Nobody answers
// it yet: touching `path` blocks until somebody serves the descriptors.
Result<FuseDescriptors> mount_fuse_file(const std::string& path, unsigned clone_count);

// Another descriptor of the same connection, at any time after the mount.
Result<FileDescriptor> clone_fuse_connection(int connection);

// Ends the connection and unmounts, whoever still has files open. Returns: false when nothing is
// mounted there or this user may not.
bool unmount_by_force(const std::string& path);

// The kernel's number of the connection that is mounted at `path`; nullopt when nothing is.
[[nodiscard]] std::optional<unsigned> find_connection_number(const std::string& path);
// Ends a connection wherever it is mounted (another container may hold a copy of the mount).
bool abort_connection(unsigned connection_number);

// Whether something is mounted exactly there, in this process's view.
[[nodiscard]] bool is_mount_point(const std::string& path);

// Asks the server of the file system at `path`. Requires: is_mount_point(path).
[[nodiscard]] bool is_dead_mount(const std::string& path);

// Unmounts `path` when the server of the file system there is dead. Errors: EBUSY it is alive.
Result<void> clear_dead_mount(const std::string& path);

}  // namespace uzram
