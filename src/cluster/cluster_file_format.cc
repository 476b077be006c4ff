// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_file_format.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "cluster/f2fs_checksum.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

constexpr std::array<char, kRootMagicBytes> kRootMagic = {'u', 'z', 'r', 'a', 'm', 'c', 'f', '\0'};
constexpr std::size_t kVersionOffset = 8;
constexpr std::size_t kRootChecksumOffset = 12;
constexpr std::size_t kGenerationOffset = 16;
constexpr std::size_t kSizeOffset = 24;
constexpr std::size_t kAlgorithmOffset = 32;
constexpr std::size_t kLogPagesOffset = 33;
constexpr std::size_t kLevelOffset = 34;
constexpr std::size_t kFlagsOffset = 35;
constexpr std::size_t kDepthOffset = 36;
constexpr std::size_t kTopOffset = 40;
constexpr std::size_t kRootEnd = kTopOffset + kMapEntryBytes;

constexpr std::uint8_t kChecksumFlag = 1;
constexpr std::uint8_t kReservedFlag = 2;

bool is_all_zero(ConstBytes bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

std::uint32_t root_checksum(PageView slot) {
  constexpr std::array<std::byte, 4> kNothing{};
  std::uint32_t sum = f2fs_checksum(slot.first(kRootChecksumOffset));
  sum = f2fs_checksum(kNothing, sum);
  return f2fs_checksum(slot.subspan(kRootChecksumOffset + kNothing.size()), sum);
}

}  // namespace

void store_entry(MutableBytes place, const MapEntry& entry) {
  store_little(place, 0, entry.checksum);
  store_little(place, 4, entry.block_count);
  store_little(place, 6, static_cast<std::uint8_t>(entry.kind));
  store_little(place, 7, std::uint8_t{0});
  store_little(place, 8, entry.first_block);
}

Result<MapEntry> load_entry(ConstBytes place) {
  const auto kind = load_little<std::uint8_t>(place, 6);
  if (kind > static_cast<std::uint8_t>(EntryKind::Map)) return fail(EBADMSG);
  const MapEntry entry{load_little<std::uint32_t>(place, 0), load_little<std::uint16_t>(place, 4),
                       static_cast<EntryKind>(kind), load_little<std::uint64_t>(place, 8)};
  if (entry.is_hole()) {
    if (!is_all_zero(place.first(kMapEntryBytes))) return fail(EBADMSG);
    return entry;
  }
  if (place[7] != std::byte{0} || entry.block_count == 0 || entry.block_count > kMapFanout ||
      entry.first_block < kRootSlots || entry.first_block > kMostFileBlocks - entry.block_count ||
      (entry.kind == EntryKind::Map && entry.block_count != 1)) {
    return fail(EBADMSG);
  }
  return entry;
}

bool has_root_magic(ConstBytes first_bytes) {
  return first_bytes.size() >= kRootMagic.size() &&
         std::memcmp(first_bytes.data(), kRootMagic.data(), kRootMagic.size()) == 0;
}

void store_root(PageBuffer slot, const ClusterFileRoot& root) {
  std::memset(slot.data(), 0, slot.size());
  std::memcpy(slot.data(), kRootMagic.data(), kRootMagic.size());
  store_little(slot, kVersionOffset, kClusterFileVersion);
  store_little(slot, kGenerationOffset, root.generation);
  store_little(slot, kSizeOffset, root.size_bytes);
  store_little(slot, kAlgorithmOffset, static_cast<std::uint8_t>(root.cluster.algorithm));
  store_little(slot, kLogPagesOffset, static_cast<std::uint8_t>(root.cluster.log_pages));
  store_little(slot, kLevelOffset, static_cast<std::uint8_t>(root.cluster.level));
  const int flags =
      (root.cluster.has_checksum ? kChecksumFlag : 0) | (root.is_reserved ? kReservedFlag : 0);
  store_little(slot, kFlagsOffset, static_cast<std::uint8_t>(flags));
  store_little(slot, kDepthOffset, static_cast<std::uint32_t>(root.depth));
  store_entry(slot.subspan(kTopOffset), root.top);
  store_little(slot, kRootChecksumOffset, root_checksum(slot));
}

Result<ClusterFileRoot> load_root(PageView slot) {
  if (!has_root_magic(slot) ||
      load_little<std::uint32_t>(slot, kRootChecksumOffset) != root_checksum(slot)) {
    return fail(EBADMSG);
  }
  if (load_little<std::uint32_t>(slot, kVersionOffset) != kClusterFileVersion)
    return fail(EPROTONOSUPPORT);
  const auto flags = load_little<std::uint8_t>(slot, kFlagsOffset);
  const auto top = load_entry(slot.subspan(kTopOffset));
  if (!top || (flags & ~(kChecksumFlag | kReservedFlag)) != 0) return fail(EBADMSG);
  ClusterFileRoot root;
  root.generation = load_little<std::uint64_t>(slot, kGenerationOffset);
  root.size_bytes = load_little<std::uint64_t>(slot, kSizeOffset);
  root.cluster.algorithm =
      static_cast<ClusterAlgorithm>(load_little<std::uint8_t>(slot, kAlgorithmOffset));
  root.cluster.log_pages = load_little<std::uint8_t>(slot, kLogPagesOffset);
  root.cluster.level = load_little<std::uint8_t>(slot, kLevelOffset);
  root.cluster.has_checksum = (flags & kChecksumFlag) != 0;
  root.is_reserved = (flags & kReservedFlag) != 0;
  root.depth = load_little<std::uint32_t>(slot, kDepthOffset);
  root.top = *top;
  const bool has_map = root.top.kind == EntryKind::Map;
  if (!is_valid(root.cluster) || root.size_bytes > kMostContentBytes ||
      root.depth > kMostMapDepth || has_map != (root.depth != 0) ||
      (!has_map && !root.top.is_hole()) || !is_all_zero(slot.subspan(kRootEnd))) {
    return fail(EBADMSG);
  }
  return root;
}

Result<ClusterFileRoot> newest_root(ConstBytes first_bytes) {
  std::optional<ClusterFileRoot> newest;
  first_bytes = first_bytes.first(std::min(first_bytes.size(), kRootsBytes));
  for (; first_bytes.size() >= kPageBytes; first_bytes = first_bytes.subspan(kPageBytes)) {
    const auto root = load_root(first_bytes.first<kPageBytes>());
    if (!root && root.error().code != EBADMSG) return root;
    if (root && (!newest || root->generation > newest->generation)) newest = *root;
  }
  if (!newest) return fail(EBADMSG);
  return *newest;
}

std::uint32_t entry_checksum(std::uint64_t first_cluster, ConstBytes blocks) {
  std::array<std::byte, sizeof first_cluster> number{};
  store_little(number, 0, first_cluster);
  return f2fs_checksum(blocks, f2fs_checksum(number));
}

}  // namespace uzram
