// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_map.h: where each cluster of a cluster file is: a tree of map blocks.
//
// What:    finds and replaces entries in memory, reading map blocks when they are needed first;
//          writes what has changed as new blocks. Not here: roots, free space, what the entries'
//          blocks hold (cluster_file.h).
// Errors:  EBADMSG: a map block is damaged; what the storage says. A failed call leaves the entries
//          as they were; write_changed goes on where it failed when it is called again.
// Threads: one at a time.
// Owns:    the map blocks that were read, 6 KiB each for 256 clusters, until trim; a walk keeps
//          none that it had to read.
// Proof:   cluster_map_test.cc, cluster_file_model_test.cc, cluster_file_crash_test.cc,
//          cluster_file_fuzz.cc.
// Source:  docs/format.md.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "cluster/cluster_file_format.h"
#include "cluster/cluster_storage.h"

namespace uzram {

class ClusterMap {
 public:
  // What a walk meets. A map block comes before what it covers.
  using Visit = std::function<Result<void>(std::uint64_t first_cluster, const MapEntry& entry)>;
  // Blocks that nothing in the map names any more.
  using Drop = std::function<void(const MapEntry& entry)>;
  using Take = std::function<std::uint64_t()>;

  ClusterMap(unsigned depth, const MapEntry& top) : depth_(depth), top_(top) {}

  [[nodiscard]] unsigned depth() const { return depth_; }
  // Up to date after write_changed.
  [[nodiscard]] const MapEntry& top() const { return top_; }
  [[nodiscard]] bool has_changed() const { return has_changed_; }

  // A hole for what was never set.
  [[nodiscard]] Result<MapEntry> find(ClusterStorage& storage, std::uint64_t cluster);
  // The first one from `cluster` on that is no hole; kNoCluster when there is none.
  static constexpr std::uint64_t kNoCluster = ~std::uint64_t{0};
  [[nodiscard]] Result<std::uint64_t> next(ClusterStorage& storage, std::uint64_t cluster);
  // Returns: what was there.
  [[nodiscard]] Result<MapEntry> replace(ClusterStorage& storage, std::uint64_t cluster,
                                         const MapEntry& entry);
  // Turns everything from `cluster` on into holes.
  [[nodiscard]] Result<void> cut(ClusterStorage& storage, std::uint64_t cluster, const Drop& drop);
  // Writes every changed map block to a block from `take`, and drops the one that it replaces.
  [[nodiscard]] Result<void> write_changed(ClusterStorage& storage, const Take& take,
                                           const Drop& drop);
  // Every entry that is no hole. A map block that cannot be read is told to `damaged`, if there is
  // one, and left out; otherwise it ends the walk.
  using Damaged = std::function<void(std::uint64_t first_cluster, const MapEntry& entry)>;
  [[nodiscard]] Result<void> walk(ClusterStorage& storage, const Visit& visit,
                                  const Damaged& damaged = nullptr);

  // Of map blocks in memory.
  [[nodiscard]] std::size_t memory_bytes() const { return node_count_ * sizeof(Node); }
  // Forgets those that have not changed when there are more than this, besides those that could not
  // be forgotten the last time.
  void trim(std::size_t most_bytes);

 private:
  struct Node {
    std::array<MapEntry, kMapFanout> entries{};
    std::array<std::unique_ptr<Node>, kMapFanout> children;  // Those that were read.
    bool has_changed = false;
  };

  // How many clusters an entry of a node at this level covers; 1 at the lowest, which is level 1.
  static std::uint64_t span_of(unsigned level) { return std::uint64_t{1} << (8 * (level - 1)); }
  [[nodiscard]] bool covers(std::uint64_t cluster) const { return cluster >> (8 * depth_) == 0; }
  std::unique_ptr<Node> new_node();
  Result<std::unique_ptr<Node>> read_node(ClusterStorage& storage, const MapEntry& entry,
                                          std::uint64_t first_cluster, unsigned level);
  // Returns: how many nodes went.
  static std::size_t forget_clean_below(Node& node);
  static std::size_t count_nodes(const Node& node);
  // The node below an entry, read if need be; made when the entry is a hole.
  Result<Node*> child_of(ClusterStorage& storage, Node& node, std::size_t slot,
                         std::uint64_t first_cluster, unsigned level);
  Result<Node*> root_node(ClusterStorage& storage);
  Result<void> grow(ClusterStorage& storage, std::uint64_t cluster);
  Result<std::uint64_t> next_in(ClusterStorage& storage, Node& node, std::uint64_t first_cluster,
                                unsigned level, std::uint64_t cluster);
  Result<bool> cut_node(ClusterStorage& storage, Node& node, std::uint64_t first_cluster,
                        unsigned level, std::uint64_t cluster, const Drop& drop);
  static Result<void> write_node(ClusterStorage& storage, Node& node, MapEntry& place,
                                 std::uint64_t first_cluster, unsigned level, const Take& take,
                                 const Drop& drop);
  Result<void> walk_node(ClusterStorage& storage, Node& node, std::uint64_t first_cluster,
                         unsigned level, const Visit& visit, const Damaged& damaged);

  unsigned depth_;
  MapEntry top_;
  std::unique_ptr<Node> root_;
  std::size_t node_count_ = 0;
  std::size_t changed_bytes_ = 0;  // What the last trim could not forget.
  bool has_changed_ = false;
};

}  // namespace uzram
