// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/block_folder.h: what the block layer shows of any disk, in a device's folder.
//
// What:    dev, size, ro, uevent, queue/ and so on: everything of /sys/block/zram0 that is no
//          attribute of zram. With a loop device it is the loop device's own folder in sysfs, read
//          and written through; without one, what the kernel shows of a zram device.
//          docs/attributes.md has the table. Not here: attributes (control/attribute_table.h).
// Shapes:  a path is relative to the device's folder, without a slash at either end; "" is the
//          folder itself. A device without a disk has the number 0:N+1, which no driver has.
// Errors:  those of sysfs; ENODEV the disk has gone, or is not there yet.
// Threads: any.
// Proof:   block_folder_test.cc, tree_test.cc.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace uzram {

class Device;

struct BlockEntry {
  enum class Kind { File, Folder, Link };
  Kind kind = Kind::File;
  unsigned mode = 0;  // Permission bits.
  std::string path;
  std::string target;  // Of a link.
};

[[nodiscard]] std::optional<BlockEntry> find_block_entry(const Device& device,
                                                         std::string_view path);
// Empty when it is no folder.
[[nodiscard]] std::vector<std::string> list_block_folder(const Device& device,
                                                         std::string_view path);
// Requires for both: entry.kind is File.
[[nodiscard]] Result<std::string> show_block_entry(const Device& device, const BlockEntry& entry);
[[nodiscard]] Result<void> store_block_entry(const Device& device, const BlockEntry& entry,
                                             std::string_view text);

// The number of the device under which users find the disk.
[[nodiscard]] dev_t disk_number(const Device& device);
// "loop0" for a device with a loop device; empty otherwise.
[[nodiscard]] std::string loop_name(const Device& device);

}  // namespace uzram
