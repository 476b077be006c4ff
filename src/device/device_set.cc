// SPDX-License-Identifier: Apache-2.0
#include "device/device_set.h"

namespace uzram {

int DeviceSet::add() {
  MutexLock lock(mutex_);
  int id = 0;
  while (devices_.count(id) != 0) ++id;
  devices_.emplace(id, std::make_shared<Device>(id, attachment_, allowance_));
  return id;
}

Result<void> DeviceSet::remove(int id) {
  const std::shared_ptr<Device> device = find(id);
  if (device == nullptr) return fail(ENODEV);
  // Without mutex_: detaching may take a while, and others may ask for devices meanwhile.
  if (const Result<void> reset = device->reset(); !reset) return reset;
  MutexLock lock(mutex_);
  const auto found = devices_.find(id);
  // Somebody else was faster: the id may be another device's by now.
  if (found == devices_.end() || found->second != device) return fail(ENODEV);
  if (device->is_initialised()) return fail(EBUSY);
  devices_.erase(found);
  return {};
}

std::shared_ptr<Device> DeviceSet::find(int id) const {
  MutexLock lock(mutex_);
  const auto found = devices_.find(id);
  return found == devices_.end() ? nullptr : found->second;
}

std::vector<std::shared_ptr<Device>> DeviceSet::all() const {
  MutexLock lock(mutex_);
  std::vector<std::shared_ptr<Device>> devices;
  for (const auto& entry : devices_) devices.push_back(entry.second);
  return devices;
}

}  // namespace uzram
