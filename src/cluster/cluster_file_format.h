// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_file_format.h: the bytes of a cluster file, as docs/format.md has them.
//
// What:   root slots and entries, taken apart and put together. Not here: where blocks are, and
//         when they are written (cluster_map.h, cluster_file.h).
// Errors: load_root -> EBADMSG: no root, or one that is damaged; EPROTONOSUPPORT: a higher version.
// Proof:  cluster_file_format_test.cc.
// Source: docs/format.md.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "cluster/cluster_options.h"

namespace uzram {

inline constexpr std::uint32_t kClusterFileVersion = 1;
inline constexpr std::size_t kRootSlots = 2;
inline constexpr std::size_t kMapFanout = 256;
inline constexpr std::size_t kMapEntryBytes = 16;
inline constexpr unsigned kMostMapDepth = 6;  // 2^48 clusters.
inline constexpr std::uint64_t kMostContentBytes = std::uint64_t{1} << 62;
inline constexpr std::uint64_t kMostFileBlocks = std::uint64_t{1} << 48;
static_assert(kMapFanout * kMapEntryBytes == kPageBytes);

enum class EntryKind : std::uint8_t { Hole = 0, Packed = 1, Raw = 2, Map = 3 };

struct MapEntry {
  std::uint32_t checksum = 0;
  std::uint16_t block_count = 0;
  EntryKind kind = EntryKind::Hole;
  std::uint64_t first_block = 0;
  [[nodiscard]] bool is_hole() const { return kind == EntryKind::Hole; }
  friend bool operator==(const MapEntry&, const MapEntry&) = default;
};

struct ClusterFileRoot {
  std::uint64_t generation = 0;
  std::uint64_t size_bytes = 0;
  ClusterOptions cluster;
  bool is_reserved = false;
  unsigned depth = 0;
  MapEntry top;
  friend bool operator==(const ClusterFileRoot&, const ClusterFileRoot&) = default;
};

void store_entry(MutableBytes place, const MapEntry& entry);
// Errors: EBADMSG: no entry that this version writes.
[[nodiscard]] Result<MapEntry> load_entry(ConstBytes place);

// Whether these are the first bytes of a root slot, which begins every cluster file.
[[nodiscard]] bool has_root_magic(ConstBytes first_bytes);
inline constexpr std::size_t kRootMagicBytes = 8;

void store_root(PageBuffer slot, const ClusterFileRoot& root);
[[nodiscard]] Result<ClusterFileRoot> load_root(PageView slot);
inline constexpr std::size_t kRootsBytes = kRootSlots * kPageBytes;
// Of a file's first kRootsBytes, or of fewer: damage in one slot leaves the other. Errors: as
// load_root; a higher version in either.
[[nodiscard]] Result<ClusterFileRoot> newest_root(ConstBytes first_bytes);

// The checksum of what an entry names; `first_cluster` is the first one that it covers.
[[nodiscard]] std::uint32_t entry_checksum(std::uint64_t first_cluster, ConstBytes blocks);

}  // namespace uzram
