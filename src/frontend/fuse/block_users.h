// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/block_users.h: who uses a disk, for people who want to know why it is busy.
//
// What:    mounts, swap, devices stacked on top, and processes that have it open, as far as /proc
//          and /sys show them. Processes of other containers may be hidden: the kernel's own
//          refusal, not this list, decides what is in use (loop_device.h).
// Shapes:  `path` is a block device's node, found under any name by its number; or a file, found
//          by its name.
// Errors:  none: what cannot be read is left out.
// Threads: any thread. Never waits for a file system: links of open files are read, not followed,
//          unless they lead into /dev.
// Proof:   loop_device_test.cc.
#pragma once

#include <string>
#include <vector>

namespace uzram {

// One line each: "mounted on /mnt", "used as swap", "under dm-0", "open in fio (4711)".
// `own_descriptor`: one of this process that does not count; -1 for none.
[[nodiscard]] std::vector<std::string> find_block_users(const std::string& path,
                                                        int own_descriptor = -1);

}  // namespace uzram
