// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/loop_binding.h: which file a loop device is bound to, as the kernel tells it.
//
// What:    a number such as /dev/loop5 goes to others once the device is detached (losetup -d). A
//          binding is the number and the file behind it; open() makes sure of both on the
//          descriptor that it returns. Not here: making and ending a binding (loop_device.h).
// Errors:  open -> ENODEV the device is bound to nothing, to another file, or is not there;
//          otherwise those of open(2), such as EBUSY for O_EXCL.
// Threads: any. `read` asks the file's server when the kernel has forgotten its inode's number.
// Laws:    while a descriptor of a loop device is open, the device keeps its file: a detach is
//          put off until the last close.
// Proof:   loop_device_test.cc, fuse_attachment_test.cc.
// Source:  loop(4); lo_device and lo_inode of LOOP_GET_STATUS64; the kernel's
//          ABI/stable/sysfs-block for diskseq.
#pragma once

#include <cstdint>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

struct LoopBinding {
  int index = -1;
  std::uint64_t file_device =
      0;  // As in st_dev: a mount's own, so no other mount has it meanwhile.
  std::uint64_t file_inode = 0;
  std::uint64_t disk_sequence = 0;  // New for each binding of any disk; 0: an old kernel.

  // What the open loop device `node` is bound to. Errors: ENODEV nothing; otherwise of the file.
  static Result<LoopBinding> read(int node);

  [[nodiscard]] std::string path() const;   // "/dev/loop5"
  [[nodiscard]] std::string sysfs() const;  // "/sys/block/loop5"
  [[nodiscard]] Result<FileDescriptor> open(int flags) const;
  // Whether it still holds, without opening the device where the kernel allows that. True also
  // when that cannot be found out: every use makes sure for itself.
  [[nodiscard]] bool is_current() const;
  friend bool operator==(const LoopBinding&, const LoopBinding&) = default;
};

// Where /dev is not the kernel's own (containers), a device above the first few has no node: makes
// it. Returns: whether it was made.
Result<bool> ensure_loop_node(int index);

}  // namespace uzram
