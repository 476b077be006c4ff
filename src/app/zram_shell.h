// SPDX-License-Identifier: Apache-2.0
// app/zram_shell.h: a program that finds our devices where the kernel has its zram.
//
// What:    in a mount namespace of the program alone, /sys/block/zramN, /sys/class/zram-control,
//          /sys/kernel/debug/zram and /dev/zramN are ours, those of devices that come later as
//          well; the kernel's own zram devices are not to be seen. Not here: the tree's part
//          (machine_view.h), the nodes (dev_view.h).
// Owns:    a keeper process in that namespace, which serves /dev. It ends with the program, or,
//          while one of our disks is swap under its name there, with that swap.
// Errors:  in words: no root, no tree of a daemon, a program that is not there.
// Threads: none may run yet.
// Proof:   tests/e2e/shell_test.py.
#pragma once

#include <string>
#include <vector>

namespace uzram {

// `tree` is where a daemon's attributes are mounted. Returns: the program's exit status; a signal
// that ends the program ends this process as well.
int run_zram_shell(const std::string& tree, const std::vector<std::string>& program);

}  // namespace uzram
