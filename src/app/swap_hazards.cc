// SPDX-License-Identifier: Apache-2.0
#include "app/swap_hazards.h"

#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "control/size_text.h"

namespace uzram {

namespace {

// What the daemon may still need beside its reserve while it serves.
constexpr std::uint64_t kCgroupSlackBytes = std::uint64_t{32} << 20;

std::string power_text(const std::string& folder, const char* name) {
  std::ifstream file(folder + "/" + name);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::optional<std::string> cgroup_hazard(const CgroupRoom& group, bool is_shared,
                                         std::uint64_t reserve_bytes) {
  if (is_shared) {
    return fmt::format(
        "the daemon shares the memory limit ({}) of the cgroup {} with other processes: at the "
        "limit it would wait for its own disk, for good; run it in a cgroup without a limit",
        short_size(group.limit_bytes), group.path);
  }
  if (group.left_bytes() >= reserve_bytes + kCgroupSlackBytes) return std::nullopt;
  return fmt::format(
      "the daemon's cgroup {} has a limit of {}, of which {} are left, less than the reserve and "
      "{}: raise the limit, or take it away",
      group.path, short_size(group.limit_bytes), short_size(group.left_bytes()),
      short_size(kCgroupSlackBytes));
}

}  // namespace

bool can_hibernate(const std::string& power_folder) {
  const std::string states = " " + power_text(power_folder, "state") + " ";
  const std::string ways = power_text(power_folder, "disk");
  const std::size_t found = states.find(" disk");
  return found != std::string::npos && ways.find("[disabled]") == std::string::npos;
}

std::vector<std::string> find_swap_hazards(const SwapSurroundings& surroundings,
                                           MemoryCgroups& cgroups) {
  std::vector<std::string> hazards;
  for (const CgroupRoom& group : cgroups.limited()) {
    const bool is_shared = cgroups.has_other_processes(group.path);
    if (const auto hazard = cgroup_hazard(group, is_shared, surroundings.reserve_bytes)) {
      hazards.push_back(*hazard);
    }
  }
  if (!surroundings.is_io_flusher) {
    hazards.emplace_back(
        "PR_SET_IO_FLUSHER was refused, so the daemon may wait for its own disk when memory is "
        "short: run it with CAP_SYS_RESOURCE");
  }
  if (can_hibernate(surroundings.power_folder)) {
    hazards.emplace_back(
        "this machine can hibernate: the kernel would freeze the daemon and still swap to its "
        "disk, or choose the disk for the image: boot with nohibernate, or call 'uzram swap off' "
        "before each hibernation");
  }
  return hazards;
}

}  // namespace uzram
