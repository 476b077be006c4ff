// SPDX-License-Identifier: Apache-2.0
// app/swap_hazards.h: what of this machine makes swap on our disk a danger.
//
// What:    sentences for a person; each hazard can hang the machine or lose a hibernated one.
//          Not here: what is set aside against want of memory (swap_switch.h).
// Threads: one at a time.
// Proof:   swap_hazards_test.cc; tests/e2e/swap_test.py.
// Source:  the kernel's admin-guide/pm/sleep-states; systemd's choice of a swap to hibernate to
//          (it leaves out /dev/zram*, and takes the area of the highest priority or most room).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/memory_cgroup.h"

namespace uzram {

struct SwapSurroundings {
  bool is_io_flusher = false;
  std::uint64_t reserve_bytes = 0;
  std::string power_folder = "/sys/power";
};

// Each says what would be right. Empty: nothing speaks against it.
[[nodiscard]] std::vector<std::string> find_swap_hazards(const SwapSurroundings& surroundings,
                                                         MemoryCgroups& cgroups);

// Whether the kernel of this machine can hibernate.
[[nodiscard]] bool can_hibernate(const std::string& power_folder);

}  // namespace uzram
