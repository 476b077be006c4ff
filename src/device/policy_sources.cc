// SPDX-License-Identifier: Apache-2.0
#include "device/policy_sources.h"

#include <ctime>

#include "policy/pressure.h"

namespace uzram {
namespace {

using std::chrono::duration_cast;
using std::chrono::microseconds;
using std::chrono::milliseconds;

microseconds cpu_of_this_thread() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return duration_cast<microseconds>(std::chrono::seconds(now.tv_sec) +
                                     std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace

PolicySources machine_sources() {
  return {
      [] {
        return duration_cast<milliseconds>(std::chrono::steady_clock::now().time_since_epoch());
      },
      cpu_of_this_thread,
      [] { return read_pressure("/proc/pressure/memory"); },
      [] { return read_pressure("/proc/pressure/cpu"); },
  };
}

}  // namespace uzram
