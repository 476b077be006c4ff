// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/machine_view.h"

#include <fmt/format.h>
#include <sys/sysmacros.h>

#include <charconv>
#include <filesystem>
#include <set>

#include "device/device_set.h"
#include "frontend/fuse/block_folder.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;
using Kind = MachineFolder::Kind;

constexpr std::string_view kDevicePrefix = "zram";

const char* sysfs_folder(Kind kind) {
  switch (kind) {
    case Kind::Block:
      return "/sys/block";
    case Kind::Class:
      return "/sys/class/block";
    default:
      return "/sys/dev/block";
  }
}

// "zram12", whoever's.
bool is_zram_name(std::string_view name) {
  if (!name.starts_with(kDevicePrefix) || name.size() == kDevicePrefix.size()) return false;
  return name.find_first_not_of("0123456789", kDevicePrefix.size()) == std::string_view::npos;
}

std::string number_name(const Device& device) {
  const dev_t number = disk_number(device);
  return fmt::format("{}:{}", major(number), minor(number));
}

// Under which name a device stands in such a folder.
std::string own_name(const Device& device, Kind kind) {
  return kind == Kind::Numbers ? number_name(device) : device_folder_name(device);
}

// "../devices/virtual/block/vda" as seen from any folder; empty when it cannot be read.
std::string link_target(Kind kind, std::string_view name) {
  std::error_code problem;
  const fs::path link = fs::path(sysfs_folder(kind)) / name;
  std::string target = fs::read_symlink(link, problem).string();
  if (problem) return {};
  std::string_view rest(target);
  while (rest.starts_with("../")) rest.remove_prefix(3);
  return fmt::format("/sys/{}", rest);
}

}  // namespace

std::string device_folder_name(const Device& device) {
  return fmt::format("{}{}", kDevicePrefix, device.id());
}

std::shared_ptr<Device> find_named_device(const DeviceSet& devices, std::string_view name) {
  if (!is_zram_name(name)) return nullptr;
  const std::string_view digits = name.substr(kDevicePrefix.size());
  int id = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (parsed.ec != std::errc()) return nullptr;
  std::shared_ptr<Device> device = devices.find(id);
  return device != nullptr && device_folder_name(*device) == name ? device : nullptr;
}

std::vector<std::string> list_machine_folder(const DeviceSet& devices, Kind kind) {
  std::set<std::string> own_loops;
  std::vector<std::string> names;
  for (const auto& device : devices.all()) {
    own_loops.insert(loop_name(*device));
    names.push_back(own_name(*device, kind));
  }
  std::error_code ignored;
  for (const auto& each : fs::directory_iterator(sysfs_folder(kind), ignored)) {
    const std::string name = each.path().filename().string();
    const std::string disk = fs::path(link_target(kind, name)).filename().string();
    if (!is_zram_name(disk) && own_loops.count(disk) == 0) names.push_back(name);
  }
  return names;
}

std::string find_machine_link(const DeviceSet& devices, Kind kind, std::string_view name) {
  if (name.empty() || name.find('/') != std::string_view::npos) return {};
  for (const auto& device : devices.all()) {
    if (own_name(*device, kind) != name) continue;
    return kind == Kind::Block ? std::string()
                               : fmt::format("/sys/block/{}", device_folder_name(*device));
  }
  std::string target = link_target(kind, name);
  // A loop device of ours can be found by its name still: programs have it from /proc/mounts.
  return is_zram_name(fs::path(target).filename().string()) ? std::string() : target;
}

}  // namespace uzram
