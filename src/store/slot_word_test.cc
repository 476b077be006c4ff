// SPDX-License-Identifier: Apache-2.0
// The slot word is a stored format: every bit has its place, and only words that are written are
// well formed.
#include "store/slot_word.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace uzram {
namespace {

constexpr Handle kHandle{0x987654321};

TEST(SlotWord, PutsEveryFieldWhereTheFormatSays) {
  EXPECT_EQ(SlotWord().bits(), 0U);
  EXPECT_EQ(SlotWord::packed(kHandle, 0xabc, 2).bits(),
            3 | 2U << 8 | 0xabcULL << 16 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::raw(kHandle).bits(), 4 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::same_stored(kHandle).bits(), 2 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::lost().bits(), 5U);
  EXPECT_EQ(SlotWord::same(0x123456789abc)->bits(), 1 | 0U << 10 | 0x123456789abcULL << 16);
  EXPECT_EQ(SlotWord::same(0xffff123456789abc)->bits(), 1 | 1U << 10 | 0x123456789abcULL << 16);
  EXPECT_EQ(SlotWord::same(0x89abcdef89abcdef)->bits(), 1 | 2U << 10 | 0x89abcdefULL << 16);
  EXPECT_EQ(SlotWord::member({0x987654321}, 31).bits(), 6 | 31U << 16 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::written_back({0x987654321}, 0xabc, 1).bits(),
            7 | 1U << 8 | 0xabcULL << 16 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::shared({0x987654321}).bits(), 8 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::cluster(kHandle, 0xabc, 21).bits(),
            9 | 21U << 8 | 0xabcULL << 16 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::cluster_written_back({0x987654321}, 0x2abc0).bits(),
            10 | 2U << 8 | 0xabcULL << 16 | 0x987654321ULL << 28);
  EXPECT_EQ(SlotWord::kBusy, 16U);
  EXPECT_EQ(SlotWord::kClaimed, 32U);
  EXPECT_EQ(SlotWord::kMarked, 64U);
  EXPECT_EQ(SlotWord::kIdle, 128U);
  EXPECT_EQ(SlotWord::kIncompressible, 0x1000U);
  EXPECT_EQ(SlotWord().with_age(5).bits(), 5U << 13);
}

TEST(SlotWord, GivesBackWhatClustersAndPlacesSay) {
  for (const std::size_t number : {0, 1, 31}) {
    const SlotWord word = SlotWord::member({123456}, number);
    EXPECT_EQ(word.slot().value, 123456U);
    EXPECT_EQ(word.member_number(), number);
    EXPECT_TRUE(word.is_well_formed());
  }
  for (const std::size_t pieces : {0, 1, 16, 31}) {
    for (const std::size_t bytes : {1, 4095}) {
      const SlotWord word = SlotWord::cluster(kHandle, bytes, pieces);
      EXPECT_EQ(word.pieces(), pieces);
      EXPECT_EQ(word.head_bytes(), bytes);
      EXPECT_EQ(word.handle(), kHandle);
      EXPECT_TRUE(word.is_well_formed());
    }
  }
  for (const std::size_t bytes : {16, 65520, 65536, 131072, 262128}) {
    const SlotWord word = SlotWord::cluster_written_back({99}, bytes);
    EXPECT_EQ(word.written_bytes(), bytes);
    EXPECT_EQ(word.place(), BackingPosition{99});
    EXPECT_TRUE(word.is_well_formed());
  }
}

TEST(SlotWord, AnAccessMakesItYoungAndNothingElse) {
  const SlotWord word = SlotWord::packed(kHandle, 99, 1).with(SlotWord::kIncompressible);
  const SlotWord old = word.with_age(7).with(SlotWord::kIdle | SlotWord::kMarked);
  EXPECT_TRUE(old.is_idle() && old.is_marked() && old.is_well_formed());
  EXPECT_EQ(old.age(), 7);
  EXPECT_EQ(old.with_age(2).age(), 2);
  EXPECT_EQ(old.accessed(), word);
  EXPECT_EQ(old.with(SlotWord::kBusy | SlotWord::kClaimed).bare(), word);
}

TEST(SlotWord, GivesBackEveryFieldAtItsEnds) {
  constexpr Handle kLast{(std::uint64_t{1} << kHandleBits) - 1};
  for (const Handle handle : {Handle{0}, Handle{1}, kHandle, kLast}) {
    for (const std::size_t bytes : {1, 2, 2048, 4094, 4095}) {
      for (const int priority : {0, 1, 2, 3}) {
        const SlotWord word = SlotWord::packed(handle, bytes, priority);
        EXPECT_EQ(word.state(), SlotState::Packed);
        EXPECT_EQ(word.handle(), handle);
        EXPECT_EQ(word.packed_bytes(), bytes);
        EXPECT_EQ(word.priority(), priority);
        EXPECT_TRUE(word.is_well_formed());
      }
    }
    EXPECT_EQ(SlotWord::raw(handle).handle(), handle);
    EXPECT_EQ(SlotWord::raw(handle).state(), SlotState::Raw);
    EXPECT_EQ(SlotWord::same_stored(handle).handle(), handle);
    EXPECT_EQ(SlotWord::same_stored(handle).state(), SlotState::SameStored);
  }
}

TEST(SlotWord, HoldsPatternsThatExtendOrRepeat) {
  Random random(1);
  for (int round = 0; round < 10'000; ++round) {
    const std::uint64_t low48 = random.next() >> 16 >> random.below(48);
    const std::uint64_t low32 = random.next() >> 32;
    for (const std::uint64_t pattern : {low48, low48 | std::uint64_t{0xffff} << 48,
                                        low32 << 32 | low32, std::uint64_t{0}, ~std::uint64_t{0}}) {
      const std::optional<SlotWord> word = SlotWord::same(pattern);
      ASSERT_TRUE(word.has_value()) << std::hex << pattern;
      ASSERT_EQ(word->pattern(), pattern) << std::hex << pattern;
      ASSERT_EQ(word->state(), SlotState::Same);
      ASSERT_TRUE(word->is_well_formed()) << std::hex << pattern;
    }
  }
}

TEST(SlotWord, RefusesPatternsThatDoNotFit) {
  EXPECT_FALSE(SlotWord::same(0x0123456789abcdef).has_value());
  EXPECT_FALSE(SlotWord::same(0x0001000000000000).has_value());
  EXPECT_FALSE(SlotWord::same(0xfffe123456789abc).has_value());
  EXPECT_FALSE(SlotWord::same(0x8000000180000000).has_value());
}

TEST(SlotWord, KeepsThePageWhenFlagsComeAndGo) {
  for (const SlotWord word : {SlotWord(), SlotWord::raw(kHandle), *SlotWord::same(~7ULL),
                              SlotWord::packed(kHandle, 99, 1), SlotWord::lost()}) {
    const SlotWord flagged = word.with(SlotWord::kBusy | SlotWord::kClaimed);
    EXPECT_TRUE(flagged.is_busy() && flagged.is_claimed());
    EXPECT_FALSE(word.is_busy() || word.is_claimed());
    EXPECT_EQ(flagged.state(), word.state());
    EXPECT_EQ(flagged.handle(), word.handle());
    EXPECT_TRUE(flagged.is_well_formed());
    EXPECT_EQ(flagged.without(SlotWord::kBusy).without(SlotWord::kClaimed), word);
  }
}

TEST(SlotWord, MovesAPageWithoutTouchingItsOtherFields) {
  const SlotWord word = SlotWord::packed(kHandle, 0xabc, 3).with(SlotWord::kClaimed);
  const SlotWord moved = word.moved_to({7});
  EXPECT_EQ(moved.handle(), Handle{7});
  EXPECT_EQ(moved.moved_to(kHandle), word);
  EXPECT_TRUE(moved.is_claimed());
}

// The word that this version would write for the same page.
SlotWord rewritten(SlotWord word) {
  switch (word.state()) {
    case SlotState::Empty:
      return {};
    case SlotState::Same:
      return SlotWord::same(word.pattern()).value_or(SlotWord());
    case SlotState::SameStored:
      return SlotWord::same_stored(word.handle());
    case SlotState::Packed:
      return SlotWord::packed(word.handle(), word.packed_bytes(), word.priority());
    case SlotState::Raw:
      return SlotWord::raw(word.handle());
    case SlotState::Lost:
      return SlotWord::lost();
    case SlotState::Member:
      return SlotWord::member(word.slot(), word.member_number());
    case SlotState::WrittenBack:
      return SlotWord::written_back(word.place(), word.packed_bytes(), word.priority());
    case SlotState::Shared:
      return SlotWord::shared(word.slot());
    case SlotState::Cluster:
      return SlotWord::cluster(word.handle(), word.head_bytes(), word.pieces());
    case SlotState::ClusterWrittenBack:
      return SlotWord::cluster_written_back(word.place(), word.written_bytes());
  }
  return {};
}

// Whether the fields that such a word has may hold what they hold.
bool has_sound_fields(SlotWord word) {
  switch (word.state()) {
    case SlotState::Packed:
      return word.packed_bytes() != 0;
    case SlotState::Member:
      return word.member_number() < kMostClusterPages;
    case SlotState::Cluster:
      return word.head_bytes() != 0;
    case SlotState::ClusterWrittenBack:
      return word.written_bytes() != 0;
    default:
      return static_cast<int>(word.state()) <= 10;
  }
}

bool may_be_incompressible(SlotState state) {
  return state == SlotState::Packed || state == SlotState::Raw || state == SlotState::WrittenBack;
}

TEST(SlotWord, IsWellFormedExactlyWhenThisVersionWritesIt) {
  Random random(2);
  int well_formed = 0;
  for (int round = 0; round < 2'000'000; ++round) {
    // Sparse bits too: random ones alone would never meet a spare field that is zero.
    std::uint64_t bits = random.next();
    if (round % 2 == 0) bits &= ~0xffe0ULL | (random.next() & random.next() & random.next());
    const SlotWord word(bits);
    SlotWord bare = word.bare();
    // An empty page has no history.
    if (word.is_empty()) bare = word.without(SlotWord::kBusy | SlotWord::kClaimed);
    if (may_be_incompressible(word.state())) bare = bare.without(SlotWord::kIncompressible);
    const bool is_written = bare == rewritten(bare) && has_sound_fields(bare);
    ASSERT_EQ(word.is_well_formed(), is_written) << std::hex << bits;
    well_formed += is_written ? 1 : 0;
  }
  EXPECT_GT(well_formed, 1000);
}

TEST(SlotWord, KnowsEveryDamagedFieldOfEachState) {
  for (const int bit : {6, 7, 12, 13, 14, 15})
    EXPECT_FALSE(SlotWord().with(1ULL << bit).is_well_formed()) << bit;
  EXPECT_FALSE(SlotWord::same_stored(kHandle).with(1U << 12).is_well_formed());
  EXPECT_FALSE(SlotWord::member({1}, 32).is_well_formed());
  EXPECT_FALSE(SlotWord::member({1}, 1).with(1U << 8).is_well_formed());
  EXPECT_FALSE(SlotWord::shared({1}).with(1U << 16).is_well_formed());
  EXPECT_FALSE(SlotWord::cluster(kHandle, 0, 3).is_well_formed());
  EXPECT_FALSE(SlotWord::cluster_written_back({1}, 0).is_well_formed());
  EXPECT_FALSE(SlotWord::cluster_written_back({1}, 16).with(1U << 10).is_well_formed());
  for (std::uint64_t state = 11; state < 16; ++state)
    EXPECT_FALSE(SlotWord(state).is_well_formed()) << state;
  EXPECT_FALSE(SlotWord().with(1ULL << 40).is_well_formed());
  EXPECT_FALSE(SlotWord::packed(kHandle, 0, 0).is_well_formed());
  EXPECT_FALSE(SlotWord::packed(kHandle, 5, 0).with(1U << 10).is_well_formed());
  EXPECT_FALSE(SlotWord::raw(kHandle).with(1U << 16).is_well_formed());
  EXPECT_FALSE(SlotWord::raw(kHandle).with(1U << 8).is_well_formed());
  EXPECT_FALSE(SlotWord::same_stored(kHandle).with(1U << 8).is_well_formed());
  EXPECT_FALSE(SlotWord::same(5)->with(3U << 10).is_well_formed());
  EXPECT_FALSE(SlotWord::same(5)->with(1U << 8).is_well_formed());
  EXPECT_FALSE(SlotWord::same(0x89abcdef89abcdef)->with(1ULL << 63).is_well_formed());
  EXPECT_FALSE(SlotWord::lost().with(1ULL << 20).is_well_formed());
}

}  // namespace
}  // namespace uzram
