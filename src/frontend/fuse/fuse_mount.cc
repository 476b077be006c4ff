// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/fuse_mount.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cstdint>
#include <fstream>
#include <sstream>

#include "frontend/fuse/fuse_protocol.h"

namespace uzram {
namespace {

constexpr const char* kFuseNode = "/dev/fuse";

Result<FileDescriptor> open_fuse_node() {
  FileDescriptor node(::open(kFuseNode, O_RDWR | O_CLOEXEC));
  if (!node.is_open()) return fail_errno();
  return node;
}

// mountinfo writes space, tab, newline and backslash as three octal digits.
std::string without_octal(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool is_escape = text[i] == '\\' && i + 3 < text.size();
    if (!is_escape) {
      plain += text[i];
      continue;
    }
    const auto digit = [&text, i](std::size_t at) { return (text[i + at] - '0') & 7; };
    plain += static_cast<char>(digit(1) * 64 + digit(2) * 8 + digit(3));
    i += 3;
  }
  return plain;
}

Result<FileDescriptor> clone_connection(const FileDescriptor& connection) {
  auto clone = open_fuse_node();
  if (!clone) return clone;
  std::uint32_t source = static_cast<std::uint32_t>(connection.get());
  if (::ioctl(clone->get(), FUSE_DEV_IOC_CLONE, &source) != 0) return fail_errno();
  return clone;
}

}  // namespace

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
    auto clone = clone_connection(descriptors.connection);
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

bool is_mount_point(const std::string& path) {
  std::ifstream table("/proc/self/mountinfo");
  std::string line;
  while (std::getline(table, line)) {
    std::istringstream words(line);
    std::string id, parent, device, root, mount_point;
    if (!(words >> id >> parent >> device >> root >> mount_point)) continue;
    if (without_octal(mount_point) == path) return true;
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
