// SPDX-License-Identifier: Apache-2.0
// base/memory_cgroup.h: the memory cgroups that this process lies in, and what each leaves it.
//
// What:    a limit may stand at the process's own group or at any group above it, in version 1
//          (memory.limit_in_bytes) or 2 (memory.max, memory.high). A group is found through
//          /proc/self/cgroup and /proc/self/mountinfo, so it may be mounted anywhere.
// Units:   bytes.
// Errors:  none: a file that cannot be read is no limit.
// Threads: one at a time. tightest() allocates only when the process has changed its group.
// Proof:   swap_hazards_test.cc in app/; tests/e2e/memory_limit_test.py.
// Source:  cgroups(7); the kernel's admin-guide/cgroup-v2 and cgroup-v1/memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace uzram {

struct CgroupRoom {
  std::string_view path;          // As in /proc/self/cgroup; borrowed from the MemoryCgroups.
  std::uint64_t limit_bytes = 0;  // Where the kernel begins to kill, or (memory.high) to stall.
  std::uint64_t used_bytes = 0;
  std::uint64_t file_bytes = 0;  // Of that, file content that the kernel may drop.

  // Half of what can be dropped counts: the other half is what programs read all the time.
  [[nodiscard]] std::uint64_t left_bytes() const {
    const std::uint64_t held = used_bytes - std::min(used_bytes, file_bytes / 2);
    return limit_bytes - std::min(limit_bytes, held);
  }
};

class MemoryCgroups {
 public:
  // `proc_folder` has the files "cgroup" and "mountinfo".
  explicit MemoryCgroups(const std::string& proc_folder = "/proc/self");

  // The group that leaves least. Returns: nullopt when no group has a limit.
  [[nodiscard]] std::optional<CgroupRoom> tightest();
  // Every group with a limit, the process's own one first.
  [[nodiscard]] std::vector<CgroupRoom> limited();
  // Whether others than this process lie in that group or below it.
  [[nodiscard]] bool has_other_processes(std::string_view group_path) const;

 private:
  struct Level {
    std::string path;
    std::string folder;
    // The files by their full names, made once.
    std::vector<std::string> limit_files;
    std::string usage_file;
    std::string stat_file;
    bool is_version_2 = false;
  };
  void find_levels();
  void add_levels(std::string_view group, bool is_version_2);
  [[nodiscard]] static std::optional<CgroupRoom> look(const Level& level);

  const std::string cgroup_file_;
  const std::string mountinfo_file_;
  std::string known_groups_;  // The text of cgroup_file_ that levels_ was made from.
  std::vector<Level> levels_;
};

}  // namespace uzram
