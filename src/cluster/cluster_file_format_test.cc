// SPDX-License-Identifier: Apache-2.0
// The bytes of docs/format.md, written out by hand.
#include "cluster/cluster_file_format.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "cluster/f2fs_checksum.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

using Slot = std::array<std::byte, kPageBytes>;

ClusterFileRoot sample_root() {
  ClusterFileRoot root;
  root.generation = 0x0102;
  root.size_bytes = 0x030405;
  root.cluster = {
      .algorithm = ClusterAlgorithm::Zstd, .level = 7, .log_pages = 5, .has_checksum = true};
  root.is_reserved = true;
  root.depth = 2;
  root.top = {0xaabbccdd, 1, EntryKind::Map, 0x1122};
  return root;
}

void reseal(Slot& slot) {
  store_little(slot, 12, std::uint32_t{0});
  store_little(slot, 12, f2fs_checksum(slot));
}

TEST(ClusterFileFormat, HasARootWhereThePageSaysItIs) {
  Slot slot;
  store_root(slot, sample_root());
  std::string expected(
      "uzramcf\0\x01\0\0\0....\x02\x01\0\0\0\0\0\0\x05\x04\x03\0\0\0\0\0"
      "\x02\x05\x07\x03\x02\0\0\0\xdd\xcc\xbb\xaa\x01\0\x03\0\x22\x11\0\0\0\0\0\0",
      56);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (i >= 12 && i < 16) continue;
    EXPECT_EQ(slot[i], static_cast<std::byte>(expected[i])) << i;
  }
  const auto checksum = load_little<std::uint32_t>(slot, 12);
  reseal(slot);
  EXPECT_EQ(load_little<std::uint32_t>(slot, 12), checksum);
  EXPECT_EQ(load_root(slot).value(), sample_root());
}

TEST(ClusterFileFormat, RefusesEveryChangedByteOfARoot) {
  Slot slot;
  store_root(slot, sample_root());
  for (std::size_t i = 0; i < slot.size(); i += i < 64 ? 1 : 101) {
    slot[i] ^= std::byte{0x10};
    EXPECT_EQ(load_root(slot).error().code, EBADMSG) << i;
    slot[i] ^= std::byte{0x10};
  }
  EXPECT_TRUE(load_root(slot));
}

TEST(ClusterFileFormat, RefusesRootsThatThisVersionDoesNotWrite) {
  const std::vector<std::tuple<std::size_t, std::uint8_t, int>> cases = {
      {8, 2, EPROTONOSUPPORT},  // A newer version.
      {31, 0x80, EBADMSG},      // Too large.
      {32, 9, EBADMSG},         // No algorithm.
      {33, 9, EBADMSG},         // No cluster size.
      {34, 23, EBADMSG},        // No level of zstd.
      {35, 4, EBADMSG},         // A flag that means nothing.
      {36, 7, EBADMSG},         // Too deep.
      {36, 0, EBADMSG},         // A map of no depth.
      {46, 1, EBADMSG},         // The topmost entry is a cluster.
      {4000, 1, EBADMSG}};      // Something behind the end.
  for (const auto& [offset, value, code] : cases) {
    Slot slot;
    store_root(slot, sample_root());
    slot[offset] = std::byte{value};
    reseal(slot);
    EXPECT_EQ(load_root(slot).error().code, code) << offset;
  }
}

TEST(ClusterFileFormat, RefusesEntriesThatCannotBe) {
  std::array<std::byte, kMapEntryBytes> place{};
  EXPECT_TRUE(load_entry(place)->is_hole());
  const auto is_refused = [&](const MapEntry& entry) {
    store_entry(place, entry);
    return !load_entry(place);
  };
  EXPECT_FALSE(is_refused({1, 256, EntryKind::Raw, 2}));
  EXPECT_TRUE(is_refused({1, 257, EntryKind::Raw, 2}));
  EXPECT_TRUE(is_refused({1, 0, EntryKind::Raw, 2}));
  EXPECT_TRUE(is_refused({1, 1, EntryKind::Packed, 1}));
  EXPECT_TRUE(is_refused({1, 2, EntryKind::Map, 2}));
  EXPECT_TRUE(is_refused({1, 1, static_cast<EntryKind>(4), 2}));
  EXPECT_TRUE(is_refused({1, 1, EntryKind::Raw, kMostFileBlocks}));
  EXPECT_TRUE(is_refused({1, 1, EntryKind::Raw, ~std::uint64_t{0}}));
  EXPECT_TRUE(is_refused({1, 0, EntryKind::Hole, 0})) << "a hole with a checksum";
  store_entry(place, {1, 1, EntryKind::Raw, 2});
  place[7] = std::byte{1};
  EXPECT_FALSE(load_entry(place));
}

TEST(ClusterFileFormat, ChecksTheNumberOfTheClusterBeforeItsBlocks) {
  const std::vector<std::byte> blocks(kPageBytes, std::byte{5});
  std::vector<std::byte> both(8);
  both[0] = std::byte{9};
  both.insert(both.end(), blocks.begin(), blocks.end());
  EXPECT_EQ(entry_checksum(9, blocks), f2fs_checksum(both));
}

}  // namespace
}  // namespace uzram
