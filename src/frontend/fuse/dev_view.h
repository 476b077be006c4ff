// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/dev_view.h: /dev, with our disks as /dev/zramN.
//
// What:    a file system that shows what a folder of device nodes has, but for zramN: those are
//          block nodes with the numbers of our disks, from the tree's block folder. Devices that
//          come, go, or get their disk are seen at once. Not here: what is mounted below /dev
//          (app/zram_shell.h puts that back).
// Shapes:  nodes and links are shown as they are, and folders with what they hold; other files and
//          sockets as empty files, over which the real ones can be mounted. Nothing can be made,
//          changed or removed.
// Owns:    the mount, until destruction.
// Errors:  mount -> from the system, in words.
// Threads: serve is called by one thread and returns when `stop_event` can be read or the mount is
//          gone.
// Proof:   tests/e2e/shell_test.py.
// Source:  libfuse's low-level interface: a node whose number changes must become another inode,
//          since the kernel reads an inode's number once.
#pragma once

#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "control/input_error.h"

namespace uzram {

class DevView {
 public:
  // `real` is the folder with the machine's nodes, `blocks` that with our devices' attributes.
  // Requires: root.
  static InputResult<std::unique_ptr<DevView>> mount(FileDescriptor real, FileDescriptor blocks,
                                                     const std::string& mount_point);
  ~DevView();
  DevView(const DevView&) = delete;
  DevView& operator=(const DevView&) = delete;

  void serve(int stop_event);

 private:
  struct Served;
  explicit DevView(std::unique_ptr<Served> served);
  const std::unique_ptr<Served> served_;
};

}  // namespace uzram
