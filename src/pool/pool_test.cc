// SPDX-License-Identifier: Apache-2.0
// Objects, pages and limits. Compaction and what memory is given back have test files of their own.
#include "pool/pool.h"

#include <gtest/gtest.h>

#include "pool/pool_fixture.h"

namespace uzram {
namespace {

class PoolTest : public ::testing::Test {
 protected:
  PoolUser user_{64 * kMiB};
  Pool& pool_ = user_.pool();
  Random random_{42};
};

TEST_F(PoolTest, AnEmptyPoolHoldsNothing) {
  EXPECT_EQ(pool_.check_invariants(), 0U);
  EXPECT_EQ(pool_.resident_pages(), 0U);
  EXPECT_EQ(pool_.resident_pages_max(), 0U);
  EXPECT_EQ(pool_.empty_pages(), 0U);
  EXPECT_EQ(pool_.tight_pages(), 0U);
  EXPECT_EQ(pool_.metadata_bytes(), 0U);
  EXPECT_EQ(user_.arena_pages(), 0U);
}

TEST_F(PoolTest, ATebibyteOfAddressesCostsNothing) {
  PoolUser wide(std::uint64_t{1} << 40, 0);
  EXPECT_EQ(wide.arena_pages(), 0U);
  ASSERT_EQ(wide.put(4000), 0);
  wide.verify();
}

TEST_F(PoolTest, EverySizeCanBeStored) {
  for (std::size_t bytes = 1; bytes <= kPageBytes; ++bytes) ASSERT_EQ(user_.put(bytes), 0);
  user_.verify();
  for (const auto& object : user_.objects()) {
    ASSERT_EQ(pool_.at(object.handle, object.bytes).size(), object.bytes);
    ASSERT_LT(object.handle.value, std::uint64_t{1} << kHandleBits);
  }
}

TEST_F(PoolTest, AllocationDoesNotTouchTheMemory) {
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(pool_.allocate(2000, LimitRule::Obey));
  EXPECT_EQ(user_.arena_pages(), 0U);
}

TEST_F(PoolTest, ObjectsNeverOverlap) {
  user_.put_many(10'000, SizeMaker::lz4(), random_);
  user_.drop_random(5'000, random_);
  user_.put_many(10'000, SizeMaker::zstd(), random_);
  user_.verify();
  std::vector<PoolUser::Object> sorted = user_.objects();
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.handle.value < b.handle.value; });
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    ASSERT_LE(sorted[i - 1].handle.value * kClassStepBytes + sorted[i - 1].bytes,
              sorted[i].handle.value * kClassStepBytes);
  }
}

TEST_F(PoolTest, ObjectsStayInsideThePoolsPartOfTheArena) {
  while (user_.put(kPageBytes) == 0) {
  }
  const MutableBytes whole(user_.arena().base(), user_.arena().bytes());
  for (const auto& object : user_.objects()) {
    const MutableBytes bytes = pool_.at(object.handle, object.bytes);
    ASSERT_GE(bytes.data(), whole.data() + kSpanBytes);
    ASSERT_LE(bytes.data() + bytes.size(), whole.data() + whole.size());
  }
  EXPECT_EQ(user_.arena().next_resident(0), kSpanBytes);
}

TEST_F(PoolTest, ResidentPagesAreThePagesOfTheFile) {
  for (int round = 0; round < 4; ++round) {
    user_.put_many(4'000, SizeMaker::lz4(), random_);
    user_.drop_random(2'000, random_);
    pool_.trim(0);
    // After trim each counted page is touched by an object, and each object has been written.
    ASSERT_EQ(pool_.resident_pages(), user_.arena_pages());
  }
  user_.verify();
}

TEST_F(PoolTest, PagesOfFreedObjectsStayUntilTrimmed) {
  user_.put_many(64, kPageBytes);
  EXPECT_EQ(pool_.resident_pages(), 64U);
  EXPECT_EQ(pool_.empty_pages(), 0U);
  user_.drop_all();
  EXPECT_EQ(pool_.resident_pages(), 64U);
  EXPECT_EQ(pool_.empty_pages(), 64U);
  EXPECT_EQ(user_.arena_pages(), 64U);
}

TEST_F(PoolTest, EmptyPagesAreUsedAgain) {
  user_.put_many(64, kPageBytes);
  user_.drop_all();
  user_.put_many(100, 2000);
  EXPECT_EQ(pool_.resident_pages(), 64U);
  EXPECT_EQ(user_.arena_pages(), 64U);
  user_.verify();
}

TEST_F(PoolTest, FreedPlacesAreFilledBeforeNewPagesAreTouched) {
  user_.put_many(1000, 2048);
  const std::uint64_t before = pool_.resident_pages();
  user_.drop_random(300, random_);
  user_.put_many(300, 2048);
  EXPECT_EQ(pool_.resident_pages(), before);
}

TEST_F(PoolTest, TightPagesAreWhatTheObjectsNeed) {
  user_.put_many(640, kPageBytes);
  EXPECT_EQ(pool_.tight_pages(), 640U);
  user_.drop_random(600, random_);
  EXPECT_EQ(pool_.tight_pages(), 40U);
  user_.put_many(3, 16);
  EXPECT_EQ(pool_.tight_pages(), 41U);
}

TEST_F(PoolTest, MetadataIsUnderOneByteForEachPackedPage) {
  PoolUser wide(1024 * kMiB);
  wide.put_many(40'000, SizeMaker::lz4(), random_);
  EXPECT_GT(wide.pool().metadata_bytes(), 0U);
  EXPECT_LT(wide.pool().metadata_bytes(), wide.objects().size());
}

TEST_F(PoolTest, MaximumIsRememberedUntilReset) {
  user_.put_many(100, kPageBytes);
  user_.drop_all();
  pool_.trim(0);
  EXPECT_EQ(pool_.resident_pages(), 0U);
  EXPECT_EQ(pool_.resident_pages_max(), 100U);
  user_.put_many(10, kPageBytes);
  pool_.reset_resident_pages_max();
  EXPECT_EQ(pool_.resident_pages_max(), 10U);
}

// --- limits

TEST_F(PoolTest, LimitIsKeptAndLeavesAllAsItWas) {
  pool_.set_limit_pages(100);
  EXPECT_EQ(pool_.limit_pages(), 100U);
  user_.put_many(100, kPageBytes);
  for (const std::size_t bytes : {16, 1000, 4096}) {
    EXPECT_EQ(user_.put(bytes), ENOSPC);
    EXPECT_EQ(pool_.resident_pages(), 100U);
    EXPECT_EQ(pool_.resident_pages_max(), 100U);
  }
  user_.verify();
}

TEST_F(PoolTest, LimitCanBeExceededOnRequest) {
  pool_.set_limit_pages(10);
  user_.put_many(10, kPageBytes);
  EXPECT_EQ(user_.put(kPageBytes, LimitRule::Exceed), 0);
  EXPECT_EQ(pool_.resident_pages(), 11U);
  EXPECT_EQ(user_.put(kPageBytes, LimitRule::Obey), ENOSPC);
  user_.verify();
}

TEST_F(PoolTest, NoLimitIsZero) {
  pool_.set_limit_pages(1);
  user_.put_many(1, kPageBytes);
  ASSERT_EQ(user_.put(kPageBytes), ENOSPC);
  pool_.set_limit_pages(0);
  EXPECT_EQ(user_.put(kPageBytes), 0);
}

TEST_F(PoolTest, RoomInTouchedPagesIsUsedAtTheLimit) {
  pool_.set_limit_pages(1);
  user_.put_many(4, 1024);
  EXPECT_EQ(user_.put(1024), ENOSPC);
  user_.drop(2);
  EXPECT_EQ(user_.put(1024), 0);
  user_.verify();
}

TEST_F(PoolTest, EmptyPagesMakeRoomForAnotherClassAtTheLimit) {
  pool_.set_limit_pages(64);
  user_.put_many(64, kPageBytes);
  // One object stays: the span keeps its class, so its empty pages have to go back to the kernel.
  while (user_.objects().size() > 1) user_.drop(1);
  EXPECT_EQ(pool_.empty_pages(), 63U);
  user_.put_many(100, 2048);
  EXPECT_LE(pool_.resident_pages(), 64U);
  EXPECT_LE(user_.arena_pages(), 64U);
  user_.verify();
}

TEST_F(PoolTest, LimitBelowWhatIsStoredForbidsGrowthOnly) {
  user_.put_many(100, kPageBytes);
  pool_.set_limit_pages(50);
  EXPECT_EQ(user_.put(kPageBytes), ENOSPC);
  user_.drop_random(51, random_);
  EXPECT_EQ(user_.put(kPageBytes), 0);
  user_.verify();
}

// --- addresses

TEST_F(PoolTest, AddressesRunOut) {
  PoolUser small(2 * kSpanBytes);
  small.put_many(128, kPageBytes);
  EXPECT_EQ(small.put(kPageBytes), ENOMEM);
  EXPECT_EQ(small.put(kPageBytes, LimitRule::Exceed), ENOMEM);
  EXPECT_EQ(small.put(16), ENOMEM);
  small.verify();
  small.drop_all();
  small.put_many(64, kPageBytes);
  small.put_many(128, 2048);
  EXPECT_EQ(small.put(512), ENOMEM);
  small.verify();
}

// --- misuse

using PoolDeathTest = PoolTest;

TEST_F(PoolDeathTest, FreeingTwiceIsCaught) {
  user_.put_many(2, 100);
  const auto object = user_.objects()[0];
  pool_.free(object.handle, object.bytes);
  EXPECT_DEATH(pool_.free(object.handle, object.bytes), "check failed.*is_used");
}

TEST_F(PoolDeathTest, FreeingAsAnotherClassIsCaught) {
  user_.put_many(1, 100);
  EXPECT_DEATH(pool_.free(user_.objects()[0].handle, 200), "check failed.*class_index");
}

TEST_F(PoolDeathTest, FreeingOutsideThePoolIsCaught) {
  EXPECT_DEATH(pool_.free(Handle{std::uint64_t{1} << 35}, 100), "check failed.*span_capacity");
}

}  // namespace
}  // namespace uzram
