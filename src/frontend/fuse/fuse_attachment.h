// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_attachment.h: gives every device a disk that programs can open.
//
// What:    for a device that comes to life: a FUSE mount that is one file (fuse_disk.h), a loop
//          device over that file (loop_device.h), a link of a name that stays (disk_links.h).
//          Where loop devices cannot be had, the file alone. Not here: attributes (tree.h).
// Owns:    <state_dir>/disk/zramN (file and mount), the loop device, the serving threads,
//          <state_dir>/dev/zramN. Others may take parts away; then nothing here acts on a number
//          or a path that is a stranger's by now, and attach_again makes the parts anew.
// Errors:  attach -> from the system (EPERM, ENOENT no /dev/fuse, EBUSY another daemon serves that
//          file); whatever was made before the failure is undone. detach -> EBUSY while anybody
//          uses the disk; it then goes on serving. A brief look (udev, blkid) is waited for.
// Threads: every member from any thread; attach, detach and attach_again of one device not at once
//          (the device sees to that). These block.
// Laws:    the kernel decides what is in use: an exclusive open, and whether the loop device goes
//          at once. Descriptors of processes are read for messages only.
// Proof:   fuse_attachment_test.cc, tests/e2e/disk_identity_test.py, tests/e2e/disk_use_test.py.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "control/input_error.h"
#include "device/device.h"
#include "frontend/fuse/disk_view.h"

namespace uzram {

class DiskLinks;
class FuseDisk;
class ReleaseWatch;

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
  // Where disks get a further link, when its name is free there ("/dev"); empty: nowhere.
  std::string link_folder;
  // How long somebody may look at a disk (udev, blkid) before detach says that it is in use.
  std::chrono::milliseconds lookers_patience{5000};
  // Told once when somebody has taken a disk away (losetup -d), with a line for the log. Called on
  // a thread of its own.
  std::function<void(const std::string& text)> on_loss;
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
  Result<void> attach_again(Device& device) override;
  // "/dev/loop0", or the file's path where there is no loop device; empty when not attached, and
  // when the disk was taken away.
  [[nodiscard]] std::string block_path(const Device& device) const override;
  [[nodiscard]] Result<FileDescriptor> open_disk(const Device& device) const override;
  [[nodiscard]] bool is_disk_missing(const Device& device) const override;
  // Whether a mount, swap or another exclusive use has the disk now. For a first look: detach
  // finds every use.
  [[nodiscard]] bool is_claimed(const Device& device) const;

  // Takes the disk away from whoever uses it: their next request fails. For the end of the process,
  // before the device is destroyed. Not attached: nothing happens.
  void abandon(Device& device);
  // Whether requests come over io_uring. Not attached: false.
  [[nodiscard]] bool uses_uring(const Device& device) const;
  // Who uses the disk now, one a line: "mounted on /mnt", "used as swap", "open in fio (4711)".
  // For messages: it reads the descriptors of all processes.
  [[nodiscard]] std::vector<std::string> users(const Device& device) const;

 private:
  struct Disk;
  class Change;

  explicit FuseAttachment(FuseAttachmentOptions options);
  Result<std::unique_ptr<FuseDisk>> make_file(Device& device);
  Result<std::unique_ptr<FuseDisk>> make_file_over_uring(Device& device);
  Result<void> attach_parts(Device& device);
  // A loop device over the disk's file, when loop devices can be had; and the link.
  Result<void> attach_loop(int id, Disk& disk, int file, DiskView& view);
  // Requires: nothing uses the disk, or it shall lose it.
  void take_apart(int id);
  void look_for_losses();
  void settle_loss(int id, const DiskView& view);
  void settle_unknown_loss(const Device& device);
  [[nodiscard]] std::string file_path(int id) const;
  [[nodiscard]] std::optional<DiskView> find_view(const Device& device) const;
  [[nodiscard]] std::shared_ptr<Disk> find_disk(int id) const;

  // constant after construction
  const FuseAttachmentOptions options_;
  std::unique_ptr<DiskLinks> links_;
  Mutex uring_switch_mutex_;  // Held while the kernel's parameter is changed for a mount.
  mutable Mutex mutex_;       // Never held while the system is called.
  std::map<int, std::shared_ptr<Disk>> disks_ UZ_GUARDED_BY(mutex_);
  std::map<int, DiskView> views_ UZ_GUARDED_BY(mutex_);
  std::set<int> changing_ids_ UZ_GUARDED_BY(mutex_);  // Attached or detached at this moment.
  std::unique_ptr<ReleaseWatch> watch_;  // Declared last: it ends before what it looks at.
};

}  // namespace uzram
