// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/tree_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/units.h"
#include "control/attribute_table.h"
#include "device/device_set.h"
#include "frontend/fuse/machine_view.h"

namespace uzram {
namespace {

constexpr unsigned kFolderMode = 0755;
constexpr unsigned kDebugMode = 0700;  // As debugfs, which shows itself to root only.
constexpr unsigned kLinkMode = 0777;
constexpr std::string_view kBlockFolder = "/block";
constexpr std::string_view kClassFolder = "/class/zram-control";
constexpr std::string_view kDebugFolder = "/kernel/debug";

// The folders that are always there; those that hold more than folders have no name here.
struct FixedFolder {
  std::string_view path;
  unsigned mode;
  std::array<std::string_view, 4> names;
};
constexpr std::array kFixedFolders{
    FixedFolder{"/", kFolderMode, {"block", "class", "kernel", "machine"}},
    FixedFolder{kBlockFolder, kFolderMode, {}},
    FixedFolder{"/class", kFolderMode, {"zram-control"}},
    FixedFolder{kClassFolder, kFolderMode, {}},
    FixedFolder{"/kernel", kFolderMode, {"debug"}},
    FixedFolder{kDebugFolder, kDebugMode, {"zram", "zsmalloc"}},
    FixedFolder{"/kernel/debug/zram", kFolderMode, {}},
    FixedFolder{"/kernel/debug/zsmalloc", kFolderMode, {}},
    FixedFolder{"/machine", kFolderMode, {"block", "class", "dev"}},
    FixedFolder{"/machine/block", kFolderMode, {}},
    FixedFolder{"/machine/class", kFolderMode, {"block"}},
    FixedFolder{"/machine/class/block", kFolderMode, {}},
    FixedFolder{"/machine/dev", kFolderMode, {"block"}},
    FixedFolder{"/machine/dev/block", kFolderMode, {}},
};

const FixedFolder* find_fixed_folder(std::string_view path) {
  for (const FixedFolder& folder : kFixedFolders) {
    if (folder.path == path) return &folder;
  }
  return nullptr;
}

// `node` is a device's folder.
std::optional<TreeNode> find_device_file(TreeNode node, std::string_view name,
                                         std::string_view debug_folder) {
  node.key += fmt::format("/{}", name);
  if (const Attribute* attribute = find_attribute(name); attribute != nullptr) {
    if (attribute->debug_folder != debug_folder) return std::nullopt;
    node.attribute = attribute;
    node.mode = attribute->mode;
    return node;
  }
  if (node.is_debug) return std::nullopt;
  node.entry = find_block_entry(*node.device, name);
  if (!node.entry) return std::nullopt;
  node.mode = node.entry->mode;
  node.target = node.entry->target;
  return node;
}

// The part of `path` below `parent`; nullopt when it is not below.
std::optional<std::string_view> below(std::string_view path, std::string_view parent) {
  const bool is_below = path.size() > parent.size() + 1 &&
                        path.substr(0, parent.size()) == parent && path[parent.size()] == '/';
  if (!is_below) return std::nullopt;
  return path.substr(parent.size() + 1);
}

// `debug_folder` is empty for the devices of /block.
std::optional<TreeNode> find_below_devices(const DeviceSet& devices, std::string_view rest,
                                           std::string_view debug_folder) {
  TreeNode node;
  node.mode = kFolderMode;
  node.is_debug = !debug_folder.empty();
  const std::size_t slash = rest.find('/');
  const std::string_view name = rest.substr(0, slash);
  node.device = find_named_device(devices, name);
  if (node.device == nullptr) return std::nullopt;
  node.key = fmt::format("{}/{}", debug_folder, name);
  if (slash == std::string_view::npos) return node;
  return find_device_file(std::move(node), rest.substr(slash + 1), debug_folder);
}

std::optional<TreeNode> find_in_machine(const DeviceSet& devices, std::string_view path) {
  for (const MachineFolder& folder : kMachineFolders) {
    const auto rest = below(path, folder.path);
    if (!rest) continue;
    if (folder.kind == MachineFolder::Kind::Block) {
      if (auto ours = find_below_devices(devices, *rest, {})) return ours;
    }
    TreeNode node;
    node.mode = kLinkMode;
    node.key = path;
    node.target = find_machine_link(devices, folder.kind, *rest);
    if (!node.is_link()) return std::nullopt;
    return node;
  }
  return std::nullopt;
}

// The name of the kernel's folder below kernel/debug, for a path in it: "zram".
std::string_view debug_folder_of(std::string_view path) {
  const auto rest = below(path, kDebugFolder);
  return rest ? rest->substr(0, rest->find('/')) : std::string_view{};
}

void add_device_names(const TreeNode& node, std::string_view path,
                      std::vector<std::string>& names) {
  if (node.entry) {
    names = list_block_folder(*node.device, node.entry->path);
    return;
  }
  for (const Attribute& attribute : device_attributes()) {
    if (attribute.debug_folder == debug_folder_of(path)) names.emplace_back(attribute.name);
  }
  if (node.is_debug) return;
  for (std::string& name : list_block_folder(*node.device, "")) names.push_back(std::move(name));
}

}  // namespace

bool TreeNode::can_be_read() const {
  if (attribute != nullptr) return attribute->show != nullptr || attribute->list != nullptr;
  if (class_attribute != nullptr) return class_attribute->show != nullptr;
  return entry && (entry->mode & 0444) != 0;
}

bool TreeNode::can_be_written() const {
  if (attribute != nullptr) return attribute->store != nullptr;
  if (class_attribute != nullptr) return class_attribute->store != nullptr;
  return entry && (entry->mode & 0222) != 0;
}

std::optional<TreeNode> find_tree_node(const DeviceSet& devices, std::string_view path) {
  if (const FixedFolder* folder = find_fixed_folder(path); folder != nullptr) {
    TreeNode node;
    node.mode = folder->mode;
    node.key = path;
    return node;
  }
  if (const auto name = below(path, kClassFolder)) {
    TreeNode node;
    node.class_attribute = find_class_attribute(*name);
    if (node.class_attribute == nullptr) return std::nullopt;
    node.mode = node.class_attribute->mode;
    node.key = path;
    return node;
  }
  if (const auto rest = below(path, kBlockFolder)) return find_below_devices(devices, *rest, {});
  if (const std::string_view debug = debug_folder_of(path); !debug.empty()) {
    const std::string folder = fmt::format("{}/{}", kDebugFolder, debug);
    const auto rest = below(path, folder);
    if (!rest || find_fixed_folder(folder) == nullptr) return std::nullopt;
    return find_below_devices(devices, *rest, debug);
  }
  return find_in_machine(devices, path);
}

Result<std::vector<std::string>> list_tree_folder(const DeviceSet& devices, std::string_view path) {
  const std::optional<TreeNode> node = find_tree_node(devices, path);
  if (!node) return fail(ENOENT);
  if (!node->is_folder()) return fail(ENOTDIR);
  std::vector<std::string> names;
  if (node->device != nullptr) {
    add_device_names(*node, path, names);
    return names;
  }
  for (const MachineFolder& folder : kMachineFolders) {
    if (folder.path == path) return list_machine_folder(devices, folder.kind);
  }
  if (path == kClassFolder) {
    for (const ClassAttribute& attribute : class_attributes()) names.emplace_back(attribute.name);
  } else if (path == kBlockFolder || !debug_folder_of(path).empty()) {
    for (const auto& device : devices.all()) names.push_back(device_folder_name(*device));
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
  const bool is_readable = (node.mode & 0444) != 0 && node.can_be_read();
  const bool is_writable = (node.mode & 0222) != 0 && node.can_be_written();
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
  if (node_.entry) return show_block_entry(*node_.device, *node_.entry);
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
  if (node_.entry) {
    const Result<void> stored = store_block_entry(*node_.device, *node_.entry, words);
    if (!stored) return tl::unexpected(stored.error());
    return bytes;
  }
  // Not under mutex_: storing may take long, and somebody may read the same open file meanwhile.
  const auto done = node_.attribute != nullptr
                        ? store_attribute(*node_.device, node_.attribute->name, words)
                        : node_.class_attribute->store(devices_, words);
  if (!done) return fail(done.error().code);
  return bytes;
}

}  // namespace uzram
