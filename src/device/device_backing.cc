// SPDX-License-Identifier: Apache-2.0
// Which backing store a device has, and how it is used.
#include <sys/random.h>

#include <algorithm>
#include <utility>

#include "backing/backing_file.h"
#include "backing/open_backing_store.h"
#include "device/device.h"
#include "device/device_running.h"

namespace uzram {

bool is_backing_server(std::string_view where) { return is_nbd_uri(std::string(where)); }

std::string find_backing_user(const std::string& where) {
  return is_backing_server(where) ? std::string() : find_backing_use(where).value_or("");
}

Result<void> Device::set_backing(const std::string& where) {
  MutexLock lifecycle_lock(lifecycle_mutex_);
  if (is_initialised()) return fail(EBUSY);
  std::unique_ptr<BackingStore> former;
  {
    // Naming the same store again must not find it in use by us.
    MutexLock lock(settings_mutex_);
    if (settings_.backing == where && settings_.opened_backing != nullptr) return {};
  }
  auto opened = open_backing_store(where);
  if (!opened) return tl::unexpected(opened.error());
  MutexLock lock(settings_mutex_);
  former = std::exchange(settings_.opened_backing, std::move(*opened));
  settings_.backing = where;
  return {};
}
std::string Device::backing() const {
  MutexLock lock(settings_mutex_);
  return settings_.backing;
}

Result<void> Device::set_backing_encryption(bool is_on) {
  return configure([&](Settings& settings) { settings.encrypts_backing = is_on; });
}
bool Device::encrypts_backing() const {
  MutexLock lock(settings_mutex_);
  return settings_.encrypts_backing;
}

Result<void> Device::set_compressed_writeback(bool is_on) {
  return configure([&](Settings& settings) { settings.has_compressed_writeback = is_on; });
}
bool Device::has_compressed_writeback() const {
  MutexLock lock(settings_mutex_);
  return settings_.has_compressed_writeback;
}

void Device::set_writeback_limit(std::uint64_t blocks) {
  writeback_limit_.store(blocks, std::memory_order_relaxed);
}
std::uint64_t Device::writeback_limit() const {
  return writeback_limit_.load(std::memory_order_relaxed);
}
void Device::set_writeback_limit_enabled(bool is_on) {
  is_writeback_limited_.store(is_on, std::memory_order_relaxed);
}
bool Device::is_writeback_limit_enabled() const {
  return is_writeback_limited_.load(std::memory_order_relaxed);
}

void Device::set_writeback_batch_size(std::uint32_t requests) {
  writeback_batch_size_.store(std::max(1U, requests), std::memory_order_relaxed);
}
std::uint32_t Device::writeback_batch_size() const {
  return writeback_batch_size_.load(std::memory_order_relaxed);
}

// What the store shall know of the backing store, with a fresh key.
Result<void> Device::choose_backing(const Settings& settings, StoreConfig& config) {
  if (settings.opened_backing == nullptr) return {};
  config.backing.where = settings.backing;
  config.backing.block_count = settings.opened_backing->block_count();
  config.backing.encrypts = settings.encrypts_backing;
  std::array<std::byte, kBackingKeyBytes>& key = config.backing.key;
  if (::getrandom(key.data(), key.size(), 0) != static_cast<ssize_t>(key.size())) return fail(EIO);
  return {};
}

Result<void> Device::open_named_backing(FileDescriptor claim) {
  std::string where;
  {
    MutexLock lock(settings_mutex_);
    where = settings_.backing;
    if (where.empty() || settings_.opened_backing != nullptr) return {};
  }
  auto opened = claim.is_open() ? adopt_backing_file(std::move(claim)) : open_backing_store(where);
  if (!opened) return tl::unexpected(opened.error());
  MutexLock lock(settings_mutex_);
  settings_.opened_backing = std::move(*opened);
  return {};
}

}  // namespace uzram
