// SPDX-License-Identifier: Apache-2.0
// What a device does by itself: switching it on and off, and what the policy's thread may ask.
#include <utility>

#include "device/device_running.h"
#include "policy/explain.h"

namespace uzram {

tl::expected<void, PolicyRefusal> Device::set_policy(std::string_view line) {
  SettingResult<PolicySettings> settings = parse_policy(line);
  if (!settings)
    return tl::unexpected<PolicyRefusal>(PolicyRefusal{EINVAL, std::move(settings.error().text)});
  MutexLock lifecycle_lock(lifecycle_mutex_);
  if (is_initialised()) {
    if (const Result<void> taken = running_->policy.set(*settings); !taken)
      return tl::unexpected<PolicyRefusal>(
          PolicyRefusal{taken.error().code, "no thread can be made for the policy now"});
  }
  MutexLock lock(settings_mutex_);
  settings_.policy = *settings;
  return {};
}

std::string Device::policy() const {
  MutexLock lock(settings_mutex_);
  return policy_text(settings_.policy);
}

std::string Device::explain_policy() const {
  {
    const RequestGate::Ticket ticket(gate_);
    if (ticket) return running_->policy.explain();
  }
  MutexLock lock(settings_mutex_);
  if (settings_.policy.is_on) return "policy: on; begins when the device has its disksize\n";
  return explain(PolicyPlan{}, {}, {});
}

// --- for the policy's thread

std::uint64_t Device::PolicyDoor::foreground_requests() const {
  DeviceStats stats;
  device_.counters_->add_to(stats);
  return stats.read_requests + stats.write_requests + stats.discard_requests;
}

std::optional<std::uint64_t> Device::PolicyDoor::writeback_allowance() const {
  if (!device_.is_writeback_limit_enabled()) return std::nullopt;
  return device_.writeback_limit();
}

WritebackOutcome Device::PolicyDoor::write_back(const WritebackRequest& request,
                                                const StopSignal& stop) {
  return device_.write_back_within_limit(request, stop);
}

}  // namespace uzram
