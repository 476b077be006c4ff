// SPDX-License-Identifier: Apache-2.0
#include "backing/block_map.h"

#include <gtest/gtest.h>

#include <vector>

namespace uzram {
namespace {

class BlockMapTest : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kBlocks = 300;
  std::unique_ptr<BlockMap> map_ = std::move(*BlockMap::create(kBlocks));

  void take_everything() {
    while (map_->take_run(1, kRunBlocks)) continue;
    ASSERT_EQ(map_->blocks_in_use(), kBlocks);
  }
  // Makes the run look as if an object of one step lay in each block.
  void fill(BlockRange range) { map_->set_live(range, std::vector<std::uint16_t>(range.count, 1)); }
  static BackingPosition start_of(std::uint64_t block) { return {block * kStepsPerBlock}; }
};

TEST_F(BlockMapTest, TakesRunsOneBehindTheOther) {
  EXPECT_EQ(map_->take_run(1, 64), (BlockRange{0, 64}));
  EXPECT_EQ(map_->take_run(1, 64), (BlockRange{64, 64}));
  map_->give_back({0, 64});
  EXPECT_EQ(map_->take_run(1, 64), (BlockRange{128, 64})) << "it moves on";
}

TEST_F(BlockMapTest, EndsWithTheStore) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(map_->take_run(64, 64).has_value());
  EXPECT_FALSE(map_->take_run(45, 64).has_value());
  EXPECT_EQ(map_->take_run(44, 64), (BlockRange{256, 44}));
  EXPECT_FALSE(map_->take_run(1, 1).has_value());
}

TEST_F(BlockMapTest, PrefersALongRunToANearOne) {
  take_everything();
  map_->give_back({10, 5});
  map_->give_back({100, 70});
  map_->give_back({290, 10});
  EXPECT_EQ(map_->take_run(1, 64), (BlockRange{100, 64}));
  EXPECT_EQ(map_->take_run(1, 64), (BlockRange{290, 10}));
  EXPECT_EQ(map_->take_run(6, 64), (BlockRange{164, 6}));
  EXPECT_EQ(map_->take_run(1, 3), (BlockRange{10, 3}));
}

TEST_F(BlockMapTest, FindsARunThatLiesAcrossItsCursor) {
  ASSERT_TRUE(map_->take_run(64, 64).has_value());
  ASSERT_TRUE(map_->take_run(64, 64).has_value());
  take_everything();
  map_->give_back({0, 300});
  ASSERT_EQ(map_->take_run(64, 64)->count, 64U);
  const std::uint64_t rest = kBlocks - map_->blocks_in_use();
  take_everything();
  EXPECT_EQ(rest, kBlocks - 64);
}

TEST_F(BlockMapTest, RemembersThatThereIsNoRunUntilSomethingIsFreed) {
  take_everything();
  map_->give_back({20, 1});
  EXPECT_FALSE(map_->take_run(2, 64).has_value());
  EXPECT_FALSE(map_->take_run(2, 64).has_value());
  map_->give_back({21, 1});
  EXPECT_EQ(map_->take_run(2, 64), (BlockRange{20, 2}));
}

TEST_F(BlockMapTest, FreesABlockWhenItsLastObjectDies) {
  const BlockRange range = *map_->take_run(3, 3);
  // An object of a block and 24 bytes with its check, one of 16 bytes behind it.
  map_->set_live(range, std::vector<std::uint16_t>{256, 3, 255});
  map_->remove_live(start_of(0), kBlockBytes + 16);
  EXPECT_EQ(map_->blocks_in_use(), 2U);
  EXPECT_EQ(map_->live_steps(1), 1U);
  map_->remove_live({kStepsPerBlock + 2}, 1);
  EXPECT_EQ(map_->blocks_in_use(), 1U);
  EXPECT_EQ(map_->total_live_steps(), 255U);
  map_->check_invariants();
}

TEST_F(BlockMapTest, AdoptsWhatCanBeTrue) {
  EXPECT_TRUE(map_->try_adopt(start_of(5), kBlockBytes));
  EXPECT_TRUE(map_->try_adopt({10 * kStepsPerBlock + 3}, 9000));
  EXPECT_EQ(map_->blocks_in_use(), 1U + 3U);
  EXPECT_FALSE(map_->try_adopt(start_of(5), kBlockBytes)) << "twice";
  EXPECT_FALSE(map_->try_adopt({5 * kStepsPerBlock + 100}, 10)) << "inside another";
  EXPECT_FALSE(map_->try_adopt({5 * kStepsPerBlock - 2}, 30)) << "into another";
  EXPECT_FALSE(map_->try_adopt({20 * kStepsPerBlock + 1}, kBlockBytes)) << "not at a block";
  EXPECT_FALSE(map_->try_adopt({kBlocks * kStepsPerBlock - 1}, 100)) << "over the end";
  EXPECT_FALSE(map_->try_adopt({~std::uint64_t{0}}, 100));
  EXPECT_FALSE(map_->try_adopt(start_of(40), 0));
  EXPECT_FALSE(map_->try_adopt(start_of(40), kMaxObjectBytes + 1));
  EXPECT_TRUE(map_->try_adopt({5 * kStepsPerBlock - 2}, 24)) << "up to another";
  map_->finish_adoption();
  map_->check_invariants();
  EXPECT_EQ(map_->take_run(64, 64)->first, 13U);
}

TEST_F(BlockMapTest, HandsOutFreedRunsForDiscarding) {
  take_everything();
  fill({0, kBlocks});
  for (std::uint64_t block = 30; block < 60; ++block) map_->remove_live(start_of(block), 1);
  map_->remove_live(start_of(100), 1);
  EXPECT_EQ(map_->take_freed_run(16, 20), (BlockRange{30, 20}));
  EXPECT_EQ(map_->take_freed_run(10, 20), (BlockRange{50, 10}));
  EXPECT_EQ(map_->take_freed_run(2, 20), std::nullopt) << "a single block is left";
  map_->give_back({30, 30});
  EXPECT_EQ(map_->take_freed_run(1, 20), (BlockRange{100, 1})) << "each once only";
  EXPECT_EQ(map_->take_freed_run(1, 20), std::nullopt);
  EXPECT_EQ(map_->take_run(30, 30), (BlockRange{30, 30}));
  map_->check_invariants();
}

TEST(BlockMapDeathTest, ABlockIsNotFreedTwice) {
  const auto map = std::move(*BlockMap::create(10));
  const BlockRange range = *map->take_run(1, 1);
  map->give_back(range);
  EXPECT_DEATH(map->give_back(range), "check failed");
  EXPECT_DEATH(map->remove_live({0}, 100), "check failed");
}

}  // namespace
}  // namespace uzram
