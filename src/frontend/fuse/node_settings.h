// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/node_settings.h: what chmod, chown and utimens have set on the tree's files.
//
// What:    permission bits, owner, group and times that differ from what a file has by itself. The
//          kernel checks who may change them (default_permissions). Not here: what each file has by
//          itself (tree_files.h).
// Shapes:  kept for a device's life, as sysfs does: a reset changes nothing, a removed device takes
//          them along, another device of its number begins anew. Those of the class stay.
// Threads: any.
// Proof:   node_settings_test.cc, tree_test.cc.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"

namespace uzram {

class Device;
struct TreeNode;

struct NodeSettings {
  std::optional<unsigned> mode;  // Permission bits.
  std::optional<uid_t> user;
  std::optional<gid_t> group;
  std::optional<timespec> access_time;
  std::optional<timespec> change_time;  // Of the content, as utimens sets it.
};

class NodeSettingsMap {
 public:
  [[nodiscard]] NodeSettings find(const TreeNode& node) const;
  // What is not absent in `changes` counts from now on.
  void change(const TreeNode& node, const NodeSettings& changes);

 private:
  struct Entry {
    std::weak_ptr<Device> device;  // Empty for a file of no device.
    NodeSettings settings;
  };
  [[nodiscard]] static bool belongs_to(const Entry& entry, const TreeNode& node);

  mutable Mutex mutex_;
  std::map<std::string, Entry> entries_ UZ_GUARDED_BY(mutex_);  // By TreeNode::key.
};

}  // namespace uzram
