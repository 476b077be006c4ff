// SPDX-License-Identifier: Apache-2.0
#include "store/dedup_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "base/random.h"

namespace uzram {
namespace {

std::unique_ptr<DedupIndex> make_index(std::uint64_t slots) {
  auto index = DedupIndex::create(slots, slots);
  EXPECT_TRUE(index.has_value());
  return std::move(*index);
}

bool finds(const DedupIndex& index, ContentTag tag, std::uint64_t slot) {
  const DedupIndex::Candidates found = index.find(tag);
  return std::any_of(found.slots.begin(), found.slots.begin() + found.count,
                     [slot](PageIndex each) { return each.value == slot; });
}

// Tags as page hashes give them; slot numbers are the seeds.
ContentTag tag_for(std::uint64_t seed) { return ContentTag::of(Random(seed * 77 + 1).next()); }

TEST(ContentTag, IsNeverThatOfNothing) {
  EXPECT_EQ(ContentTag::of(0).value, 1U);
  EXPECT_EQ(ContentTag::of((std::uint64_t{1} << 34) - 1).value, 1U);
  EXPECT_EQ(ContentTag::of(std::uint64_t{1} << 34).value, 1U);
  EXPECT_EQ(ContentTag::of(std::uint64_t{1} << 35).value, 2U);
  EXPECT_EQ(ContentTag::of(~std::uint64_t{0}).value, (1U << ContentTag::kBits) - 1);
}

TEST(DuplicateOdds, FollowWhatWritesFound) {
  DuplicateOdds odds;
  EXPECT_TRUE(odds.are_good()) << "a device is filled";
  const auto note = [&odds](int writes, int every) {
    for (int i = 0; i < writes; ++i) odds.note(every != 0 && i % every == 0);
  };
  note(1000, 0);
  EXPECT_FALSE(odds.are_good());
  note(1000, 100);
  EXPECT_FALSE(odds.are_good()) << "too few to wait for";
  note(1000, 10);
  EXPECT_TRUE(odds.are_good());
  note(100'000, 1);
  note(1000, 0);
  EXPECT_FALSE(odds.are_good()) << "nothing overflows";
}

TEST(DedupIndex, FindsNothingAtFirst) {
  const auto index = make_index(100);
  EXPECT_EQ(index->find({5}).count, 0U);
  EXPECT_EQ(index->entries(), 0U);
  EXPECT_EQ(index->tag_of({99}).value, 0U);
}

TEST(DedupIndex, ForgetsWhatASlotHeldBefore) {
  const auto index = make_index(100);
  index->set({7}, {1000});
  EXPECT_TRUE(finds(*index, {1000}, 7));
  index->set({7}, {2000});
  EXPECT_FALSE(finds(*index, {1000}, 7));
  EXPECT_TRUE(finds(*index, {2000}, 7));
  index->set({7}, {2000});
  EXPECT_EQ(index->entries(), 1U);
  index->clear({7});
  index->clear({7});
  EXPECT_EQ(index->find({2000}).count, 0U);
  EXPECT_EQ(index->entries(), 0U);
}

TEST(DedupIndex, MovesContentToAnotherSlot) {
  const auto index = make_index(100);
  index->set({7}, {1000});
  index->move({7}, {50});
  EXPECT_FALSE(finds(*index, {1000}, 7));
  EXPECT_TRUE(finds(*index, {1000}, 50));
  EXPECT_EQ(index->tag_of({7}).value, 0U);
  index->move({7}, {51});
  EXPECT_TRUE(finds(*index, {1000}, 50)) << "who has nothing gives nothing";
}

TEST(DedupIndex, OffersAFewSlotsOfTheSameTag) {
  const auto index = make_index(1000);
  for (std::uint64_t slot = 0; slot < 100; ++slot) index->set({slot}, {4711});
  EXPECT_EQ(index->find({4711}).count, DedupIndex::kCandidates);
  EXPECT_LE(index->entries(), 2 * DedupIndex::kBucketEntries);
  for (std::uint64_t slot = 0; slot < 100; ++slot) index->clear({slot});
  EXPECT_EQ(index->find({4711}).count, 0U);
  EXPECT_EQ(index->entries(), 0U) << "those that found no room count as well as those that did";
}

// At every size on the way, the places between two powers of two included.
TEST(DedupIndex, KeepsWhatItHoldsWhileItGrows) {
  constexpr std::uint64_t kSlots = 60'000;
  const auto index = make_index(kSlots);
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
    index->set({slot}, tag_for(slot));
    if (slot % 3001 != 3000) continue;
    std::uint64_t found = 0;
    for (std::uint64_t old = 0; old <= slot; ++old) found += finds(*index, tag_for(old), old);
    EXPECT_GE(found * 1000, (slot + 1) * 997) << "of " << slot + 1;
    EXPECT_LE(index->bucket_bytes(), (slot + 1) * 12) << "and 4 bytes for the tag are 16";
  }
}

TEST(DedupIndex, CostsAlmostNothingForALargeEmptyDevice) {
  const auto index = make_index(std::uint64_t{1} << 32);
  index->set({(std::uint64_t{1} << 32) - 1}, {9});
  EXPECT_TRUE(finds(*index, {9}, (std::uint64_t{1} << 32) - 1));
  EXPECT_EQ(index->bucket_bytes(), 4096U);
}

TEST(DedupIndex, HoldsWhatTheSlotsHoldThroughChurn) {
  constexpr std::uint64_t kSlots = 8000;
  const auto index = make_index(kSlots);
  std::vector<ContentTag> tags(kSlots);
  Random random(3);
  for (int round = 0; round < 200'000; ++round) {
    const std::uint64_t slot = random.below(kSlots);
    if (random.below(4) == 0) {
      index->clear({slot});
      tags[slot] = {};
    } else {
      tags[slot] = ContentTag::of(random.next());
      index->set({slot}, tags[slot]);
    }
  }
  std::uint64_t live = 0;
  std::uint64_t found = 0;
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
    ASSERT_EQ(index->tag_of({slot}), tags[slot]);
    if (tags[slot].value == 0) continue;
    ++live;
    found += finds(*index, tags[slot], slot);
  }
  EXPECT_GE(found * 1000, live * 997);
  EXPECT_LE(index->entries(), live);
  EXPECT_GE(index->entries(), found);
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) index->clear({slot});
  EXPECT_EQ(index->entries(), 0U);
}

// Each thread has its own slots; tags are everybody's. A thread may lose its processor while it
// makes the table larger: the others lose nothing by that.
TEST(DedupIndex, IsUsedByManyThreadsAtOnce) {
  constexpr std::uint64_t kThreads = 4;
  constexpr std::uint64_t kSlotsEach = 5000;
  constexpr std::uint64_t kSlots = kThreads * kSlotsEach;
  const auto index = make_index(kSlots);
  const auto final_tag = [](std::uint64_t slot, std::uint64_t generation) {
    return tag_for(100'000 * (generation + 1) + slot);
  };
  const auto found_share = [&](std::uint64_t generation) {
    std::uint64_t found = 0;
    for (std::uint64_t slot = 0; slot < kSlots; ++slot)
      found += finds(*index, final_tag(slot, generation), slot);
    return static_cast<double>(found) / kSlots;
  };
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, first = thread * kSlotsEach] {
      Random random(first);
      for (int round = 0; round < 20'000; ++round) {
        const PageIndex slot{first + random.below(kSlotsEach)};
        const ContentTag tag = tag_for(random.below(3000));
        if (random.below(5) == 0) {
          index->clear(slot);
        } else {
          index->set(slot, tag);
        }
        const DedupIndex::Candidates found = index->find(tag);
        for (std::size_t i = 0; i < found.count; ++i) ASSERT_LT(found.slots[i].value, kSlots);
      }
      for (std::uint64_t slot = first; slot < first + kSlotsEach; ++slot)
        index->set({slot}, final_tag(slot, 0));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(found_share(0), 0.98);
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) index->set({slot}, final_tag(slot, 1));
  EXPECT_GE(found_share(1), 0.98);
}

}  // namespace
}  // namespace uzram
