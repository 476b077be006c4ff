// SPDX-License-Identifier: Apache-2.0
#include "base/memory_room.h"

#include <algorithm>
#include <array>
#include <thread>

#include "base/kernel_file.h"

namespace uzram {
namespace {

constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
// The kernel charges a group in advance, so much for each processor.
constexpr std::uint64_t kChargeAheadBytes = kMiB / 4;

std::uint64_t less(std::uint64_t bytes, std::uint64_t margin) {
  return bytes > margin ? bytes - margin : 0;
}

// For what the pools do not count: tables, contexts, stacks, the kernel's own memory.
std::uint64_t cgroup_margin(std::uint64_t limit_bytes, std::uint64_t processors) {
  return std::clamp(limit_bytes / 16, 2 * kMiB, 64 * kMiB) +
         std::min(processors * kChargeAheadBytes, limit_bytes / 8);
}

std::uint64_t machine_margin(std::uint64_t total_bytes) {
  return std::clamp(total_bytes / 64, 16 * kMiB, 256 * kMiB);
}

bool begins_with(std::string_view text, std::string_view start) {
  return text.substr(0, start.size()) == start;
}

}  // namespace

std::uint64_t free_disk_swap_bytes(std::string_view swaps) {
  // Filename Type Size Used Priority; sizes in KiB.
  std::uint64_t free_bytes = 0;
  while (!swaps.empty()) {
    std::string_view line = swaps.substr(0, swaps.find('\n'));
    swaps.remove_prefix(std::min(swaps.size(), line.size() + 1));
    if (begins_with(line, "/dev/zram") || begins_with(line, "/dev/loop")) continue;
    for (int word = 0; word < 2; ++word) {
      line.remove_prefix(std::min(line.size(), line.find_first_of(" \t")));
      line.remove_prefix(std::min(line.size(), line.find_first_not_of(" \t")));
    }
    const auto size = leading_number(line);
    if (!size) continue;  // The heading.
    line.remove_prefix(std::min(line.size(), line.find_first_of(" \t")));
    const auto used = leading_number(line);
    if (used && *used < *size) free_bytes += (*size - *used) * 1024;
  }
  return free_bytes;
}

MemoryRoomSource::MemoryRoomSource(const std::string& proc_folder)
    : meminfo_file_(proc_folder + "/meminfo"),
      swaps_file_(proc_folder + "/swaps"),
      processors_(std::max(1U, std::thread::hardware_concurrency())),
      cgroups_(proc_folder + "/self") {}

MemoryRoom MemoryRoomSource::look() {
  MemoryRoom room;
  if (const auto group = cgroups_.tightest()) {
    room.cgroup_left_bytes =
        less(group->left_bytes(), cgroup_margin(group->limit_bytes, processors_));
    room.cgroup_path = group->path;
  }
  std::array<char, 4096> buffer;
  const std::string_view meminfo = read_kernel_file(meminfo_file_.c_str(), buffer);
  const auto total = number_after(meminfo, "MemTotal:");
  const auto available = number_after(meminfo, "MemAvailable:");
  if (total && available) {
    const std::uint64_t margin = machine_margin(*total * 1024);
    const std::string_view swaps = read_kernel_file(swaps_file_.c_str(), buffer);
    room.machine_left_bytes = less(*available * 1024 + free_disk_swap_bytes(swaps), margin);
  }
  return room;
}

}  // namespace uzram
