// SPDX-License-Identifier: Apache-2.0
#include "base/memory_cgroup.h"

#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/kernel_file.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

// Version 1 writes "no limit" as the largest number of whole pages.
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 60;
constexpr std::size_t kNumberBytes = 64;
constexpr std::size_t kStatBytes = 8192;

std::optional<std::uint64_t> read_number(const std::string& path) {
  std::array<char, kNumberBytes> buffer;
  return leading_number(read_kernel_file(path.c_str(), buffer));
}

bool has_word(std::string_view list, std::string_view word) {
  while (!list.empty()) {
    const std::string_view next = list.substr(0, list.find(','));
    if (next == word) return true;
    list.remove_prefix(std::min(list.size(), next.size() + 1));
  }
  return false;
}

struct CgroupMount {
  std::string root;  // The group that is shown at `folder`.
  std::string folder;
};

// Where the hierarchy of version 2, or that of version 1 with the memory controller, is mounted.
std::optional<CgroupMount> find_mount(const std::string& mountinfo_file, bool is_version_2) {
  std::ifstream table(mountinfo_file);
  for (std::string line; std::getline(table, line);) {
    const std::size_t dash = line.find(" - ");
    if (dash == std::string::npos) continue;
    std::istringstream before(line.substr(0, dash));
    std::istringstream after(line.substr(dash + 3));
    std::string id, parent, number, type, source, options;
    CgroupMount mount;
    if (!(before >> id >> parent >> number >> mount.root >> mount.folder)) continue;
    if (!(after >> type >> source >> options)) continue;
    if (is_version_2 ? type == "cgroup2" : type == "cgroup" && has_word(options, "memory")) {
      return mount;
    }
  }
  return std::nullopt;
}

bool has_other_in(const fs::path& folder) {
  std::ifstream processes(folder / "cgroup.procs");
  long pid = 0;
  while (processes >> pid) {
    if (pid != ::getpid()) return true;
  }
  // A group of threads does not list its processes: nobody knows whose they are.
  if (processes.bad()) return true;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    std::error_code unknown;
    if (entry.is_directory(unknown) && has_other_in(entry.path())) return true;
  }
  return false;
}

}  // namespace

MemoryCgroups::MemoryCgroups(const std::string& proc_folder)
    : cgroup_file_(proc_folder + "/cgroup"), mountinfo_file_(proc_folder + "/mountinfo") {}

void MemoryCgroups::add_levels(std::string_view group, bool is_version_2) {
  const auto mount = find_mount(mountinfo_file_, is_version_2);
  if (!mount) return;
  // A container may see its own group as the root of the mount.
  std::string_view below = group;
  if (mount->root != "/") {
    if (below.substr(0, mount->root.size()) != mount->root) return;
    below.remove_prefix(mount->root.size());
  }
  if (below.find("/..") != std::string_view::npos) return;  // Outside of what is shown here.
  while (true) {
    while (!below.empty() && below.back() == '/') below.remove_suffix(1);
    Level level;
    level.is_version_2 = is_version_2;
    level.path = (mount->root == "/" ? std::string() : mount->root) + std::string(below);
    if (level.path.empty()) level.path = "/";
    level.folder = mount->folder + std::string(below);
    const std::string prefix = level.folder + "/memory.";
    if (is_version_2) {
      level.limit_files = {prefix + "max", prefix + "high"};
      level.usage_file = prefix + "current";
    } else {
      level.limit_files = {prefix + "limit_in_bytes"};
      level.usage_file = prefix + "usage_in_bytes";
    }
    level.stat_file = prefix + "stat";
    levels_.push_back(std::move(level));
    if (below.empty()) return;
    below = below.substr(0, below.rfind('/'));
  }
}

void MemoryCgroups::find_levels() {
  std::array<char, 4096> buffer;
  const std::string_view groups = read_kernel_file(cgroup_file_.c_str(), buffer);
  if (groups == known_groups_) return;
  known_groups_ = groups;
  levels_.clear();
  std::string group_of_version_2;
  std::string_view rest = groups;
  // 4:memory:/a/group of version 1, 0::/a/group of version 2.
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::size_t first = line.find(':');
    const std::size_t second = first == line.npos ? first : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (controllers.empty()) group_of_version_2 = line.substr(second + 1);
    if (has_word(controllers, "memory")) add_levels(line.substr(second + 1), false);
  }
  // A controller belongs to one hierarchy: version 2 has it when version 1 has not.
  if (levels_.empty() && !group_of_version_2.empty()) add_levels(group_of_version_2, true);
}

std::optional<CgroupRoom> MemoryCgroups::look(const Level& level) {
  CgroupRoom room;
  room.path = level.path;
  room.limit_bytes = kNoLimit;
  for (const std::string& file : level.limit_files) {
    // "max" is no number.
    if (const auto limit = read_number(file)) room.limit_bytes = std::min(room.limit_bytes, *limit);
  }
  if (room.limit_bytes >= kNoLimit) return std::nullopt;
  room.used_bytes = read_number(level.usage_file).value_or(0);
  std::array<char, kStatBytes> buffer;
  const std::string_view stat = read_kernel_file(level.stat_file.c_str(), buffer);
  // Version 1 tells the group alone from the group with all below it.
  const std::array<std::string_view, 2> keys =
      level.is_version_2
          ? std::array<std::string_view, 2>{"inactive_file ", "active_file "}
          : std::array<std::string_view, 2>{"total_inactive_file ", "total_active_file "};
  for (const std::string_view key : keys) {
    room.file_bytes += number_after(stat, key).value_or(0);
  }
  return room;
}

std::optional<CgroupRoom> MemoryCgroups::tightest() {
  find_levels();
  std::optional<CgroupRoom> least;
  for (const Level& level : levels_) {
    const auto room = look(level);
    if (room && (!least || room->left_bytes() < least->left_bytes())) least = room;
  }
  return least;
}

std::vector<CgroupRoom> MemoryCgroups::limited() {
  find_levels();
  std::vector<CgroupRoom> rooms;
  for (const Level& level : levels_) {
    if (const auto room = look(level)) rooms.push_back(*room);
  }
  return rooms;
}

bool MemoryCgroups::has_other_processes(std::string_view group_path) const {
  for (const Level& level : levels_) {
    if (level.path == group_path) return has_other_in(level.folder);
  }
  return false;
}

}  // namespace uzram
