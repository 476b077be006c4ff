// SPDX-License-Identifier: Apache-2.0
// Pages kept resident ahead of need serve every class.
#include <gtest/gtest.h>

#include <functional>

#include "pool/pool_fixture.h"

namespace uzram {
namespace {

class PoolReserve : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kPromised = 64 * kSpanPages;
  static constexpr std::uint64_t kHeadroom = 16 * kSpanPages;

  void SetUp() override {
    ASSERT_TRUE(pool().reserve(kPromised, kHeadroom).has_value());
    arena_pages_ = user_.arena_pages();
  }
  Pool& pool() { return user_.pool(); }
  // What a store does between writes.
  void make_room() {
    if (!pool().reserve_is_low()) return;
    pool().restock(Pool::Grip::Soft);
    if (pool().reserve_is_low()) user_.compact();
    if (pool().reserve_is_low()) pool().restock(Pool::Grip::Hard);
    pool().note_restocked();
  }
  void put_until(std::uint64_t used_pages, const std::function<std::size_t()>& size) {
    while (pool().resident_pages() < used_pages) {
      make_room();
      ASSERT_EQ(user_.put(size()), 0);
    }
  }

  PoolUser user_{256 * kMiB};
  Random random_{11};
  std::uint64_t arena_pages_ = 0;
};

TEST_F(PoolReserve, IsWhatWasAskedForAndHeadroom) {
  EXPECT_EQ(pool().reserve_left(), kPromised);
  EXPECT_EQ(pool().reserved_pages(), kPromised + kHeadroom);
  EXPECT_FALSE(pool().reserve_is_low());
  EXPECT_FALSE(pool().reserve_is_short());
}

// The smallest class uses one page of a span: 63 are of no use to it.
TEST_F(PoolReserve, UnusedEndsOfSpansServeOthers) {
  const std::size_t spans = (kPromised + kHeadroom) / kSpanPages;
  for (std::size_t i = 0; i < spans * kSpanMostObjects; ++i) {
    make_room();
    ASSERT_EQ(user_.put(16), 0);
  }
  EXPECT_EQ(pool().resident_pages(), spans);
  put_until(kPromised, [] { return kPageBytes; });
  EXPECT_LE(user_.arena_pages(), arena_pages_);
  EXPECT_EQ(pool().reserve_left(), 0U);
  user_.verify();
}

TEST_F(PoolReserve, StrandedPagesServeAnotherClass) {
  put_until(kPromised, [] { return std::size_t{1000}; });
  EXPECT_EQ(pool().reserve_left(), 0U);
  // One object in seven stays: nearly every page is free, and every span is in use.
  user_.drop_random(user_.objects().size() * 6 / 7, random_);
  for (const std::size_t bytes : {kPageBytes, std::size_t{3000}, std::size_t{64}}) {
    put_until(kPromised, [&] { return bytes; });
    EXPECT_LE(user_.arena_pages(), arena_pages_) << bytes;
    user_.drop_random(user_.objects().size() * 3 / 4, random_);
  }
  user_.verify();
}

TEST_F(PoolReserve, EverySizeAtRandomFitsIntoWhatWasTouched) {
  for (int round = 0; round < 12; ++round) {
    put_until(kPromised - 8, [&] { return 1 + random_.below(kPageBytes); });
    user_.drop_random(user_.objects().size() / 3, random_);
  }
  EXPECT_LE(user_.arena_pages(), arena_pages_);
  EXPECT_EQ(pool().reserve_left(), kPromised - pool().resident_pages());
  user_.verify();
}

// Nobody restocks in time: allocate does, and the arena does not grow.
TEST_F(PoolReserve, AllocateRestocksWhenNobodyDid) {
  const std::size_t spans = (kPromised + kHeadroom) / kSpanPages;
  for (std::size_t i = 0; i < spans * kSpanMostObjects; ++i) ASSERT_EQ(user_.put(16), 0);
  while (pool().resident_pages() < kPromised) ASSERT_EQ(user_.put(2000), 0);
  EXPECT_LE(user_.arena_pages(), arena_pages_);
  user_.verify();
}

TEST_F(PoolReserve, WhatIsBeyondItTakesNewMemory) {
  put_until(kPromised + kHeadroom + 640, [] { return kPageBytes; });
  EXPECT_EQ(pool().reserve_left(), 0U);
  EXPECT_FALSE(pool().reserve_is_low());
  EXPECT_GT(user_.arena_pages(), arena_pages_);
  user_.verify();
}

TEST_F(PoolReserve, EndsAfterItWasSqueezed) {
  put_until(kPromised / 2, [&] { return 1 + random_.below(2000); });
  pool().restock(Pool::Grip::Hard);
  user_.verify();
  ASSERT_TRUE(pool().reserve(0).has_value());
  user_.verify();
  pool().trim(0);
  EXPECT_EQ(user_.arena_pages(), pool().resident_pages());
  user_.compact();
  EXPECT_EQ(pool().resident_pages(), pool().tight_pages());
  put_until(kPromised, [&] { return 1 + random_.below(kPageBytes); });
  user_.verify();
}

}  // namespace
}  // namespace uzram
