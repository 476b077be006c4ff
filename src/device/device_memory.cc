// SPDX-License-Identifier: Apache-2.0
// What memory a device may take, and what it sets aside.
#include <algorithm>
#include <limits>
#include <utility>

#include "base/memory_allowance.h"
#include "device/device_running.h"

namespace uzram {

void Device::set_mem_limit(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max() - kPageBytes;
  const std::uint64_t rounded = round_up(std::min(bytes, kMost), kPageBytes);
  // Device and pool change together, or two callers could leave different limits in them.
  MutexLock lock(settings_mutex_);
  settings_.mem_limit_bytes = rounded;
  const RequestGate::Ticket ticket(gate_);
  if (ticket) running_->store->pool().set_limit_pages(rounded / kPageBytes);
}

MemoryLimit Device::memory_limit() const {
  MemoryLimit limit;
  AllowanceScope scope = AllowanceScope::CgroupAndMachine;
  std::uint64_t used_bytes = 0;
  {
    MutexLock lock(settings_mutex_);
    limit.bytes = settings_.mem_limit_bytes;
  }
  {
    const RequestGate::Ticket ticket(gate_);
    if (ticket) {
      used_bytes = running_->store->pool().resident_pages() * kPageBytes;
      if (running_->reserves.swap_bytes.load(std::memory_order_relaxed) != 0) {
        scope = AllowanceScope::CgroupOnly;
      }
    }
  }
  limit.from = limit.bytes == 0 ? "none" : "mem_limit";
  if (allowance_ == nullptr) return limit;
  const MemoryAllowance::Report report = allowance_->report(scope);
  if (report.left_bytes >= MemoryRoom::kUnlimited - used_bytes) return limit;
  const std::uint64_t reachable = used_bytes + report.left_bytes;
  if (limit.bytes == 0 || reachable < limit.bytes) return {reachable, report.from};
  return limit;
}

bool Device::has_room_for(std::uint64_t bytes) const {
  if (allowance_ == nullptr) return true;
  return allowance_->report(AllowanceScope::CgroupAndMachine).left_bytes >= bytes;
}

// --- what is set aside

Result<void> Device::reserve(std::uint64_t bytes) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  Reserves& reserves = running_->reserves;
  MutexLock lock(reserves.mutex);
  return change_reserves(bytes, reserves.swap_bytes.load(std::memory_order_relaxed));
}

Result<void> Device::begin_swap(std::uint64_t reserve_bytes, std::shared_ptr<void> keeper) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  Reserves& reserves = running_->reserves;
  MutexLock lock(reserves.mutex);
  const std::uint64_t owner_bytes = reserves.owner_bytes.load(std::memory_order_relaxed);
  const Result<void> changed = change_reserves(owner_bytes, reserve_bytes);
  if (!changed) return changed;
  reserves.swap_keeper = std::move(keeper);
  running_->store->pool().set_allowance_scope(AllowanceScope::CgroupOnly);
  return {};
}

void Device::end_swap() {
  std::shared_ptr<void> keeper;
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return;  // The keeper went with the pages.
  Reserves& reserves = running_->reserves;
  MutexLock lock(reserves.mutex);
  if (reserves.swap_keeper == nullptr) return;
  keeper = std::move(reserves.swap_keeper);
  reserves.swap_keeper = nullptr;
  running_->store->pool().set_allowance_scope(AllowanceScope::CgroupAndMachine);
  const std::uint64_t owner_bytes = reserves.owner_bytes.load(std::memory_order_relaxed);
  // A reserve that shrinks fails only where the owner's part cannot be had again.
  static_cast<void>(change_reserves(owner_bytes, 0));
}

bool Device::is_prepared_for_swap() const {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return false;
  MutexLock lock(running_->reserves.mutex);
  return running_->reserves.swap_keeper != nullptr;
}

Result<void> Device::change_reserves(std::uint64_t owner_bytes, std::uint64_t swap_bytes) {
  Reserves& reserves = running_->reserves;
  const std::uint64_t former = reserves.effective_bytes();
  const std::uint64_t wanted = std::max(owner_bytes, swap_bytes);
  Store& store = *running_->store;
  const std::uint64_t held = store.pool().reserved_pages() * kPageBytes;
  if (wanted > held && !has_room_for(wanted - held)) return fail(ENOMEM);
  Result<void> done;
  if (wanted < former) done = store.reserve(0);
  if (done && wanted != 0) done = store.reserve(bytes_to_pages(wanted));
  if (!done) {
    // Nothing is kept then; what was there before is better than nothing.
    static_cast<void>(store.reserve(bytes_to_pages(former)));
    return done;
  }
  reserves.owner_bytes.store(owner_bytes, std::memory_order_relaxed);
  reserves.swap_bytes.store(swap_bytes, std::memory_order_relaxed);
  return {};
}

}  // namespace uzram
