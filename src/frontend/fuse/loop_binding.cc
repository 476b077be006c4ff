// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/loop_binding.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

namespace uzram {

Result<LoopBinding> LoopBinding::read(int node) {
  loop_info64 info{};
  if (::ioctl(node, LOOP_GET_STATUS64, &info) != 0) {
    // Free, or not even a loop device.
    if (errno == ENXIO || errno == ENOTTY || errno == EINVAL) return fail(ENODEV);
    return fail_errno();
  }
  return LoopBinding{static_cast<int>(info.lo_number), info.lo_device, info.lo_inode};
}

std::string LoopBinding::path() const { return "/dev/loop" + std::to_string(index); }

Result<FileDescriptor> LoopBinding::open(int flags) const {
  FileDescriptor node(::open(path().c_str(), flags | O_CLOEXEC | O_NOCTTY));
  if (!node.is_open()) {
    // ENXIO: it is being detached at this moment.
    if (errno == ENOENT || errno == ENXIO) return fail(ENODEV);
    return fail_errno();
  }
  const Result<LoopBinding> now = read(node.get());
  if (!now) return tl::unexpected(now.error());
  if (*now != *this) return fail(ENODEV);
  return node;
}

}  // namespace uzram
