// SPDX-License-Identifier: Apache-2.0
#include "pager/staging_ring.h"

#include <gtest/gtest.h>

#include <bit>

namespace uzram {
namespace {

TEST(StagingRing, GivesOutEachSlotOnce) {
  StagingRing ring(3);
  std::uint32_t seen = 0;
  for (int i = 0; i < 3; ++i) seen |= 1U << ring.take_slot().value();
  EXPECT_EQ(seen, 7U);
  EXPECT_FALSE(ring.take_slot().has_value());
  ring.free_slot(1);
  EXPECT_EQ(ring.take_slot(), 1U);
  ring.check_invariants();
}

TEST(StagingRing, PacksTheOldestFirst) {
  StagingRing ring(4);
  for (std::uint64_t i = 0; i < 3; ++i) ring.fill(ring.take_slot().value(), 64 * i, 0xff);
  EXPECT_EQ(ring.queued_pages(), 24U);
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto batch = ring.claim(64);
    ASSERT_TRUE(batch.has_value());
    EXPECT_EQ(batch->first_page, 64 * i);
    EXPECT_EQ(batch->mask, 0xffU);
    EXPECT_EQ(ring.finish(*batch), 0xffU);
    ring.free_slot(batch->slot);
    ring.check_invariants();
  }
  EXPECT_FALSE(ring.claim(1).has_value());
  EXPECT_EQ(ring.queued_pages(), 0U);
}

TEST(StagingRing, SharesASlotBetweenThreads) {
  StagingRing ring(2);
  ring.fill(ring.take_slot().value(), 0, 0b1011'0001);
  const auto one = ring.claim(3);
  const auto other = ring.claim(64);
  EXPECT_EQ(one->mask, 0b0011'0001U);
  EXPECT_EQ(other->mask, 0b1000'0000U);
  EXPECT_EQ(one->slot, other->slot);
  EXPECT_FALSE(ring.claim(1).has_value());
  EXPECT_EQ(ring.finish(*other), 0U) << "the other thread is still at work";
  ring.check_invariants();
  EXPECT_EQ(ring.finish(*one), 0b1011'0001U);
}

TEST(StagingRing, WhatCouldNotBePackedComesFirstAgain) {
  StagingRing ring(3);
  for (std::uint64_t i = 0; i < 2; ++i) ring.fill(ring.take_slot().value(), 64 * i, 0b1111);
  auto batch = ring.claim(4).value();
  StagingRing::Batch done = batch;
  done.mask = 0b0011;
  batch.mask = 0b1100;
  EXPECT_EQ(ring.finish(done), 0U);
  ring.unclaim(batch);
  ring.check_invariants();
  const auto again = ring.claim(64);
  EXPECT_EQ(again->first_page, 0U);
  EXPECT_EQ(again->mask, 0b1100U);
  EXPECT_EQ(ring.finish(*again), 0b1111U);
  EXPECT_EQ(ring.claim(64)->first_page, 64U);
}

TEST(StagingRing, GoesRoundManyTimes) {
  StagingRing ring(3);
  for (std::uint64_t round = 0; round < 100; ++round) {
    while (const auto slot = ring.take_slot()) ring.fill(*slot, 64 * round, ~std::uint64_t{0});
    const auto batch = ring.claim(64).value();
    EXPECT_EQ(std::popcount(ring.finish(batch)), 64);
    ring.free_slot(batch.slot);
    ring.check_invariants();
  }
}

}  // namespace
}  // namespace uzram
