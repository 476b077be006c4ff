// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/machine_view.h: the machine's disks, with our devices in the place of the kernel's
// zram.
//
// What:    what machine/block, machine/class/block and machine/dev/block of the tree hold, so that
//          a mount namespace can have them as /sys/block, /sys/class/block and /sys/dev/block
//          (`uzram shell`). The kernel's zram devices are not there, and the loop devices of our
//          disks only by their numbers, which lead to zramN. Not here: the folder of a device
//          (tree_files.h).
// Shapes:  every entry is a symbolic link, but for zramN of Kind::Block, which is a folder.
// Threads: any.
// Proof:   tree_test.cc, tests/e2e/shell_test.py.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace uzram {

class Device;
class DeviceSet;

struct MachineFolder {
  enum class Kind { Block, Class, Numbers };
  std::string_view path;  // In the tree.
  Kind kind;
};
inline constexpr std::array kMachineFolders{
    MachineFolder{"/machine/block", MachineFolder::Kind::Block},
    MachineFolder{"/machine/class/block", MachineFolder::Kind::Class},
    MachineFolder{"/machine/dev/block", MachineFolder::Kind::Numbers},
};

[[nodiscard]] std::vector<std::string> list_machine_folder(const DeviceSet& devices,
                                                           MachineFolder::Kind kind);
// Where the entry leads; empty when there is none (or when it is a folder).
[[nodiscard]] std::string find_machine_link(const DeviceSet& devices, MachineFolder::Kind kind,
                                            std::string_view name);

[[nodiscard]] std::string device_folder_name(const Device& device);  // "zram0"
// Returns: null when there is none of this name. One name each: zram01 is not zram1.
[[nodiscard]] std::shared_ptr<Device> find_named_device(const DeviceSet& devices,
                                                        std::string_view name);

}  // namespace uzram
