// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/fuse_mount.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cstdint>
#include <cstdlib>
#include <sstream>

#include "frontend/fuse/fuse_protocol.h"
#include "frontend/fuse/mount_table.h"

namespace uzram {
namespace {

constexpr const char* kFuseNode = "/dev/fuse";

Result<FileDescriptor> open_fuse_node() {
  FileDescriptor node(::open(kFuseNode, O_RDWR | O_CLOEXEC));
  if (!node.is_open()) return fail_errno();
  return node;
}

}  // namespace

Result<FileDescriptor> clone_fuse_connection(int connection) {
  auto clone = open_fuse_node();
  if (!clone) return clone;
  auto source = static_cast<std::uint32_t>(connection);
  if (::ioctl(clone->get(), FUSE_DEV_IOC_CLONE, &source) != 0) return fail_errno();
  return clone;
}

Result<FuseDescriptors> mount_fuse_file(const std::string& path, unsigned clone_count) {
  auto connection = open_fuse_node();
  if (!connection) return tl::unexpected(connection.error());
  FuseDescriptors descriptors;
  descriptors.connection = std::move(*connection);
  std::ostringstream options;
  options << "fd=" << descriptors.connection.get() << ",rootmode=100600,user_id=" << ::geteuid()
          << ",group_id=" << ::getegid();
  if (::mount("uzram", path.c_str(), "fuse", MS_NODEV | MS_NOSUID | MS_NOEXEC | MS_NOATIME,
              options.str().c_str()) != 0) {
    return fail_errno();
  }
  for (unsigned i = 0; i < clone_count; ++i) {
    auto clone = clone_fuse_connection(descriptors.connection.get());
    if (!clone) {
      unmount_by_force(path);
      return tl::unexpected(clone.error());
    }
    descriptors.clones.push_back(std::move(*clone));
  }
  return descriptors;
}

bool unmount_by_force(const std::string& path) {
  // FORCE ends the connection, so every reader of it gets ENODEV; DETACH goes on whoever is inside.
  return ::umount2(path.c_str(), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW) == 0;
}

std::optional<unsigned> find_connection_number(const std::string& path) {
  std::optional<unsigned> number;
  for (const MountEntry& entry : read_mount_table()) {
    if (entry.mount_point != path) continue;
    // "0:45": the second number. The last one mounted there is the one on top.
    const std::string text = entry.device_number.substr(entry.device_number.find(':') + 1);
    number = static_cast<unsigned>(std::strtoul(text.c_str(), nullptr, 10));
  }
  return number;
}

bool abort_connection(unsigned connection_number) {
  // The kernel's control files, mounted nowhere: /sys/fs/fuse/connections may not be there.
  const FileDescriptor context(::fsopen("fusectl", FSOPEN_CLOEXEC));
  if (!context.is_open()) return false;
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) return false;
  const FileDescriptor root(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  if (!root.is_open()) return false;
  const std::string name = std::to_string(connection_number) + "/abort";
  const FileDescriptor file(::openat(root.get(), name.c_str(), O_WRONLY | O_CLOEXEC));
  return file.is_open() && ::write(file.get(), "1", 1) == 1;
}

bool is_mount_point(const std::string& path) {
  for (const MountEntry& entry : read_mount_table()) {
    if (entry.mount_point == path) return true;
  }
  return false;
}

bool is_dead_mount(const std::string& path) {
  // Not stat: its answer may be remembered from when the server lived.
  struct statfs status {};
  return ::statfs(path.c_str(), &status) != 0 && (errno == ENOTCONN || errno == ECONNABORTED);
}

Result<void> clear_dead_mount(const std::string& path) {
  // Mounts may be stacked: each round takes one away.
  while (is_mount_point(path)) {
    if (!is_dead_mount(path)) return fail(EBUSY);
    if (!unmount_by_force(path)) return fail_errno();
  }
  return {};
}

}  // namespace uzram
