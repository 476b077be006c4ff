// SPDX-License-Identifier: Apache-2.0
// backing/file_use.h: who else uses a file that is to become a backing store.
//
// What:    loop devices over it, swap, other stores of ours, programs that have it open for
//          writing. A block device says such things by its exclusive open; a file does not. Files
//          are compared by device and inode, never by name. Not here: claiming (backing_file.h).
// Errors:  none: what cannot be asked (no permission, a file system without leases) counts as
//          unused. The claim of a store of ours is found on every file system that has flock(2).
// Threads: any. Signals: a program that opens the file for writing at the moment of the look sends
//          this process SIGURG, which is ignored by default.
// Proof:   file_use_test.cc, tests/e2e/backing_file_test.py.
// Source:  loop(4), fcntl(2) "Leases", proc_swaps(5).
#pragma once

#include <optional>
#include <string>

namespace uzram {

// Requires: a descriptor of a regular file, open for reading only; nothing in this process has the
// file open for writing. Returns: the use, as in "it is ...", or nullopt.
[[nodiscard]] std::optional<std::string> find_file_use(int descriptor);

// The same for the file behind a loop device; nullopt also for every other block device.
[[nodiscard]] std::optional<std::string> find_use_below_loop(int loop_descriptor);

}  // namespace uzram
