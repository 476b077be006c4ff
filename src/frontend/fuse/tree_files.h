// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/tree_files.h: which files the tree has, and what reading and writing them does.
//
// What:    from a path to a node, and from a node to text. Not here: libfuse (tree.h), the meaning
//          of an attribute (control/attribute_table.h), texts that are made in parts
//          (tree_listing.h), what the block layer shows (block_folder.h), the machine's other
//          disks (machine_view.h).
// Shapes:  paths begin with '/' at the tree's root and end in no '/'.
// Errors:  errno values of sysfs: ENOENT no such file, EACCES the wrong direction (root too),
//          ENODEV the device has gone while the file was open; otherwise the attribute's own.
// Threads: every function from any thread; an OpenTreeFile serves one caller at a time by itself.
// Proof:   tree_files_test.cc.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "frontend/fuse/block_folder.h"
#include "frontend/fuse/tree_listing.h"

namespace uzram {

class Device;
class DeviceSet;
struct Attribute;
struct ClassAttribute;

// What every file of sysfs says of its size, and the most that one write carries. A file of debugfs
// says 0.
inline constexpr std::size_t kTreeFileBytes = 4096;

// A folder when it is none of the others.
struct TreeNode {
  unsigned mode = 0;               // Permission bits.
  std::string key;                 // The same for every path that leads to it.
  bool is_debug = false;           // Below kernel/debug: what the kernel has in debugfs.
  std::shared_ptr<Device> device;  // Of a device's folder and what is in it.
  const Attribute* attribute = nullptr;
  const ClassAttribute* class_attribute = nullptr;
  std::optional<BlockEntry> entry;  // What the block layer shows; may be a folder or a link.
  std::string target;               // Of a symbolic link; empty: it is none.

  [[nodiscard]] bool is_link() const { return !target.empty(); }
  [[nodiscard]] bool is_folder() const {
    if (entry) return entry->kind == BlockEntry::Kind::Folder;
    return attribute == nullptr && class_attribute == nullptr && !is_link();
  }
  [[nodiscard]] std::size_t bytes() const {
    if (is_link()) return target.size();
    return is_folder() || is_debug ? 0 : kTreeFileBytes;
  }
  // Which directions it serves, whatever its mode says by now.
  [[nodiscard]] bool can_be_read() const;
  [[nodiscard]] bool can_be_written() const;
};

// Looking changes nothing: hot_add acts when it is read, not when it is looked up.
[[nodiscard]] std::optional<TreeNode> find_tree_node(const DeviceSet& devices,
                                                     std::string_view path);
// Errors: ENOENT, ENOTDIR.
[[nodiscard]] Result<std::vector<std::string>> list_tree_folder(const DeviceSet& devices,
                                                                std::string_view path);

class OpenTreeFile {
 public:
  // `devices` must outlive the file. Errors: EISDIR; EACCES.
  static Result<std::unique_ptr<OpenTreeFile>> open(DeviceSet& devices, TreeNode node, bool is_read,
                                                    bool is_written);

  // From offset 0 the text is made anew; further on, it is the rest of what was made then (of a
  // listing: what tree_listing.h says). Returns: how many bytes.
  Result<std::size_t> read(std::uint64_t offset, MutableBytes out);
  // The whole of a text; what is beyond kTreeFileBytes is not taken. Returns: how many bytes were.
  Result<std::size_t> write(ConstBytes text);

 private:
  OpenTreeFile(DeviceSet& devices, TreeNode node);
  [[nodiscard]] bool is_gone() const;
  Result<std::string> show();

  DeviceSet& devices_;
  const TreeNode node_;
  Mutex mutex_;
  std::string shown_ UZ_GUARDED_BY(mutex_);
  std::optional<TreeListing> listing_ UZ_GUARDED_BY(mutex_);  // Absent: the text is made at once.
};

}  // namespace uzram
