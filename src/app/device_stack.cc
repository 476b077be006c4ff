// SPDX-License-Identifier: Apache-2.0
#include "app/device_stack.h"

#include <sys/stat.h>

#include <utility>

#include "device/device.h"

namespace uzram {

namespace {

// By device number: a disk has several names.
bool stands_on(const Device& upper, const Device& lower) {
  struct stat store {};
  struct stat disk {};
  if (upper.id() == lower.id() || upper.backing().empty()) return false;
  if (::stat(upper.backing().c_str(), &store) != 0) return false;
  if (::stat(lower.block_path().c_str(), &disk) != 0 || !S_ISBLK(disk.st_mode)) return false;
  return (S_ISBLK(store.st_mode) ? store.st_rdev : store.st_dev) == disk.st_rdev;
}

}  // namespace

DeviceList find_uppers(const DeviceList& devices, const Device& lower) {
  DeviceList uppers;
  for (const std::shared_ptr<Device>& device : devices) {
    if (stands_on(*device, lower)) uppers.push_back(device);
  }
  return uppers;
}

std::vector<DeviceList> stack_levels(DeviceList devices) {
  std::vector<DeviceList> levels;
  while (!devices.empty()) {
    DeviceList level;
    DeviceList below;
    for (const std::shared_ptr<Device>& device : devices) {
      (find_uppers(devices, *device).empty() ? level : below).push_back(device);
    }
    if (level.empty()) std::swap(level, below);
    levels.push_back(std::move(level));
    devices = std::move(below);
  }
  return levels;
}

}  // namespace uzram
