// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/block_users.h: who uses a disk, for people who want to know why it is busy.
//
// What:    mounts, swap, devices stacked on top, and processes that have it open, as far as /proc
//          and /sys show them. Processes of other containers may be hidden: the kernel's own
//          refusal, not this list, decides what is in use (loop_device.h). A descriptor with
//          O_PATH is no use of a disk.
// Shapes:  a disk is known by numbers, whatever names it has.
// Errors:  none: what cannot be read is left out.
// Threads: any thread. Never waits for a file system: open files are looked at without asking
//          their servers. Ends early on a machine with very many open files.
// Proof:   block_users_test.cc, loop_device_test.cc.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <istream>
#include <optional>
#include <string>
#include <vector>

namespace uzram {

struct DiskNumbers {
  std::optional<dev_t> block;  // st_rdev of the block device.
  std::optional<dev_t> file;   // st_dev of the file system that is one file: the disk.
};

struct LookLimits {
  std::size_t most_descriptors = 50000;
  std::chrono::milliseconds most_time{500};
  std::size_t most_openers = 16;
};

// One line each: "mounted on /mnt", "used as swap", "under dm-0", "open in fio (4711)". When not
// all descriptors were looked at and none was found, "open in a program that was not found".
[[nodiscard]] std::vector<std::string> find_block_users(const DiskNumbers& disk,
                                                        const LookLimits& limits = {});

// The paths in a text like that of /proc/swaps.
[[nodiscard]] std::vector<std::string> parse_swap_paths(std::istream& swaps);
// Whether the kernel swaps to this block device.
[[nodiscard]] bool is_used_as_swap(dev_t block);

}  // namespace uzram
