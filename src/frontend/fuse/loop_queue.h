// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/loop_queue.h: the settings of a loop device's queue.
//
// What:    a loop device keeps most settings when it is detached, and the next file on that number
//          inherits them. So a new disk gets each of them, and leaves the kernel's defaults behind:
//          "write through", right for a disk in memory, would lose a stranger's data.
// Shapes:  `node` is an open loop device that is known to be ours.
// Errors:  a setting that this kernel does not have, or that sysfs does not let us change
//          (containers), stays as it is.
// Threads: any; a change waits for the requests in flight.
// Proof:   loop_queue_test.cc.
// Source:  the kernel's ABI/stable/sysfs-block.
#pragma once

#include "base/result.h"

namespace uzram {

// As the kernel's zram has them, as far as a loop device can: see docs/disk.md.
void set_up_loop_queue(int node);

// For the number's next life. Call it as late as possible.
void leave_loop_queue(int node);

// For a number that was taken from us a moment ago, also if a stranger has it by now: what is still
// as we set it becomes the kernel's. Another disk of this kind is left alone.
void leave_lost_loop_queue(int index);

// No write-back throttle: a program that waits in it for a disk that swaps may wait for itself.
// Errors: of the attribute queue/wbt_lat_usec.
Result<void> switch_throttle_off(int node);

}  // namespace uzram
