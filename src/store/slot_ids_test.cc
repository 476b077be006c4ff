// SPDX-License-Identifier: Apache-2.0
#include "store/slot_ids.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "base/random.h"
#include "store/shared_slots.h"

namespace uzram {
namespace {

constexpr std::uint64_t kBegin = 512;

SlotIds make_ids(std::uint64_t count) {
  return SlotIds(kBegin, kBegin + count, std::move(*SlotIds::make_bits(kBegin, kBegin + count)));
}

TEST(SlotIds, HandsOutEachSlotOnceFromTheLowest) {
  for (const std::uint64_t count : {1, 63, 64, 65, 1000}) {
    SlotIds ids = make_ids(count);
    for (std::uint64_t i = 0; i < count; ++i) ASSERT_EQ(ids.take()->value, kBegin + i);
    EXPECT_FALSE(ids.take().has_value()) << "none behind the end, with " << count;
    EXPECT_EQ(ids.taken(), count);
    EXPECT_EQ(ids.end(), kBegin + count);
  }
}

TEST(SlotIds, HandsOutTheLowestThatCameBack) {
  SlotIds ids = make_ids(300);
  for (int i = 0; i < 300; ++i) static_cast<void>(ids.take());
  for (const std::uint64_t slot : {290, 130, 129, 5}) ids.give({kBegin + slot});
  EXPECT_EQ(ids.taken(), 296U);
  for (const std::uint64_t slot : {5, 129, 130, 290}) EXPECT_EQ(ids.take()->value, kBegin + slot);
  EXPECT_FALSE(ids.take().has_value());
}

TEST(SlotIds, LeavesAdoptedSlotsAlone) {
  SlotIds ids = make_ids(200);
  for (const std::uint64_t slot : {0, 1, 63, 64, 150}) ids.adopt({kBegin + slot});
  EXPECT_EQ(ids.taken(), 5U);
  EXPECT_EQ(ids.end(), kBegin + 151);
  std::set<std::uint64_t> taken;
  while (const auto slot = ids.take()) taken.insert(slot->value - kBegin);
  EXPECT_EQ(taken.size(), 195U);
  for (const std::uint64_t slot : {0, 1, 63, 64, 150}) EXPECT_EQ(taken.count(slot), 0U);
}

TEST(SlotIds, AgreesWithASet) {
  constexpr std::uint64_t kCount = 150;
  SlotIds ids = make_ids(kCount);
  std::set<std::uint64_t> free;
  for (std::uint64_t i = 0; i < kCount; ++i) free.insert(kBegin + i);
  std::vector<std::uint64_t> taken;
  Random random(5);
  for (int round = 0; round < 20'000; ++round) {
    if (!free.empty() && random.below(2) == 0) {
      const auto slot = ids.take();
      ASSERT_TRUE(slot.has_value());
      ASSERT_EQ(slot->value, *free.begin());
      free.erase(free.begin());
      taken.push_back(slot->value);
    } else if (!taken.empty()) {
      std::swap(taken[random.below(taken.size())], taken.back());
      ids.give({taken.back()});
      free.insert(taken.back());
      taken.pop_back();
    }
    ASSERT_EQ(ids.taken(), taken.size());
  }
}

TEST(SlotIds, GivesNoSlotToTwoThreads) {
  constexpr std::uint64_t kCount = 64;
  SlotIds ids = make_ids(kCount);
  std::vector<std::atomic<int>> owners(kCount);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5000; ++round) {
        const auto slot = ids.take();
        if (!slot) continue;
        ASSERT_EQ(owners[slot->value - kBegin].fetch_add(1), 0);
        owners[slot->value - kBegin].fetch_sub(1);
        ids.give(*slot);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids.taken(), 0U);
}

// --- and their users

class SharedSlotsTest : public testing::Test {
 protected:
  std::unique_ptr<SharedSlots> slots_ = std::move(*SharedSlots::create(kBegin, kBegin + 100));
};

TEST_F(SharedSlotsTest, BelongToWhoTookThem) {
  const PageIndex slot = *slots_->take();
  EXPECT_EQ(slots_->users(slot), 1U);
  EXPECT_TRUE(slots_->try_add_user(slot));
  slots_->add_users(slot, 3);
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(slots_->drop_user(slot));
  EXPECT_TRUE(slots_->drop_user(slot));
  EXPECT_FALSE(slots_->try_add_user(slot)) << "nobody joins the dead";
  EXPECT_EQ(slots_->taken(), 1U) << "before it was emptied";
  slots_->give(slot);
  EXPECT_EQ(slots_->taken(), 0U);
  EXPECT_FALSE(slots_->try_add_user(slot));
}

TEST_F(SharedSlotsTest, TellOneContentFromTheNext) {
  const PageIndex slot = *slots_->take();
  const std::uint32_t serial = slots_->serial(slot);
  slots_->set_size(slot, 32);
  EXPECT_EQ(slots_->serial(slot), serial);
  EXPECT_EQ(slots_->size(slot), 32U);
  EXPECT_TRUE(slots_->drop_user(slot));
  slots_->give(slot);
  ASSERT_EQ(slots_->take()->value, slot.value);
  EXPECT_NE(slots_->serial(slot), serial);
}

TEST_F(SharedSlotsTest, AreCountedAgainAfterACrash) {
  for (int i = 0; i < 3; ++i) slots_->adopt_user({kBegin + 40});
  slots_->adopt_user({kBegin + 2});
  EXPECT_EQ(slots_->users({kBegin + 40}), 3U);
  EXPECT_EQ(slots_->taken(), 2U);
  EXPECT_EQ(slots_->end(), kBegin + 41);
  slots_->forget({kBegin + 40});
  slots_->forget({kBegin + 41});
  EXPECT_EQ(slots_->taken(), 1U);
  EXPECT_EQ(slots_->take()->value, kBegin);
}

TEST_F(SharedSlotsTest, EndExactlyOnceUnderManyThreads) {
  std::atomic<int> ends{0};
  for (int round = 0; round < 300; ++round) {
    const PageIndex slot = *slots_->take();
    slots_->add_users(slot, 3);
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        if (slots_->try_add_user(slot) && slots_->drop_user(slot)) ++ends;
        if (slots_->drop_user(slot)) ++ends;
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(ends.exchange(0), 1);
    slots_->give(slot);
  }
}

}  // namespace
}  // namespace uzram
