// SPDX-License-Identifier: Apache-2.0
#include "cluster/free_blocks.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/random.h"

namespace uzram {
namespace {

using Runs = std::map<std::uint64_t, std::uint64_t>;

TEST(FreeBlocks, TakesTheLowestRunThatIsLongEnough) {
  FreeBlocks free(2);
  EXPECT_EQ(free.take(10), 2U);
  EXPECT_EQ(free.take(5), 12U);
  free.give_back(3, 2);
  free.give_back(8, 3);
  EXPECT_EQ(free.take(3), 8U);
  EXPECT_EQ(free.take(1), 3U);
  EXPECT_EQ(free.take(2), 17U);
  EXPECT_EQ(free.take(1), 4U);
  EXPECT_EQ(free.free_count(), 0U);
}

TEST(FreeBlocks, JoinsWhatIsGivenBackWithItsNeighbours) {
  FreeBlocks free(2);
  EXPECT_EQ(free.take(10), 2U);
  free.give_back(4, 1);
  free.give_back(6, 1);
  free.give_back(5, 1);
  EXPECT_EQ(free.runs(), (Runs{{4, 3}}));
  EXPECT_TRUE(free.is_free(5, 2));
  EXPECT_FALSE(free.is_free(3, 2));
  EXPECT_FALSE(free.is_free(6, 2));
  EXPECT_EQ(free.cut_end(), 12U) << "the end is in use";
  free.give_back(10, 2);
  EXPECT_EQ(free.cut_end(), 10U);
  EXPECT_EQ(free.runs(), (Runs{{4, 3}}));
}

TEST(FreeBlocks, TakesExactlyWhatIsNamedOnce) {
  FreeBlocks free(2);
  ASSERT_TRUE(free.take_at(10, 5));
  EXPECT_EQ(free.runs(), (Runs{{2, 8}}));
  ASSERT_TRUE(free.take_at(4, 2));
  EXPECT_EQ(free.runs(), (Runs{{2, 2}, {6, 4}}));
  for (const auto& [first, count] : {std::pair{4, 1}, {3, 2}, {9, 2}, {14, 1}, {12, 1}, {14, 9}})
    EXPECT_EQ(free.take_at(first, count).error().code, EEXIST) << first;
  EXPECT_EQ(free.take_at(0, 1).error().code, EEXIST);
  EXPECT_EQ(free.free_count(), 6U);
}

TEST(FreeBlocks, AgreesWithASet) {
  Random random(5);
  FreeBlocks free(2);
  std::set<std::uint64_t> used;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> taken;
  for (int step = 0; step < 4'000; ++step) {
    if (taken.empty() || random.below(20) < 11) {
      const std::uint64_t count = 1 + random.below(random.below(3) == 0 ? 256 : 8);
      const std::uint64_t first = free.take(count);
      for (std::uint64_t i = first; i < first + count; ++i) ASSERT_TRUE(used.insert(i).second);
      taken.emplace_back(first, count);
    } else {
      std::swap(taken[random.below(taken.size())], taken.back());
      const auto [first, count] = taken.back();
      taken.pop_back();
      free.give_back(first, count);
      for (std::uint64_t i = first; i < first + count; ++i) used.erase(i);
    }
    if (step % 1000 == 0) free.cut_end();
    ASSERT_EQ(free.free_count() + used.size() + 2, free.end());
  }
  EXPECT_EQ(free.cut_end(), used.empty() ? 2 : *used.rbegin() + 1);
}

}  // namespace
}  // namespace uzram
