// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/node_settings.h"

#include "frontend/fuse/tree_files.h"

namespace uzram {

bool NodeSettingsMap::belongs_to(const Entry& entry, const TreeNode& node) {
  return entry.device.lock() == node.device;
}

NodeSettings NodeSettingsMap::find(const TreeNode& node) const {
  const MutexLock lock(mutex_);
  const auto found = entries_.find(node.key);
  if (found == entries_.end() || !belongs_to(found->second, node)) return {};
  return found->second.settings;
}

void NodeSettingsMap::change(const TreeNode& node, const NodeSettings& changes) {
  const MutexLock lock(mutex_);
  Entry& entry = entries_[node.key];
  if (!belongs_to(entry, node)) entry = {};
  entry.device = node.device;
  NodeSettings& settings = entry.settings;
  if (changes.mode) settings.mode = changes.mode;
  if (changes.user) settings.user = changes.user;
  if (changes.group) settings.group = changes.group;
  if (changes.access_time) settings.access_time = changes.access_time;
  if (changes.change_time) settings.change_time = changes.change_time;
}

}  // namespace uzram
