// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/loop_device.h: a loop device over a file: what makes the disk a block device.
//
// What:    attaching with direct I/O and 4096-byte blocks, which is what pays (buffered loop is
//          four times slower); detaching only when nobody uses it. Not here: the file
//          (fuse_disk.h), the queue's settings (loop_queue.h).
// Owns:    the binding, not the file. A node that had to be made is removed at the end. Somebody
//          may end the binding (losetup -d): then nothing here touches the number any more.
// Errors:  attach -> ENOENT no loop driver, EACCES or EPERM not permitted, EBUSY none free in many
//          tries; otherwise from the system. detach -> EBUSY in use; nothing has changed then.
// Threads: one at a time; calls block, and the file must be served meanwhile.
// Proof:   loop_device_test.cc, fuse_attachment_test.cc.
// Source:  loop(4), drivers/block/loop.c for what LOOP_CLR_FD does while somebody has it open.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "frontend/fuse/loop_binding.h"

namespace uzram {

class LoopDevice {
 public:
  // `file` is open for reading and writing; `name` is what losetup shows (cut to 63 characters).
  // `former_index`: this number again, if it is free; -1 for any.
  static Result<std::unique_ptr<LoopDevice>> attach(int file, const std::string& name,
                                                    int former_index = -1);
  // Detaches by force unless detach succeeded.
  ~LoopDevice();
  LoopDevice(const LoopDevice&) = delete;
  LoopDevice& operator=(const LoopDevice&) = delete;

  // How others find this loop device, and notice that it is gone.
  [[nodiscard]] const LoopBinding& binding() const { return binding_; }

  // One that is gone already is a success. Somebody who has it open is waited for; a mount, swap
  // and what else has claimed the device refuse at once. `before_free` is called when it goes,
  // while nobody else can have the number.
  Result<void> detach(std::chrono::milliseconds patience,
                      const std::function<void()>& before_free = {});
  // Detaches at once, or, while somebody has it open, when the last one closes it.
  void detach_by_force();

 private:
  enum class Attempt { Gone, Lost, Open, Claimed };  // Lost: gone by somebody else's hand.

  LoopDevice() = default;
  Result<void> ensure_node();
  Result<void> bind(int file, const std::string& name);
  Result<Attempt> try_detach(const std::function<void()>& before_free);
  void forget();

  // Changed by attach only, and has_own_node_ by forget.
  LoopBinding binding_;
  bool has_own_node_ = false;
  bool is_attached_ = false;
};

}  // namespace uzram
