// SPDX-License-Identifier: Apache-2.0
// What compaction reaches, and what memory costs over packed bytes, on real pages.
#include <gtest/gtest.h>

#include "pool/pool_fixture.h"

namespace uzram {
namespace {

class PoolCompaction : public ::testing::Test {
 protected:
  PoolUser user_{256 * kMiB};
  Pool& pool_ = user_.pool();
  Random random_{11};

  void fill_and_free_half(std::size_t count) {
    user_.put_many(count, SizeMaker::lz4(), random_);
    user_.drop_random(count / 2, random_);
  }
};

TEST_F(PoolCompaction, AnEmptyPoolHasNothingToMove) {
  EXPECT_EQ(pool_.begin_compaction(), 0U);
  pool_.end_compaction();
  user_.verify();
}

TEST_F(PoolCompaction, ATightPoolHasNothingToMove) {
  user_.put_many(5'000, SizeMaker::lz4(), random_);
  EXPECT_EQ(pool_.begin_compaction(), 0U);
  EXPECT_EQ(user_.move_what_must(), 0U);
  pool_.end_compaction();
}

TEST_F(PoolCompaction, ReachesTightPages) {
  fill_and_free_half(20'000);
  pool_.trim(0);
  EXPECT_GT(user_.arena_pages(), pool_.tight_pages() * 3 / 2);
  user_.compact();
  EXPECT_LE(pool_.resident_pages(), pool_.tight_pages());
  EXPECT_EQ(user_.arena_pages(), pool_.resident_pages());
  user_.verify();
}

TEST_F(PoolCompaction, MovesAsManyAsItSaid) {
  fill_and_free_half(20'000);
  const std::uint64_t announced = pool_.begin_compaction();
  EXPECT_GT(announced, 0U);
  // Random halves: about a half of what is left has to move, never more than is left.
  EXPECT_LT(announced, 6'000U);
  EXPECT_EQ(user_.move_what_must(), announced);
  EXPECT_EQ(user_.move_what_must(), 0U);
  pool_.end_compaction();
  user_.verify();
}

TEST_F(PoolCompaction, OnceIsEnough) {
  fill_and_free_half(20'000);
  user_.compact();
  EXPECT_EQ(pool_.begin_compaction(), 0U);
  pool_.end_compaction();
}

TEST_F(PoolCompaction, NothingMustMoveWhenItIsOver) {
  fill_and_free_half(2'000);
  ASSERT_GT(pool_.begin_compaction(), 0U);
  pool_.end_compaction();
  EXPECT_EQ(user_.move_what_must(), 0U);
  user_.verify();
}

TEST_F(PoolCompaction, AllocationAvoidsForbiddenPlaces) {
  fill_and_free_half(4'000);
  ASSERT_GT(pool_.begin_compaction(), 0U);
  const std::size_t before = user_.objects().size();
  user_.put_many(1'000, SizeMaker::lz4(), random_);
  for (std::size_t i = before; i < user_.objects().size(); ++i) {
    const auto& object = user_.objects()[i];
    ASSERT_FALSE(pool_.must_move(object.handle, object.bytes));
  }
  user_.drop_random(1'500, random_);
  user_.verify();
  user_.move_what_must();
  user_.verify();
  pool_.end_compaction();
  user_.verify();
}

TEST_F(PoolCompaction, SpansEmptiedMeanwhileAreWholeAgain) {
  fill_and_free_half(4'000);
  ASSERT_GT(pool_.begin_compaction(), 0U);
  user_.drop_all();
  // Spans that had been forbidden are taken by any class, with all their places.
  user_.put_many(1'000, kPageBytes);
  EXPECT_EQ(pool_.tight_pages(), 1'000U);
  EXPECT_EQ(pool_.resident_pages() - pool_.empty_pages(), 1'000U);
  pool_.end_compaction();
  user_.verify();
}

TEST_F(PoolCompaction, BrokenOffHalfwayLeavesAWorkingPool) {
  fill_and_free_half(4'000);
  for (int round = 0; round < 3; ++round) {
    pool_.begin_compaction();
    user_.drop_random(200, random_);
    pool_.end_compaction();
    user_.put_many(200, SizeMaker::lz4(), random_);
    user_.verify();
  }
  user_.compact();
  EXPECT_LE(pool_.resident_pages(), pool_.tight_pages());
}

// The store asks first without holding the slot: the object may be gone by then.
TEST_F(PoolCompaction, AStaleHandleNeedNotMove) {
  user_.put_many(64, 1000);
  const Handle stale = user_.objects().back().handle;
  user_.drop_all();
  // The first span again, of another class, with one object left of it; and a fuller one.
  user_.put_many(128 + 31, 2048);
  for (std::size_t i = 127; i > 0; --i) user_.drop(i);
  ASSERT_EQ(pool_.begin_compaction(), 1U);
  EXPECT_TRUE(pool_.must_move(user_.objects()[0].handle, 2048));
  EXPECT_FALSE(pool_.must_move(stale, 1000));
  user_.move_what_must();
  pool_.end_compaction();
}

TEST_F(PoolCompaction, ReachesTightPagesInsideAReserveToo) {
  ASSERT_TRUE(pool_.reserve(20'000));
  const std::uint64_t before = user_.arena_pages();
  fill_and_free_half(10'000);
  user_.compact();
  EXPECT_LE(pool_.resident_pages(), pool_.tight_pages());
  EXPECT_EQ(user_.arena_pages(), before);
  user_.verify();
}

// --- memory over packed bytes

struct Workload {
  const char* name;
  SizeMaker (*sizes)();
};

class PoolOverhead : public ::testing::TestWithParam<Workload> {
 protected:
  static constexpr std::size_t kObjects = 100'000;
  // As a device does it: a little waste is let be, more is compacted away.
  static constexpr std::uint64_t kMostWastePercent = 3;

  PoolUser user_{1024 * kMiB};
  Pool& pool_ = user_.pool();
  Random random_{17};
  const SizeMaker sizes_ = GetParam().sizes();

  void SetUp() override { user_.put_many(kObjects, sizes_, random_); }
  void overwrite(std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t bytes = sizes_.draw(random_);
      ASSERT_EQ(user_.put(bytes), 0);  // Built before the old one is freed.
      user_.drop(random_.below(user_.objects().size() - 1));
      if (i % 1000 == 0) compact_when_wasteful();
    }
  }
  void compact_when_wasteful() {
    const std::uint64_t tight = pool_.tight_pages();
    const std::uint64_t in_use = pool_.resident_pages() - pool_.empty_pages();
    if ((in_use - tight) * 100 > tight * kMostWastePercent) user_.compact();
  }
};

TEST_P(PoolOverhead, FreshIsAtMostTwoPercent) {
  EXPECT_LE(user_.overhead_percent(), 2.0);
  EXPECT_GT(user_.overhead_percent(), 0.0);
  EXPECT_EQ(user_.arena_pages(), pool_.resident_pages());
  RecordProperty("percent", std::to_string(user_.overhead_percent()));
}

TEST_P(PoolOverhead, AfterOverwritingFourTimesIsAtMostFivePercent) {
  overwrite(4 * kObjects);
  EXPECT_LE(user_.overhead_percent(), 5.0);
  RecordProperty("percent", std::to_string(user_.overhead_percent()));
  user_.verify();
}

TEST_P(PoolOverhead, AfterFreeingHalfAndCompactingIsAtMostFourPercent) {
  overwrite(kObjects);
  user_.drop_random(kObjects / 2, random_);
  EXPECT_GT(user_.overhead_percent(), 50.0);  // Otherwise there is nothing to show.
  user_.compact();
  EXPECT_LE(user_.overhead_percent(), 4.0);
  RecordProperty("percent", std::to_string(user_.overhead_percent()));
  user_.verify();
}

INSTANTIATE_TEST_SUITE_P(PackedSizes, PoolOverhead,
                         ::testing::Values(Workload{"lz4", SizeMaker::lz4},
                                           Workload{"zstd", SizeMaker::zstd}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace uzram
