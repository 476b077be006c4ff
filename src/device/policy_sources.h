// SPDX-License-Identifier: Apache-2.0
// device/policy_sources.h: where the policy learns the time and how the machine is doing.
//
// What:    four functions, so that tests can have their own. Not here: what the device itself shows
//          (policy_runner.h).
// Threads: any.
#pragma once

#include <chrono>
#include <functional>
#include <optional>

namespace uzram {

struct PolicySources {
  std::function<std::chrono::milliseconds()> now;          // Since any moment; never goes back.
  std::function<std::chrono::microseconds()> thread_cpu;   // CPU time of the calling thread.
  std::function<std::optional<double>()> memory_pressure;  // As in PolicySnapshot.
  std::function<std::optional<double>()> cpu_pressure;
};

// The monotonic clock, the kernel's clock of the thread, /proc/pressure.
[[nodiscard]] PolicySources machine_sources();

}  // namespace uzram
