// SPDX-License-Identifier: Apache-2.0
// base/memory_room.h: how much more memory this process may take before somebody is killed for it.
//
// What:    two answers, each less a margin: what its memory cgroups leave, and what the machine
//          leaves (MemAvailable, and free swap that is not itself memory).
// Units:   bytes.
// Threads: one at a time. look() allocates only when the process has changed its cgroup.
// Proof:   swap_hazards_test.cc in app/; tests/e2e/memory_limit_test.py.
// Source:  proc(5): meminfo, swaps.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/memory_cgroup.h"

namespace uzram {

struct MemoryRoom {
  static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::int64_t>::max();
  std::uint64_t cgroup_left_bytes = kUnlimited;
  std::uint64_t machine_left_bytes = kUnlimited;
  std::string_view cgroup_path;  // The group that leaves least; borrowed from the source.
};

class MemoryRoomSource {
 public:
  // "/proc" but in tests.
  explicit MemoryRoomSource(const std::string& proc_folder = "/proc");
  [[nodiscard]] MemoryRoom look();

 private:
  const std::string meminfo_file_;
  const std::string swaps_file_;
  const std::uint64_t processors_;
  MemoryCgroups cgroups_;
};

// Free bytes of swap areas in the text of /proc/swaps that lie on a disk. A zram or a loop device
// may be memory itself.
[[nodiscard]] std::uint64_t free_disk_swap_bytes(std::string_view swaps);

}  // namespace uzram
