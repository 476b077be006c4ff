// SPDX-License-Identifier: Apache-2.0
#include "pager/page_words.h"

#include <thread>
#include <vector>

#include "pager/pager_fixture.h"

namespace uzram {
namespace {

TEST(PageWord, EveryPartKeepsTheOthers) {
  const PageWord word = PageWord()
                            .at(PagePlace::Staged)
                            .with_number(0xabcd)
                            .with_pins(127)
                            .with_stored(true)
                            .with_unchanged(true)
                            .with_lost(true);
  EXPECT_EQ(word.place(), PagePlace::Staged);
  EXPECT_EQ(word.number(), 0xabcd);
  EXPECT_EQ(word.pins(), 127U);
  EXPECT_TRUE(word.is_stored() && word.is_unchanged() && word.is_lost());
  EXPECT_FALSE(word.is_locked() || word.has_waiters());
  EXPECT_EQ(word.with_number(0)
                .with_pins(0)
                .with_stored(false)
                .with_unchanged(false)
                .with_lost(false)
                .at(PagePlace::Away)
                .bits(),
            0U);
  EXPECT_EQ(word.with_pins(3).at(PagePlace::Clean).number(), 0xabcd);
}

TEST(PageWords, ALockedPageIsNotLockedAgain) {
  const auto words = PageWords::create(100).value();
  const PageWord word = words.lock(7);
  EXPECT_EQ(word.bits(), 0U);
  EXPECT_FALSE(words.try_lock(7).has_value());
  EXPECT_TRUE(words.try_lock(8).has_value());
  words.unlock(7, word.at(PagePlace::Resident));
  EXPECT_EQ(words.look(7).place(), PagePlace::Resident);
  EXPECT_EQ(words.try_lock(7)->place(), PagePlace::Resident);
}

TEST(PageWords, ThreadsThatWaitGetTheirTurn) {
  constexpr unsigned kThreads = 8;
  constexpr unsigned kRounds = 2000;
  const auto words = PageWords::create(2).value();
  std::uint64_t guarded = 0;
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&] {
      for (unsigned round = 0; round < kRounds; ++round) {
        const PageWord word = words.lock(1);
        ++guarded;
        words.unlock(1, word.with_number(static_cast<std::uint16_t>(word.number() + 1)));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(guarded, kThreads * kRounds);
  EXPECT_EQ(words.look(1).number(), kThreads * kRounds);
  EXPECT_FALSE(words.look(1).is_locked());
}

}  // namespace
}  // namespace uzram
