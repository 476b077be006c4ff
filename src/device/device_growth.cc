// SPDX-License-Identifier: Apache-2.0
// A disk that becomes larger while it is used. Everything in the store is laid out for that from
// the beginning, so growing is one word in the arena, and telling those who see the disk.
#include "device/device_running.h"

namespace uzram {

Result<void> Device::set_fixed_size() {
  return configure([](Settings& settings) { settings.can_grow = false; });
}

Result<void> Device::grow(std::uint64_t bytes) {
  MutexLock lock(lifecycle_mutex_);
  const std::uint64_t former_bytes = disksize();
  if (former_bytes == 0 || bytes < former_bytes) return fail(EINVAL);
  const std::uint64_t pages = (bytes - 1) / kPageBytes + 1;
  if (pages * kPageBytes == former_bytes) return {};
  Store& store = *running_->store;  // It stays: a reset needs the lifecycle.
  if (const Result<void> grown = store.set_size(pages); !grown) return grown;
  disk_bytes_.store(pages * kPageBytes, std::memory_order_relaxed);
  if (attachment_ == nullptr) return {};
  const Result<void> followed = attachment_->grow(*this);
  if (followed) return {};
  const std::uint64_t former_pages = former_bytes / kPageBytes;
  disk_bytes_.store(former_bytes, std::memory_order_relaxed);
  static_cast<void>(store.set_size(former_pages));  // It was possible before.
  store.free({former_pages}, pages - former_pages);
  return followed;
}

}  // namespace uzram
