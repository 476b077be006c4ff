// SPDX-License-Identifier: Apache-2.0
// device/device_set.h: the devices of one process, by id: what /sys/class/zram-control adds and
// removes.
//
// Owns:    the devices; a shared_ptr keeps one alive for a request that is in flight while it is
//          removed.
// Errors:  remove -> ENODEV no such id, EBUSY in use (then nothing changes).
// Threads: every member from any thread.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "device/device.h"

namespace uzram {

class DeviceSet {
 public:
  // `attachment` is given to every device; may be null; must outlive the set.
  // So does `allowance`.
  explicit DeviceSet(Attachment* attachment = nullptr, MemoryAllowance* allowance = nullptr)
      : attachment_(attachment), allowance_(allowance) {}

  // Adds an uninitialised device with the lowest free id, as the kernel's hot_add. Returns: the id.
  int add();
  // Resets and removes.
  Result<void> remove(int id);
  // Returns: null when there is no such device.
  [[nodiscard]] std::shared_ptr<Device> find(int id) const;
  // In order of id.
  [[nodiscard]] std::vector<std::shared_ptr<Device>> all() const;

 private:
  Attachment* const attachment_;
  MemoryAllowance* const allowance_;
  mutable Mutex mutex_;
  std::map<int, std::shared_ptr<Device>> devices_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
