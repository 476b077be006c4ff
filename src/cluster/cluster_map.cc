// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_map.h"

#include <algorithm>

#include "base/check.h"

namespace uzram {
namespace {

using MapBlock = std::array<std::byte, kPageBytes>;

std::size_t slot_of(std::uint64_t cluster, std::uint64_t first_cluster, std::uint64_t span) {
  const std::uint64_t slot = (cluster - first_cluster) / span;
  UZ_CHECK(slot < kMapFanout);
  return slot;
}

}  // namespace

std::unique_ptr<ClusterMap::Node> ClusterMap::new_node() {
  ++node_count_;
  return std::make_unique<Node>();
}

std::size_t ClusterMap::count_nodes(const Node& node) {
  std::size_t count = 1;
  for (const auto& child : node.children) {
    if (child) count += count_nodes(*child);
  }
  return count;
}

std::size_t ClusterMap::forget_clean_below(Node& node) {
  std::size_t gone = 0;
  for (auto& child : node.children) {
    if (!child) continue;
    if (child->has_changed) {
      gone += forget_clean_below(*child);
    } else {
      gone += count_nodes(*child);
      child.reset();
    }
  }
  return gone;
}

void ClusterMap::trim(std::size_t most_bytes) {
  if (memory_bytes() <= most_bytes + changed_bytes_) return;
  if (root_) node_count_ -= forget_clean_below(*root_);
  changed_bytes_ = memory_bytes();
}

Result<std::unique_ptr<ClusterMap::Node>> ClusterMap::read_node(ClusterStorage& storage,
                                                                const MapEntry& entry,
                                                                std::uint64_t first_cluster,
                                                                unsigned level) {
  MapBlock block;
  if (auto got = storage.read(entry.first_block * kPageBytes, block); !got)
    return fail(got.error().code);
  if (entry_checksum(first_cluster, block) != entry.checksum) return fail(EBADMSG);
  auto node = new_node();
  for (std::size_t slot = 0; slot < kMapFanout; ++slot) {
    const auto loaded = load_entry(ConstBytes(block).subspan(slot * kMapEntryBytes));
    if (!loaded || (!loaded->is_hole() && (loaded->kind == EntryKind::Map) != (level > 1))) {
      --node_count_;
      return fail(EBADMSG);
    }
    node->entries[slot] = *loaded;
  }
  return node;
}

Result<ClusterMap::Node*> ClusterMap::child_of(ClusterStorage& storage, Node& node,
                                               std::size_t slot, std::uint64_t first_cluster,
                                               unsigned level) {
  std::unique_ptr<Node>& child = node.children[slot];
  if (!child && node.entries[slot].is_hole()) {
    child = new_node();
  } else if (!child) {
    auto read =
        read_node(storage, node.entries[slot], first_cluster + slot * span_of(level), level - 1);
    if (!read) return fail(read.error().code);
    child = *std::move(read);
  }
  return child.get();
}

Result<ClusterMap::Node*> ClusterMap::root_node(ClusterStorage& storage) {
  UZ_CHECK(depth_ > 0);
  if (!root_) {
    auto read = read_node(storage, top_, 0, depth_);
    if (!read) return fail(read.error().code);
    root_ = *std::move(read);
  }
  return root_.get();
}

Result<MapEntry> ClusterMap::find(ClusterStorage& storage, std::uint64_t cluster) {
  if (depth_ == 0 || !covers(cluster)) return MapEntry{};
  auto node = root_node(storage);
  std::uint64_t first = 0;
  for (unsigned level = depth_; node; --level) {
    const std::size_t slot = slot_of(cluster, first, span_of(level));
    if (level == 1) return (*node)->entries[slot];
    if (!(*node)->children[slot] && (*node)->entries[slot].is_hole()) return MapEntry{};
    node = child_of(storage, **node, slot, first, level);
    first += slot * span_of(level);
  }
  return fail(node.error().code);
}

Result<std::uint64_t> ClusterMap::next_in(ClusterStorage& storage, Node& node,
                                          std::uint64_t first_cluster, unsigned level,
                                          std::uint64_t cluster) {
  const std::uint64_t span = span_of(level);
  const std::uint64_t from = std::max(cluster, first_cluster);
  for (std::size_t slot = (from - first_cluster) / span; slot < kMapFanout; ++slot) {
    const std::uint64_t first = first_cluster + slot * span;
    if (level == 1) {
      if (!node.entries[slot].is_hole()) return first;
    } else if (node.children[slot] || !node.entries[slot].is_hole()) {
      const auto child = child_of(storage, node, slot, first_cluster, level);
      if (!child) return fail(child.error().code);
      const auto found = next_in(storage, **child, first, level - 1, from);
      if (!found || *found != kNoCluster) return found;
    }
  }
  return kNoCluster;
}

Result<std::uint64_t> ClusterMap::next(ClusterStorage& storage, std::uint64_t cluster) {
  if (depth_ == 0 || !covers(cluster)) return kNoCluster;
  const auto root = root_node(storage);
  if (!root) return fail(root.error().code);
  return next_in(storage, **root, 0, depth_, cluster);
}

// Puts levels above the topmost map block until it covers the cluster.
Result<void> ClusterMap::grow(ClusterStorage& storage, std::uint64_t cluster) {
  UZ_CHECK(cluster >> (8 * kMostMapDepth) == 0);
  if (depth_ == 0) {
    root_ = new_node();
    depth_ = 1;
    has_changed_ = true;
  }
  if (auto root = root_node(storage); !root) return fail(root.error().code);
  while (!covers(cluster)) {
    auto above = new_node();
    above->entries[0] = top_;
    above->children[0] = std::move(root_);
    // Written even when nothing below has changed.
    above->has_changed = true;
    root_ = std::move(above);
    top_ = {};
    ++depth_;
    has_changed_ = true;
  }
  return {};
}

Result<MapEntry> ClusterMap::replace(ClusterStorage& storage, std::uint64_t cluster,
                                     const MapEntry& entry) {
  if (auto grown = grow(storage, cluster); !grown) return fail(grown.error().code);
  std::array<Node*, kMostMapDepth> path{};
  std::size_t path_count = 0;
  Node* node = root_.get();
  std::uint64_t first = 0;
  for (unsigned level = depth_; level > 1; --level) {
    path[path_count++] = node;
    const std::size_t slot = slot_of(cluster, first, span_of(level));
    const auto child = child_of(storage, *node, slot, first, level);
    if (!child) return fail(child.error().code);
    node = *child;
    first += slot * span_of(level);
  }
  // From here on nothing fails.
  for (std::size_t i = 0; i < path_count; ++i) path[i]->has_changed = true;
  node->has_changed = true;
  has_changed_ = true;
  return std::exchange(node->entries[slot_of(cluster, first, 1)], entry);
}

// Returns: whether the node has changed.
Result<bool> ClusterMap::cut_node(ClusterStorage& storage, Node& node, std::uint64_t first_cluster,
                                  unsigned level, std::uint64_t cluster, const Drop& drop) {
  const std::uint64_t span = span_of(level);
  for (std::size_t slot = 0; slot < kMapFanout; ++slot) {
    const std::uint64_t first = first_cluster + slot * span;
    if (first + span <= cluster) continue;
    MapEntry& entry = node.entries[slot];
    if (level == 1) {
      if (entry.is_hole()) continue;
      drop(entry);
      entry = {};
      node.has_changed = true;
    } else if (node.children[slot] || !entry.is_hole()) {
      const auto child = child_of(storage, node, slot, first_cluster, level);
      if (!child) return fail(child.error().code);
      const auto changed = cut_node(storage, **child, first, level - 1, cluster, drop);
      // What was cut before a failure stays cut, and has to be written.
      node.has_changed = node.has_changed || (*child)->has_changed;
      if (!changed) return changed;
    }
  }
  return node.has_changed;
}

Result<void> ClusterMap::cut(ClusterStorage& storage, std::uint64_t cluster, const Drop& drop) {
  if (depth_ == 0 || !covers(cluster)) return {};
  const auto root = root_node(storage);
  if (!root) return fail(root.error().code);
  const auto changed = cut_node(storage, **root, 0, depth_, cluster, drop);
  // What was cut before a failure stays cut.
  has_changed_ = true;
  if (!changed) return fail(changed.error().code);
  return {};
}

Result<void> ClusterMap::write_node(ClusterStorage& storage, Node& node, MapEntry& place,
                                    std::uint64_t first_cluster, unsigned level, const Take& take,
                                    const Drop& drop) {
  MapBlock block;
  bool is_empty = true;
  for (std::size_t slot = 0; slot < kMapFanout; ++slot) {
    Node* const child = node.children[slot].get();
    if (child != nullptr && child->has_changed) {
      auto written = write_node(storage, *child, node.entries[slot],
                                first_cluster + slot * span_of(level), level - 1, take, drop);
      if (!written) return written;
    }
    store_entry(MutableBytes(block).subspan(slot * kMapEntryBytes), node.entries[slot]);
    is_empty = is_empty && node.entries[slot].is_hole();
  }
  MapEntry next;
  if (!is_empty) {
    next = {entry_checksum(first_cluster, block), 1, EntryKind::Map, take()};
    if (auto written = storage.write(next.first_block * kPageBytes, block); !written) {
      drop(next);
      return written;
    }
  }
  if (!place.is_hole()) drop(place);
  place = next;
  node.has_changed = false;
  return {};
}

Result<void> ClusterMap::write_changed(ClusterStorage& storage, const Take& take,
                                       const Drop& drop) {
  if (!has_changed_) return {};
  if (root_ && (root_->has_changed || top_.is_hole())) {
    auto written = write_node(storage, *root_, top_, 0, depth_, take, drop);
    if (!written) return written;
  }
  if (top_.is_hole()) {
    root_.reset();
    node_count_ = 0;
    depth_ = 0;
  }
  has_changed_ = false;
  changed_bytes_ = 0;
  return {};
}

Result<void> ClusterMap::walk_node(ClusterStorage& storage, Node& node, std::uint64_t first_cluster,
                                   unsigned level, const Visit& visit, const Damaged& damaged) {
  for (std::size_t slot = 0; slot < kMapFanout; ++slot) {
    const std::uint64_t first = first_cluster + slot * span_of(level);
    const MapEntry& entry = node.entries[slot];
    if (!entry.is_hole()) {
      if (auto visited = visit(first, entry); !visited) return visited;
    }
    if (level == 1 || (!node.children[slot] && entry.is_hole())) continue;
    const bool was_there = node.children[slot] != nullptr;
    const auto child = child_of(storage, node, slot, first_cluster, level);
    if (!child && !damaged) return fail(child.error().code);
    if (!child) {
      damaged(first, entry);
      continue;
    }
    auto walked = walk_node(storage, **child, first, level - 1, visit, damaged);
    if (!was_there) {
      node_count_ -= count_nodes(**child);
      node.children[slot].reset();
    }
    if (!walked) return walked;
  }
  return {};
}

Result<void> ClusterMap::walk(ClusterStorage& storage, const Visit& visit, const Damaged& damaged) {
  if (depth_ == 0) return {};
  if (!top_.is_hole()) {
    if (auto visited = visit(0, top_); !visited) return visited;
  }
  const auto root = root_node(storage);
  if (!root && !damaged) return fail(root.error().code);
  if (!root) {
    damaged(0, top_);
    return {};
  }
  return walk_node(storage, **root, 0, depth_, visit, damaged);
}

}  // namespace uzram
