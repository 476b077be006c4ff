// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_attachment.h: gives every device a disk that programs can open.
//
// What:    for a device that comes to life: a FUSE mount that is one file (fuse_disk.h), and a loop
//          device over that file (loop_device.h). Where loop devices cannot be had, the file alone.
//          Not here: attributes (tree.h).
// Owns:    <state_dir>/disk/zramN (file and mount), the loop device, the serving threads.
// Errors:  attach -> from the system (EPERM, ENOENT no /dev/fuse, EBUSY another daemon serves that
//          file); whatever was made before the failure is undone. detach -> EBUSY while anybody
//          uses the disk; it then goes on serving.
// Threads: every member from any thread; attach and detach of one device not at once (the device
//          sees to that). attach and detach block.
// Proof:   fuse_attachment_test.cc.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "control/input_error.h"
#include "device/device.h"

namespace uzram {

class FuseDisk;
class LoopDevice;

// Requests over io_uring instead of read and write: faster at depth, slower one at a time.
enum class UringUse {
  Auto,  // When the kernel offers it: its parameter fuse.enable_uring is Y.
  On,    // Switches the parameter on while it mounts, and puts it back. Root only.
  Off,
};

struct FuseAttachmentOptions {
  std::string state_dir;  // Absolute. Made (0755) when it is not there.
  UringUse io_uring = UringUse::Auto;
  bool has_loop = true;       // False: never a loop device, the file is the disk.
  unsigned thread_count = 0;  // Serving threads of a disk; 0: one a processor, two at least.
};

class FuseAttachment : public Attachment {
 public:
  // Also clears what a killed daemon left under `state_dir`: dead mounts and their loop devices.
  // Errors: EPERM or EACCES not permitted to mount, ENOENT no /dev/fuse, EINVAL a relative
  // state_dir; otherwise from the system. The text says what would help.
  static InputResult<std::unique_ptr<FuseAttachment>> create(FuseAttachmentOptions options);
  // Leaves nothing behind: what is still attached is taken away by force.
  // Requires: the devices still attached are still alive (reset them, or abandon, before they die).
  ~FuseAttachment() override;

  Result<void> attach(Device& device) override;
  Result<void> detach(Device& device) override;
  Result<void> grow(Device& device) override;
  // "/dev/loop0", or the file's path where there is no loop device; empty when not attached.
  [[nodiscard]] std::string block_path(const Device& device) const override;

  // Takes the disk away from whoever uses it: their next request fails. For the end of the process,
  // before the device is destroyed. Not attached: nothing happens.
  void abandon(Device& device);
  // Whether requests come over io_uring. Not attached: false.
  [[nodiscard]] bool uses_uring(const Device& device) const;
  // Who uses the disk now, one a line: "mounted on /mnt", "used as swap", "open in fio (4711)".
  [[nodiscard]] std::vector<std::string> users(const Device& device) const;

 private:
  struct Disk;

  explicit FuseAttachment(FuseAttachmentOptions options) : options_(std::move(options)) {}
  // Requires: no daemon serves this folder.
  void clear_leftovers() const;
  Result<std::unique_ptr<FuseDisk>> make_file(Device& device);
  Result<std::unique_ptr<FuseDisk>> make_file_over_uring(Device& device);
  [[nodiscard]] std::string file_path(int id) const;
  [[nodiscard]] std::shared_ptr<Disk> find(const Device& device) const;
  std::shared_ptr<Disk> take(int id);

  // constant after construction
  const FuseAttachmentOptions options_;
  Mutex uring_switch_mutex_;  // Held while the kernel's parameter is changed for a mount.
  mutable Mutex mutex_;       // Never held while the system is called.
  std::map<int, std::shared_ptr<Disk>> disks_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
