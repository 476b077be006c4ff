// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/loop_device.h: a loop device over a file: what makes the disk a block device.
//
// What:    attaching with direct I/O and 4096-byte blocks, which is what pays (buffered loop is
//          four times slower); detaching only when nobody uses it. Not here: the file
//          (fuse_disk.h).
// Owns:    the binding, not the file. A node that had to be made is removed at the end.
// Errors:  attach -> ENOENT no loop driver, EACCES or EPERM not permitted, EBUSY none free in many
//          tries; otherwise from the system. detach -> EBUSY in use; nothing has changed then.
// Threads: one at a time; calls block, and the file must be served meanwhile.
// Proof:   loop_device_test.cc, fuse_attachment_test.cc.
// Source:  loop(4), drivers/block/loop.c for what LOOP_CLR_FD does while somebody has it open.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

class LoopDevice {
 public:
  // `file` is open for reading and writing; `name` is what losetup shows (cut to 63 characters).
  static Result<std::unique_ptr<LoopDevice>> attach(int file, const std::string& name);
  // Detaches by force unless detach succeeded.
  ~LoopDevice();
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // Takes the size that the file has by now. Errors: ENXIO the device is not bound to our file.
  Result<void> refresh_size() const;
  // Waits a little for those who only have a look (udev, blkid).
  Result<void> detach();
  // Detaches at once, or, while somebody has it open, when the last one closes it.
  void detach_by_force();

 private:
  LoopDevice(int index, std::string path) : index_(index), path_(std::move(path)) {}
  Result<void> ensure_node();
  Result<void> try_detach();
  bool wait_until_gone() const;
  void stay_attached() const;
  void remove_own_node();

  const int index_;
  const std::string path_;
  bool has_own_node_ = false;
  bool is_attached_ = false;
  // Which file is ours, to tell a later use of the same device by others.
  dev_t file_device_ = 0;
};

// Detaches every loop device whose file has this name: leftovers of a killed daemon. One that
// somebody still has open goes when it is closed.
void detach_leftover_loops(const std::string& file_path);

}  // namespace uzram
