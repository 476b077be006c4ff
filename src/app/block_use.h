// SPDX-License-Identifier: Apache-2.0
// app/block_use.h: what the kernel does with a block device: where it is mounted, whether it swaps.
//
// Shapes: a device is known by its number, whatever names its node has. Texts of
//         /proc/self/mountinfo are parameters, so that tests can give their own; paths in them
//         carry octal escapes, which are undone here.
// Proof:  block_use_test.cc.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uzram {

struct DeviceNumber {
  unsigned major = 0;
  unsigned minor = 0;
  friend bool operator==(const DeviceNumber&, const DeviceNumber&) = default;
};

// Returns: nullopt when the path is not a block device.
[[nodiscard]] std::optional<DeviceNumber> block_device_number(const std::string& path);

// Every mount point of the device in the text of a mountinfo file.
[[nodiscard]] std::vector<std::string> mount_points(std::string_view mountinfo,
                                                    DeviceNumber number);

// Now and here. "[SWAP]" for swap, as zramctl prints; empty when neither.
[[nodiscard]] std::string mount_point_of(const std::string& block_path);
// Under any name: a node of the same number may stand anywhere.
[[nodiscard]] bool is_swap_now(DeviceNumber number);

}  // namespace uzram
