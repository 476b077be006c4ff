// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_map.h"

#include <gtest/gtest.h>

#include <map>

#include "cluster/memory_storage.h"

namespace uzram {
namespace {

// A map and its storage; blocks are handed out in order, and those that are dropped are noted.
class ClusterMapTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kSpread = 1000;  // Every one in a map block of its own.

  void set(std::uint64_t cluster) {
    expected_[cluster] = {77, 1, EntryKind::Raw, 1'000'000 + cluster};
    ASSERT_TRUE(map_.replace(storage_, cluster, expected_[cluster]));
  }
  void set_many() {
    for (std::uint64_t i = 0; i < 100; ++i) set(i * kSpread);
  }
  void write_changed() {
    ASSERT_TRUE(map_.write_changed(
        storage_, [&] { return next_block_++; },
        [&](const MapEntry& entry) { dropped_.push_back(entry); }));
  }
  // What somebody sees who opens it now.
  ClusterMap opened() const { return {map_.depth(), map_.top()}; }
  void expect_all(ClusterMap& map) {
    for (const auto& [cluster, entry] : expected_) ASSERT_EQ(map.find(storage_, cluster), entry);
    EXPECT_TRUE(map.find(storage_, 1).value().is_hole());
  }

  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  MemoryStorage storage_{disk_};
  ClusterMap map_{0, {}};
  std::uint64_t next_block_ = kRootSlots;
  std::vector<MapEntry> dropped_;
  std::map<std::uint64_t, MapEntry> expected_;
};

TEST_F(ClusterMapTest, ReadsAgainWhatItForgot) {
  set_many();
  write_changed();
  const std::size_t all_bytes = map_.memory_bytes();
  map_.trim(all_bytes);
  EXPECT_EQ(map_.memory_bytes(), all_bytes) << "there is room for them";
  map_.trim(all_bytes - 1);
  EXPECT_LT(map_.memory_bytes(), all_bytes / 50);
  expect_all(map_);
  EXPECT_EQ(map_.memory_bytes(), all_bytes);
}

TEST_F(ClusterMapTest, ForgetsNothingThatHasChanged) {
  set_many();
  map_.trim(0);
  expect_all(map_);
  write_changed();
  map_.trim(0);
  set(50 * kSpread + 1);
  const std::size_t changed_bytes = map_.memory_bytes();
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(map_.find(storage_, i * kSpread));
  map_.trim(0);
  EXPECT_EQ(map_.memory_bytes(), changed_bytes);
  expect_all(map_);
  write_changed();
  ClusterMap again = opened();
  expect_all(again);
}

TEST_F(ClusterMapTest, KeepsNothingOfAWalk) {
  set_many();
  write_changed();
  ClusterMap again = opened();
  std::size_t visited = 0;
  const auto visit = [&](std::uint64_t, const MapEntry& entry) -> Result<void> {
    if (entry.kind != EntryKind::Map) ++visited;
    return {};
  };
  ASSERT_TRUE(again.walk(storage_, visit));
  EXPECT_EQ(visited, expected_.size());
  EXPECT_LT(again.memory_bytes(), map_.memory_bytes() / 50);
}

// A cut that ends at a damaged block, three levels down, has dropped what is before it: that must
// not be in what is written next.
TEST_F(ClusterMapTest, WritesWhatACutThatFailedHasCut) {
  constexpr std::uint64_t kFirst = 65536;
  set(0);
  set(kFirst);
  set(kFirst + 256);
  write_changed();
  ASSERT_EQ(map_.depth(), 3U);
  map_ = opened();
  ASSERT_TRUE(map_.find(storage_, 0));
  // Blocks are written from the lowest level up: this cluster's before those above it.
  disk_->bytes[(next_block_ - 3) * kPageBytes + 5] ^= std::byte{1};
  ASSERT_EQ(map_.find(storage_, kFirst + 256).error().code, EBADMSG);
  dropped_.clear();
  const auto cut =
      map_.cut(storage_, kFirst, [&](const MapEntry& entry) { dropped_.push_back(entry); });
  EXPECT_EQ(cut.error().code, EBADMSG);
  ASSERT_EQ(dropped_.size(), 1U);
  EXPECT_EQ(dropped_.front(), expected_[kFirst]);
  write_changed();
  ClusterMap again = opened();
  EXPECT_TRUE(again.find(storage_, kFirst).value().is_hole());
  EXPECT_EQ(again.find(storage_, 0), expected_[0]);
}

}  // namespace
}  // namespace uzram
