// SPDX-License-Identifier: Apache-2.0
// Trimming, the reserve, and taking over the arena of a process that is gone.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "pool/pool_fixture.h"

namespace uzram {
namespace {

class PoolMemory : public ::testing::Test {
 protected:
  PoolUser user_{64 * kMiB};
  Random random_{7};
  Pool& pool() { return user_.pool(); }
  int reserve(std::uint64_t pages) {
    const Result<void> done = pool().reserve(pages);
    return done ? 0 : done.error().code;
  }
  std::uint64_t counted_pages() { return pool().resident_pages() + pool().reserved_pages(); }
};

// --- trim

TEST_F(PoolMemory, TrimGivesEmptyPagesBackToTheKernel) {
  user_.put_many(2'000, SizeMaker::lz4(), random_);
  user_.drop_random(1'500, random_);
  const std::uint64_t before = user_.arena_pages();
  const std::uint64_t given = pool().trim(0);
  EXPECT_GT(given, 0U);
  EXPECT_EQ(user_.arena_pages(), before - given);
  EXPECT_EQ(pool().empty_pages(), 0U);
  user_.verify();
}

TEST_F(PoolMemory, TrimKeepsExactlyWhatItIsToldTo) {
  user_.put_many(200, kPageBytes);
  user_.drop_all();
  EXPECT_EQ(pool().trim(300), 0U);
  EXPECT_EQ(pool().trim(150), 50U);
  EXPECT_EQ(pool().empty_pages(), 150U);
  EXPECT_EQ(pool().trim(1), 149U);
  EXPECT_EQ(pool().empty_pages(), 1U);
  EXPECT_EQ(user_.arena_pages(), 1U);
  EXPECT_EQ(pool().trim(0), 1U);
  user_.verify();
}

TEST_F(PoolMemory, TrimmedPagesComeBackWhenUsed) {
  user_.put_many(200, kPageBytes);
  user_.drop_all();
  pool().trim(0);
  user_.put_many(200, kPageBytes);
  EXPECT_EQ(user_.arena_pages(), 200U);
  user_.verify();
}

TEST_F(PoolMemory, PagesThatCannotBePunchedStayCounted) {
  user_.put_many(100, kPageBytes);
  user_.drop_random(60, random_);
  // From here on the kernel refuses to punch holes, while the mapping stays writable.
  ASSERT_EQ(::fcntl(user_.arena().descriptor(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  EXPECT_EQ(pool().trim(0), 0U);
  EXPECT_EQ(pool().empty_pages(), 60U);
  EXPECT_EQ(pool().resident_pages(), user_.arena_pages());
  user_.put_many(80, kPageBytes);
  user_.verify();
}

// --- reserve

TEST_F(PoolMemory, ReserveIsResidentAndCountedApart) {
  ASSERT_EQ(reserve(1000), 0);
  EXPECT_GE(pool().reserved_pages(), 1000U);
  EXPECT_LT(pool().reserved_pages(), 1000 + kSpanPages);
  EXPECT_EQ(pool().resident_pages(), 0U);
  EXPECT_EQ(pool().empty_pages(), 0U);
  EXPECT_EQ(user_.arena_pages(), pool().reserved_pages());
  user_.verify();
}

TEST_F(PoolMemory, AllocationFromTheReserveTakesNoMemory) {
  ASSERT_EQ(reserve(1000), 0);
  const std::uint64_t before = user_.arena_pages();
  for (std::size_t bytes = 512; bytes <= kPageBytes; bytes += 512) user_.put_many(100, bytes);
  user_.drop_random(400, random_);
  for (std::size_t bytes = 512; bytes <= kPageBytes; bytes += 512) user_.put_many(50, bytes);
  EXPECT_EQ(user_.arena_pages(), before);
  EXPECT_EQ(counted_pages(), before);
  EXPECT_GT(pool().resident_pages(), 0U);
  user_.verify();
}

TEST_F(PoolMemory, AllocationBesideWhatWasStoredBeforeTakesNoMemoryEither) {
  for (std::size_t bytes = 64; bytes <= kPageBytes; bytes += 64) ASSERT_EQ(user_.put(bytes), 0);
  ASSERT_EQ(reserve(1000), 0);
  EXPECT_GE(pool().reserved_pages(), 1000U);
  const std::uint64_t before = user_.arena_pages();
  for (std::size_t bytes = 64; bytes <= kPageBytes; bytes += 64) user_.put_many(8, bytes);
  EXPECT_EQ(user_.arena_pages(), before);
  EXPECT_EQ(counted_pages(), before);
  user_.verify();
}

TEST_F(PoolMemory, FreedObjectsGoBackToTheReserve) {
  ASSERT_EQ(reserve(640), 0);
  user_.put_many(300, kPageBytes);
  EXPECT_EQ(pool().reserved_pages(), 340U);
  user_.drop_all();
  EXPECT_EQ(pool().reserved_pages(), 640U);
  EXPECT_EQ(pool().trim(0), 0U);
  EXPECT_EQ(user_.arena_pages(), 640U);
  user_.verify();
}

TEST_F(PoolMemory, EmptyPagesJoinTheReserve) {
  user_.put_many(128, kPageBytes);
  user_.drop_all();
  ASSERT_EQ(reserve(128), 0);
  EXPECT_EQ(pool().reserved_pages(), 128U);
  EXPECT_EQ(pool().empty_pages(), 0U);
  EXPECT_EQ(user_.arena_pages(), 128U);
  user_.verify();
}

TEST_F(PoolMemory, ReserveIsGivenBackWhenItEnds) {
  user_.put_many(100, 3000);
  ASSERT_EQ(reserve(1000), 0);
  user_.put_many(500, 3000);
  ASSERT_EQ(reserve(0), 0);
  EXPECT_EQ(pool().reserved_pages(), 0U);
  pool().trim(0);
  EXPECT_EQ(user_.arena_pages(), pool().resident_pages());
  EXPECT_EQ(pool().resident_pages(), pool().tight_pages());
  user_.verify();
}

TEST_F(PoolMemory, ReserveThatNeverWasUsedLeavesNoMaximum) {
  ASSERT_EQ(reserve(1000), 0);
  ASSERT_EQ(reserve(0), 0);
  user_.verify();
  EXPECT_EQ(pool().resident_pages_max(), 0U);
}

TEST_F(PoolMemory, ReserveCanBeMadeAndEndedForever) {
  PoolUser small(4 * kSpanBytes);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(small.pool().reserve(3 * kSpanPages)) << i;
    ASSERT_TRUE(small.pool().reserve(0)) << i;
  }
  small.put_many(4 * kSpanPages, kPageBytes);
  small.verify();
}

TEST_F(PoolMemory, ReserveCanGrow) {
  ASSERT_EQ(reserve(64), 0);
  ASSERT_EQ(reserve(64), 0);
  EXPECT_EQ(pool().reserved_pages(), 64U);
  ASSERT_EQ(reserve(200), 0);
  EXPECT_EQ(pool().reserved_pages(), 256U);
  user_.verify();
}

TEST_F(PoolMemory, ReserveBeyondTheAddressesKeepsNothing) {
  PoolUser small(4 * kSpanBytes);
  small.put_many(10, 3000);
  const std::uint64_t before = small.arena_pages();
  const Result<void> reserved = small.pool().reserve(4 * kSpanPages + 1);
  ASSERT_FALSE(reserved);
  EXPECT_EQ(reserved.error().code, ENOMEM);
  EXPECT_EQ(small.pool().reserved_pages(), 0U);
  EXPECT_EQ(small.arena_pages(), before);
  small.verify();
  small.put_many(3 * kSpanPages, kPageBytes);
  small.verify();
}

// The kernel has no memory for the pages: played by addresses that are not mapped.
TEST_F(PoolMemory, ReserveWithoutMemoryKeepsNothing) {
  std::byte* missing = user_.arena().base() + 3 * kSpanBytes;
  ASSERT_EQ(::munmap(missing, kSpanBytes), 0);
  EXPECT_EQ(reserve(kSpanPages * 3), ENOMEM);
  EXPECT_EQ(pool().reserved_pages(), 0U);
  EXPECT_EQ(user_.arena_pages(), 0U);
  EXPECT_EQ(pool().check_invariants(), 0U);
  ASSERT_NE(::mmap(missing, kSpanBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                   user_.arena().descriptor(), 3 * kSpanBytes),
            MAP_FAILED);
  EXPECT_EQ(reserve(kSpanPages * 3), 0);
  user_.put_many(kSpanPages * 3, kPageBytes);
  user_.verify();
}

TEST_F(PoolMemory, LimitCountsWhatObjectsTakeFromTheReserve) {
  pool().set_limit_pages(50);
  ASSERT_EQ(reserve(200), 0);
  user_.put_many(50, kPageBytes);
  EXPECT_EQ(user_.put(kPageBytes), ENOSPC);
  user_.verify();
}

// --- adoption

class PoolAdoption : public PoolMemory {
 protected:
  void finish() {
    const Result<void> finished = pool().finish_adoption();
    ASSERT_TRUE(finished) << "errno " << finished.error().code;
  }
  // One object adopted in a pool that lost everything else.
  void adopt_one(std::size_t bytes) {
    ASSERT_EQ(user_.put(bytes), 0);
    user_.lose_pool();
    ASSERT_EQ(user_.adopt_all(), 1U);
  }
  Handle first() { return user_.objects()[0].handle; }
};

TEST_F(PoolAdoption, EverythingIsFoundAgain) {
  user_.put_many(8'000, SizeMaker::lz4(), random_);
  user_.drop_random(4'000, random_);
  const std::uint64_t tight = pool().tight_pages();
  user_.lose_pool();
  EXPECT_EQ(user_.adopt_all(), 4'000U);
  finish();
  user_.verify();
  EXPECT_EQ(pool().tight_pages(), tight);
  EXPECT_EQ(pool().empty_pages(), 0U);
  EXPECT_EQ(pool().resident_pages(), user_.arena_pages());
  EXPECT_EQ(pool().resident_pages_max(), pool().resident_pages());
}

TEST_F(PoolAdoption, ThePoolWorksOn) {
  user_.put_many(4'000, SizeMaker::zstd(), random_);
  user_.lose_pool();
  ASSERT_EQ(user_.adopt_all(), user_.objects().size());
  finish();
  user_.drop_random(3'000, random_);
  user_.put_many(3'000, SizeMaker::zstd(), random_);
  user_.compact();
  user_.verify();
  EXPECT_EQ(pool().resident_pages(), user_.arena_pages());
}

TEST_F(PoolAdoption, WhatNobodyPointsToIsGivenBack) {
  user_.put_many(500, kPageBytes);
  while (user_.objects().size() > 3) user_.forget(random_.below(user_.objects().size()));
  user_.lose_pool();
  ASSERT_EQ(user_.adopt_all(), 3U);
  finish();
  EXPECT_EQ(user_.arena_pages(), 3U);
  user_.verify();
}

TEST_F(PoolAdoption, AnArenaWithNoObjectsIsEmptied) {
  user_.put_many(500, kPageBytes);
  while (!user_.objects().empty()) user_.forget(0);
  user_.lose_pool();
  finish();
  EXPECT_EQ(user_.arena_pages(), 0U);
  EXPECT_EQ(pool().resident_pages(), 0U);
  user_.put_many(500, kPageBytes);
  user_.verify();
}

TEST_F(PoolAdoption, WhatLiesBeforeThePoolIsLeftAlone) {
  user_.arena().base()[0] = std::byte{77};
  user_.put_many(10, kPageBytes);
  user_.lose_pool();
  ASSERT_EQ(user_.adopt_all(), 10U);
  finish();
  EXPECT_EQ(user_.arena().base()[0], std::byte{77});
}

TEST_F(PoolAdoption, APoolWithoutAFreeSpanIsTakenOver) {
  PoolUser small(2 * kSpanBytes);
  small.put_many(128, kPageBytes);
  small.lose_pool();
  ASSERT_EQ(small.adopt_all(), 128U);
  const Result<void> finished = small.pool().finish_adoption();
  ASSERT_TRUE(finished) << "errno " << finished.error().code;
  small.verify();
  small.drop_all();
  small.put_many(128, kPageBytes);
  small.verify();
}

TEST_F(PoolAdoption, AReserveIsForgotten) {
  ASSERT_EQ(reserve(1000), 0);
  user_.put_many(100, kPageBytes);
  user_.lose_pool();
  ASSERT_EQ(user_.adopt_all(), 100U);
  finish();
  EXPECT_EQ(user_.arena_pages(), 100U);
  user_.verify();
}

TEST_F(PoolAdoption, APlaceIsTakenOnce) {
  adopt_one(1000);
  EXPECT_FALSE(pool().adopt(first(), 1000));
  EXPECT_FALSE(pool().adopt(first(), 1008));  // The same class.
}

TEST_F(PoolAdoption, ASpanHasOneClass) {
  adopt_one(1000);
  EXPECT_FALSE(pool().adopt(first(), 500));
  EXPECT_FALSE(pool().adopt(first(), 2000));
  EXPECT_FALSE(pool().adopt({first().value + 2 * 63}, 2000));
  EXPECT_TRUE(pool().adopt({first().value + 63}, 1000));
}

TEST_F(PoolAdoption, APlaceBetweenObjectsIsNone) {
  adopt_one(1000);
  // Around a place that is free, so that only its address speaks against it.
  for (std::uint64_t units = 1; units < 63; ++units)
    ASSERT_FALSE(pool().adopt({first().value + 63 + units}, 1000)) << units;
  EXPECT_TRUE(pool().adopt({first().value + 63}, 1000));
}

TEST_F(PoolAdoption, APlaceOutsideIsNone) {
  const std::uint64_t end = 64 * kMiB / kClassStepBytes;
  EXPECT_TRUE(pool().adopt({0}, 16));
  EXPECT_FALSE(pool().adopt({256}, 16));  // A span of this class has 256 objects: 0 to 255.
  EXPECT_FALSE(pool().adopt({end}, 16));
  EXPECT_FALSE(pool().adopt({end}, kPageBytes));
  for (int bit = 23; bit < 64; ++bit)
    ASSERT_FALSE(pool().adopt({(std::uint64_t{1} << bit) + 2}, 16)) << bit;
  EXPECT_FALSE(pool().adopt({~std::uint64_t{0}}, 16));
  EXPECT_TRUE(pool().adopt({end - kSpanBytes / kClassStepBytes}, 16));
  finish();
  EXPECT_EQ(pool().check_invariants(), 2U);
}

TEST_F(PoolAdoption, ASizeThatNoObjectHasIsRefused) {
  EXPECT_FALSE(pool().adopt({0}, 0));
  EXPECT_FALSE(pool().adopt({0}, kPageBytes + 1));
  EXPECT_FALSE(pool().adopt({0}, ~std::size_t{0}));
  EXPECT_TRUE(pool().adopt({0}, kPageBytes));
}

TEST_F(PoolAdoption, TheMajorityDecidesWhichClassASpanHas) {
  user_.put_many(20, 1000);
  user_.lose_pool();
  // Damaged slots that point into the span come first, as many as must not win.
  for (int i = 0; i < 19; ++i) pool().survey({first().value}, 500);
  pool().survey({first().value}, 0);
  pool().survey({~std::uint64_t{0}}, 500);
  for (const auto& object : user_.objects()) pool().survey(object.handle, object.bytes);
  EXPECT_FALSE(pool().adopt(first(), 500));
  EXPECT_EQ(user_.adopt_all(), 20U);
  finish();
  user_.verify();
}

TEST_F(PoolAdoption, VotesForAPlaceThatNobodyAdoptsLeaveAFreeSpan) {
  for (std::uint64_t span = 0; span < 10; ++span)
    pool().survey({span * (kSpanBytes / kClassStepBytes)}, 1000);
  finish();
  EXPECT_EQ(pool().check_invariants(), 0U);
  user_.put_many(10 * kSpanPages, kPageBytes);
  EXPECT_EQ(pool().metadata_bytes(), 10 * sizeof(Span));
  user_.verify();
}

TEST_F(PoolAdoption, AnyWordsAtAllLeaveAConsistentPool) {
  constexpr std::uint64_t kUnits = 64 * kMiB / kClassStepBytes + 1000;
  for (int i = 0; i < 5'000; ++i)
    pool().survey({random_.below(kUnits)}, random_.below(kPageBytes + 10));
  std::size_t adopted = 0;
  for (int i = 0; i < 50'000; ++i)
    adopted += pool().adopt({random_.below(kUnits)}, random_.below(kPageBytes + 10));
  EXPECT_GT(adopted, 0U);
  finish();
  EXPECT_EQ(pool().check_invariants(), adopted);
}

}  // namespace
}  // namespace uzram
