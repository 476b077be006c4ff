// SPDX-License-Identifier: Apache-2.0
// A space that comes back after its process has gone: positions and block records are left.
#include "backing/backing_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kBlocks = 512;

class BackingRecovery : public ::testing::Test {
 protected:
  FakeDisk disk_{kBlocks};
  SpaceUser user_{disk_};

  void fill_with_everything() {
    Random random(3);
    for (int i = 0; i < 300; ++i) {
      const std::size_t bytes = i % 4 == 0 ? kBlockBytes : 1 + random.below(3000);
      ASSERT_EQ(user_.append(bytes), 0);
    }
    ASSERT_EQ(user_.append(kMaxObjectBytes), 0);
    ASSERT_EQ(user_.flush(), 0U);
    for (int i = 0; i < 60; ++i) user_.drop(random.below(user_.objects().size()));
  }
};

TEST_F(BackingRecovery, FindsEveryObjectAgain) {
  fill_with_everything();
  const BackingCounters before = user_.counters();
  user_.reopen();
  EXPECT_EQ(user_.adopt_all(), user_.objects().size());
  EXPECT_EQ(user_.counters().blocks_in_use, before.blocks_in_use);
  EXPECT_EQ(user_.counters().live_bytes, before.live_bytes);
  user_.verify();
}

TEST_F(BackingRecovery, WhatIsNotAdoptedIsFree) {
  fill_with_everything();
  while (user_.objects().size() > 10) user_.forget(0);
  user_.reopen();
  EXPECT_EQ(user_.adopt_all(), 10U);
  EXPECT_LE(user_.counters().blocks_in_use, 10U * 35);
  while (user_.append(kBlockBytes) == 0) continue;
  EXPECT_EQ(user_.flush(), 0U);
  EXPECT_EQ(user_.counters().blocks_in_use, kBlocks);
  user_.verify();
}

TEST_F(BackingRecovery, NeverTakesAnObjectThatWasNeverPublishedForAnother) {
  // Written, but nobody kept the position: the next writes lie on top.
  for (int round = 0; round < 20; ++round) {
    user_.put(100, 1000);
    while (user_.objects().size() > 20) user_.forget(20);
    user_.reopen();
    ASSERT_EQ(user_.adopt_all(), 20U);
    user_.verify();
    while (!user_.objects().empty()) user_.drop(0);
  }
}

TEST_F(BackingRecovery, RefusesNonsense) {
  user_.put(2, 1000);
  const BackingPosition position = user_.objects()[0].position;
  user_.reopen();
  EXPECT_TRUE(user_.space().adopt(position, 1000));
  EXPECT_FALSE(user_.space().adopt(position, 1000)) << "twice";
  EXPECT_FALSE(user_.space().adopt({position.value + 3}, 500)) << "inside another";
  EXPECT_FALSE(user_.space().adopt({kBlocks * kStepsPerBlock}, 10)) << "behind the end";
  EXPECT_FALSE(user_.space().adopt({kStepsPerBlock * 9 + 1}, kBlockBytes)) << "not at a block";
  user_.space().finish_adoption();
  EXPECT_EQ(user_.counters().live_bytes, stored_bytes(1000));
}

TEST_F(BackingRecovery, AWrongPlaceReadsAsAnError) {
  user_.put(50, 1000);
  const BackingPosition first = user_.objects()[0].position;
  std::vector<std::byte> out(1000);
  const std::size_t step_count = stored_bytes(1000) / kPlaceStepBytes;
  for (std::uint64_t step = 0; step < 20 * step_count; ++step) {
    const Result<void> done = user_.space().read({first.value + step}, out);
    EXPECT_EQ(done.has_value(), step % step_count == 0) << step;
  }
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{999}, std::size_t{992}})
    EXPECT_EQ(user_.space().read(first, MutableBytes(out).first(bytes)).error().code, EIO);
}

TEST_F(BackingRecovery, DamagedRecordsCostTheirBlocksOnly) {
  user_.put(8, kBlockBytes);
  user_.records().bytes()[2 * (user_.objects()[3].position.value / kStepsPerBlock)] ^= std::byte{1};
  for (std::size_t i = 0; i < 8; ++i) EXPECT_EQ(user_.read(i), i == 3 ? EIO : 0);
}

}  // namespace
}  // namespace uzram
