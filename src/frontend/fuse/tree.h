// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/tree.h: the attributes as files, where scripts expect them.
//
// What:    block/zramN/<attribute> and what else a disk has there, class/zram-control/hot_add and
//          hot_remove, kernel/debug/zram/zramN/block_state, kernel/debug/zsmalloc/zramN/classes,
//          machine/ (machine_view.h), mounted on a folder through libfuse.
//          Names, texts and errno values are the attribute table's (control/attribute_table.h). Not
//          here: the disk (fuse_disk.h).
// Shapes:  files look like sysfs's: size 4096, the table's modes. A read at offset 0 renders anew;
//          a write is one whole text, cut to 4096 bytes. chmod, chown and touch work as in sysfs
//          (node_settings.h). Those below kernel/debug look like
//          debugfs's: size 0, for root, and as long as they are.
// Owns:    the mount and its threads. A folder that start made is removed at the end.
// Errors:  start -> EBUSY a live tree is mounted there, ENOTEMPTY the folder holds other things,
//          EPERM and others from the system, in words. A dead mount there is cleared first.
// Threads: start and destruction from one thread; attributes are served by several, so one that
//          blocks (reset, disksize) does not hold up the others. Destruction waits for them.
// Proof:   tree_test.cc.
// Source:  fs/sysfs and fs/kernfs for what happens at the edges (modes, offsets, long writes).
#pragma once

#include <memory>
#include <string>

#include "control/input_error.h"

namespace uzram {

class DeviceSet;

class Tree {
 public:
  // `devices` must outlive the tree.
  static InputResult<std::unique_ptr<Tree>> start(DeviceSet& devices, std::string folder);
  ~Tree();
  Tree(const Tree&) = delete;
  Tree& operator=(const Tree&) = delete;

  [[nodiscard]] const std::string& folder() const;

 private:
  struct Served;
  explicit Tree(std::unique_ptr<Served> served);
  const std::unique_ptr<Served> served_;
};

}  // namespace uzram
