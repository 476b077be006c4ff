// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/tree_files.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "base/units.h"
#include "control/attribute_table.h"
#include "device/device_set.h"

namespace uzram {
namespace {

constexpr unsigned kFolderMode = 0755;
constexpr unsigned kDebugMode = 0700;  // As debugfs, which shows itself to root only.
constexpr unsigned kFactMode = 0444;
constexpr std::string_view kDevicePrefix = "zram";
constexpr std::string_view kBlockFolder = "/block";
constexpr std::string_view kClassFolder = "/class/zram-control";
constexpr std::string_view kDebugFolder = "/kernel/debug/zram";

// The folders that are always there; those that hold more than folders have no name here.
struct FixedFolder {
  std::string_view path;
  unsigned mode;
  std::array<std::string_view, 3> names;
};
constexpr std::array kFixedFolders{
    FixedFolder{"/", kFolderMode, {"block", "class", "kernel"}},
    FixedFolder{kBlockFolder, kFolderMode, {}},
    FixedFolder{"/class", kFolderMode, {"zram-control"}},
    FixedFolder{kClassFolder, kFolderMode, {}},
    FixedFolder{"/kernel", kFolderMode, {"debug"}},
    FixedFolder{"/kernel/debug", kDebugMode, {"zram"}},
    FixedFolder{kDebugFolder, kFolderMode, {}},
};

const FixedFolder* find_fixed_folder(std::string_view path) {
  for (const FixedFolder& folder : kFixedFolders) {
    if (folder.path == path) return &folder;
  }
  return nullptr;
}

std::optional<std::string> show_size(const Device& device) {
  return fmt::format("{}\n", device.disksize() / kSectorBytes);
}

// The number of the device under which users find the disk: zramctl looks for it.
std::optional<std::string> show_number(const Device& device) {
  const std::string path = device.block_path();
  struct stat status {};
  const bool is_node =
      path.rfind("/dev/", 0) == 0 && ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
  if (!is_node) return std::nullopt;
  return fmt::format("{}:{}\n", major(status.st_rdev), minor(status.st_rdev));
}

constexpr std::array kFacts{DiskFact{"dev", show_number}, DiskFact{"size", show_size}};

const DiskFact* find_fact(std::string_view name) {
  for (const DiskFact& fact : kFacts) {
    if (fact.name == name) return &fact;
  }
  return nullptr;
}

std::string folder_name(const Device& device) {
  return fmt::format("{}{}", kDevicePrefix, device.id());
}

std::shared_ptr<Device> find_device(const DeviceSet& devices, std::string_view name) {
  if (name.substr(0, kDevicePrefix.size()) != kDevicePrefix) return nullptr;
  const std::string_view digits = name.substr(kDevicePrefix.size());
  int id = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), id);
  if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return nullptr;
  std::shared_ptr<Device> device = devices.find(id);
  // One name each: zram01 is not zram1.
  return device != nullptr && folder_name(*device) == name ? device : nullptr;
}

// What the kernel has in debugfs is what comes in parts.
bool is_debug(const Attribute& attribute) { return attribute.list != nullptr; }

// `node` is a device's folder.
std::optional<TreeNode> find_device_file(TreeNode node, std::string_view name) {
  const Attribute* attribute = find_attribute(name);
  if (attribute != nullptr) {
    if (is_debug(*attribute) != node.is_debug) return std::nullopt;
    node.attribute = attribute;
    node.mode = attribute->mode;
    return node;
  }
  if (node.is_debug) return std::nullopt;
  if (node.fact = find_fact(name); node.fact == nullptr) return std::nullopt;
  if (!node.fact->show(*node.device)) return std::nullopt;
  node.mode = kFactMode;
  return node;
}

// The part of `path` below `parent`; nullopt when it is not below.
std::optional<std::string_view> below(std::string_view path, std::string_view parent) {
  const bool is_below = path.size() > parent.size() + 1 &&
                        path.substr(0, parent.size()) == parent && path[parent.size()] == '/';
  if (!is_below) return std::nullopt;
  return path.substr(parent.size() + 1);
}

std::optional<TreeNode> find_below_devices(const DeviceSet& devices, std::string_view rest,
                                           bool is_debug) {
  TreeNode node;
  node.mode = kFolderMode;
  node.is_debug = is_debug;
  const std::size_t slash = rest.find('/');
  node.device = find_device(devices, rest.substr(0, slash));
  if (node.device == nullptr) return std::nullopt;
  if (slash == std::string_view::npos) return node;
  return find_device_file(std::move(node), rest.substr(slash + 1));
}

}  // namespace

std::optional<TreeNode> find_tree_node(const DeviceSet& devices, std::string_view path) {
  if (const FixedFolder* folder = find_fixed_folder(path); folder != nullptr) {
    TreeNode node;
    node.mode = folder->mode;
    return node;
  }
  if (const auto name = below(path, kClassFolder)) {
    TreeNode node;
    node.class_attribute = find_class_attribute(*name);
    if (node.class_attribute == nullptr) return std::nullopt;
    node.mode = node.class_attribute->mode;
    return node;
  }
  if (const auto rest = below(path, kBlockFolder)) return find_below_devices(devices, *rest, false);
  if (const auto rest = below(path, kDebugFolder)) return find_below_devices(devices, *rest, true);
  return std::nullopt;
}

Result<std::vector<std::string>> list_tree_folder(const DeviceSet& devices, std::string_view path) {
  const std::optional<TreeNode> node = find_tree_node(devices, path);
  if (!node) return fail(ENOENT);
  if (!node->is_folder()) return fail(ENOTDIR);
  std::vector<std::string> names;
  if (node->device != nullptr) {
    for (const Attribute& attribute : device_attributes()) {
      if (is_debug(attribute) == node->is_debug) names.emplace_back(attribute.name);
    }
    for (const DiskFact& fact : kFacts) {
      if (!node->is_debug && fact.show(*node->device)) names.emplace_back(fact.name);
    }
  } else if (path == kClassFolder) {
    for (const ClassAttribute& attribute : class_attributes()) names.emplace_back(attribute.name);
  } else if (path == kBlockFolder || path == kDebugFolder) {
    for (const auto& device : devices.all()) names.push_back(folder_name(*device));
  } else {
    for (const std::string_view name : find_fixed_folder(path)->names) {
      if (!name.empty()) names.emplace_back(name);
    }
  }
  return names;
}

// --- an open file ------------------------------------------------------------------------------

Result<std::unique_ptr<OpenTreeFile>> OpenTreeFile::open(DeviceSet& devices, TreeNode node,
                                                         bool is_read, bool is_written) {
  if (node.is_folder()) return fail(EISDIR);
  // sysfs refuses these to root as well, whom permission bits alone would not stop.
  const bool is_readable = (node.mode & 0444) != 0;
  const bool is_writable = (node.mode & 0222) != 0;
  if ((is_read && !is_readable) || (is_written && !is_writable)) return fail(EACCES);
  return std::unique_ptr<OpenTreeFile>(new OpenTreeFile(devices, std::move(node)));
}

OpenTreeFile::OpenTreeFile(DeviceSet& devices, TreeNode node)
    : devices_(devices), node_(std::move(node)) {
  if (node_.attribute != nullptr && node_.attribute->list != nullptr) {
    listing_.emplace(*node_.device, *node_.attribute);
  }
}

bool OpenTreeFile::is_gone() const {
  return node_.device != nullptr && devices_.find(node_.device->id()) != node_.device;
}

Result<std::string> OpenTreeFile::show() {
  if (is_gone()) return fail(ENODEV);
  if (node_.fact != nullptr) {
    std::optional<std::string> text = node_.fact->show(*node_.device);
    if (!text) return fail(ENODEV);
    return std::move(*text);
  }
  auto text = node_.attribute != nullptr ? show_attribute(*node_.device, node_.attribute->name)
                                         : node_.class_attribute->show(devices_);
  if (!text) return fail(text.error().code);
  return std::move(*text);
}

Result<std::size_t> OpenTreeFile::read(std::uint64_t offset, MutableBytes out) {
  MutexLock lock(mutex_);
  if (listing_) {
    if (is_gone()) return fail(ENODEV);
    return listing_->read(offset, out);
  }
  if (offset == 0) {
    auto text = show();
    if (!text) return tl::unexpected(text.error());
    shown_ = std::move(*text);
  }
  if (offset >= shown_.size()) return 0;
  const std::size_t bytes = std::min(out.size(), shown_.size() - offset);
  const auto* const first = reinterpret_cast<const std::byte*>(shown_.data()) + offset;
  std::copy_n(first, bytes, out.data());
  return bytes;
}

Result<std::size_t> OpenTreeFile::write(ConstBytes text) {
  if (is_gone()) return fail(ENODEV);
  const std::size_t bytes = std::min(text.size(), kTreeFileBytes);
  if (bytes == 0) return 0;
  const std::string_view words(reinterpret_cast<const char*>(text.data()), bytes);
  // Not under mutex_: storing may take long, and somebody may read the same open file meanwhile.
  const auto done = node_.attribute != nullptr
                        ? store_attribute(*node_.device, node_.attribute->name, words)
                        : node_.class_attribute->store(devices_, words);
  if (!done) return fail(done.error().code);
  return bytes;
}

}  // namespace uzram
