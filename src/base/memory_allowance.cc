// SPDX-License-Identifier: Apache-2.0
#include "base/memory_allowance.h"

#include <algorithm>
#include <memory>

#include "base/units.h"

namespace uzram {

MemoryAllowance::MemoryAllowance()
    : look_([source = std::make_shared<MemoryRoomSource>()] { return source->look(); }) {}

bool MemoryAllowance::is_believed() const noexcept {
  const Clock::rep measured = measured_at_.load(std::memory_order_relaxed);
  return measured != 0 && Clock::now() - Clock::time_point(Clock::duration(measured)) < kBelieved;
}

void MemoryAllowance::measure(std::chrono::milliseconds pause) noexcept {
  MutexLock lock(mutex_);
  const Clock::rep measured = measured_at_.load(std::memory_order_relaxed);
  const Clock::time_point now = Clock::now();
  // Somebody else has just done it.
  if (measured != 0 && now - Clock::time_point(Clock::duration(measured)) < pause) return;
  room_ = look_();
  cgroup_pages_.store(static_cast<std::int64_t>(room_.cgroup_left_bytes / kPageBytes),
                      std::memory_order_relaxed);
  machine_pages_.store(static_cast<std::int64_t>(room_.machine_left_bytes / kPageBytes),
                       std::memory_order_relaxed);
  measured_at_.store(now.time_since_epoch().count(), std::memory_order_relaxed);
}

bool MemoryAllowance::try_take_known(std::uint64_t pages, AllowanceScope scope) noexcept {
  const auto wanted = static_cast<std::int64_t>(pages);
  const bool has_cgroup = cgroup_pages_.fetch_sub(wanted, std::memory_order_relaxed) >= wanted;
  const bool has_machine = machine_pages_.fetch_sub(wanted, std::memory_order_relaxed) >= wanted;
  if (has_cgroup && (has_machine || scope == AllowanceScope::CgroupOnly)) return true;
  give_back(pages);
  return false;
}

bool MemoryAllowance::try_take(std::uint64_t pages, AllowanceScope scope) noexcept {
  if (is_believed() && try_take_known(pages, scope)) return true;
  measure(kPause);
  return try_take_known(pages, scope);
}

void MemoryAllowance::take(std::uint64_t pages) noexcept {
  cgroup_pages_.fetch_sub(static_cast<std::int64_t>(pages), std::memory_order_relaxed);
  machine_pages_.fetch_sub(static_cast<std::int64_t>(pages), std::memory_order_relaxed);
}

void MemoryAllowance::give_back(std::uint64_t pages) noexcept {
  cgroup_pages_.fetch_add(static_cast<std::int64_t>(pages), std::memory_order_relaxed);
  machine_pages_.fetch_add(static_cast<std::int64_t>(pages), std::memory_order_relaxed);
}

MemoryAllowance::Report MemoryAllowance::report(AllowanceScope scope) {
  measure(kPause);
  MutexLock lock(mutex_);
  const bool is_machine = scope == AllowanceScope::CgroupAndMachine &&
                          room_.machine_left_bytes <= room_.cgroup_left_bytes;
  if (is_machine) return {room_.machine_left_bytes, "machine"};
  if (room_.cgroup_path.empty()) return {room_.cgroup_left_bytes, "none"};
  return {room_.cgroup_left_bytes, "cgroup " + std::string(room_.cgroup_path)};
}

}  // namespace uzram
