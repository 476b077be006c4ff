// SPDX-License-Identifier: Apache-2.0
// app/device_stack.h: which of our disks stand on which others, as backing stores.
//
// What:    a device stands on a disk when its store is that disk, or a file in a file system on it.
//          Not here: taking away (daemon.h).
// Errors:  none: a store whose path cannot be looked up any more stands on nothing.
// Threads: any.
// Proof:   tests/e2e/stores_test.py.
#pragma once

#include <memory>
#include <vector>

namespace uzram {

class Device;

using DeviceList = std::vector<std::shared_ptr<Device>>;

// Those of `devices` that stand on the disk of `lower`.
[[nodiscard]] DeviceList find_uppers(const DeviceList& devices, const Device& lower);

// The devices in the order in which they can be taken away: nothing that is left stands on those of
// a level once the levels before it are gone. Devices that stand on each other in a circle come
// last, together.
[[nodiscard]] std::vector<DeviceList> stack_levels(DeviceList devices);

}  // namespace uzram
