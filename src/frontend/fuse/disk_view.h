// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/disk_view.h: where a device's disk is, and whether it is still there.
//
// What:    the identity of the file and of the loop device over it, as a value: to show, to open,
//          to name users. Not here: making and taking away (fuse_attachment.h).
// Errors:  open -> ENODEV the disk was taken away (losetup -d, umount), or is a stranger's by now;
//          otherwise those of open(2).
// Threads: any; nothing here waits for the file's server.
// Proof:   fuse_attachment_test.cc.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "frontend/fuse/block_users.h"
#include "frontend/fuse/loop_binding.h"

namespace uzram {

struct DiskView {
  std::string file_path;
  dev_t file_device = 0;               // Of the mount that is the file.
  std::optional<LoopBinding> binding;  // Empty: the file is the disk.
  bool uses_uring = false;
  std::shared_ptr<const std::atomic<bool>> has_ended;  // Of the file's server; never null.
  bool is_loss_known = false;                          // Somebody was told already.

  [[nodiscard]] bool is_there() const;
  [[nodiscard]] std::string block_path() const;
  [[nodiscard]] Result<FileDescriptor> open() const;
  // The file below the disk. Errors: as open, and it may wait for the server.
  [[nodiscard]] Result<FileDescriptor> open_file(int flags) const;
  [[nodiscard]] DiskNumbers numbers() const;
};

}  // namespace uzram
