// SPDX-License-Identifier: Apache-2.0
// The device's disk: what its attachment makes of it.
#include "device/device.h"

namespace uzram {

std::string Device::block_path() const {
  return attachment_ == nullptr || !is_initialised() ? std::string()
                                                     : attachment_->block_path(*this);
}

Result<FileDescriptor> Device::open_disk() const {
  if (attachment_ == nullptr || !is_initialised()) return fail(ENODEV);
  return attachment_->open_disk(*this);
}

bool Device::is_disk_missing() const {
  return attachment_ != nullptr && is_initialised() && attachment_->is_disk_missing(*this);
}

Result<void> Device::detach_disk() {
  MutexLock lock(lifecycle_mutex_);
  if (!is_initialised()) return fail(EINVAL);
  return attachment_ == nullptr ? Result<void>() : attachment_->detach(*this);
}

Result<void> Device::attach_disk() {
  MutexLock lock(lifecycle_mutex_);
  if (!is_initialised()) return fail(EINVAL);
  return attachment_ == nullptr ? Result<void>() : attachment_->attach_again(*this);
}

}  // namespace uzram
