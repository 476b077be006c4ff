// SPDX-License-Identifier: Apache-2.0
#include "policy/age_ladder.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "policy/test_seed.h"

namespace uzram {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

AgeLadder ladder_of(std::vector<seconds> thresholds) { return make_age_ladder(thresholds); }

TEST(AgeLadder, HasFineRungsForOneThreshold) {
  const AgeLadder ladder = ladder_of({minutes(20)});
  EXPECT_EQ(ladder.tick, minutes(5));
  const int age = ladder.age_of(minutes(20));
  EXPECT_EQ(ladder.floor(age), minutes(20));
  EXPECT_EQ(ladder.ceiling(age), minutes(25));
}

TEST(AgeLadder, ReachesFromMinutesToHours) {
  const AgeLadder ladder = ladder_of({minutes(10), minutes(20), hours(1), hours(8)});
  EXPECT_EQ(ladder.tick, minutes(10));
  struct Row {
    seconds threshold;
    seconds latest;
  };
  for (const Row& row : {Row{minutes(10), minutes(20)}, Row{minutes(20), minutes(30)},
                         Row{hours(1), minutes(90)}, Row{hours(8), hours(18)}}) {
    const int age = ladder.age_of(row.threshold);
    EXPECT_GE(ladder.floor(age), row.threshold);
    EXPECT_LE(ladder.ceiling(age), row.latest);
  }
}

TEST(AgeLadder, HasALadderForTheWidestRange) {
  const AgeLadder ladder = ladder_of({kShortestThreshold, kLongestThreshold});
  EXPECT_GE(ladder.floor(kOldestAge), kLongestThreshold);
}

TEST(AgeLadder, AdvancesYoungAgesMoreOften) {
  AgeLadder ladder{milliseconds(1000), {1, 1, 2, 4, 4, 8, 8}};
  EXPECT_EQ(ladder.advancing(1), 0b0000011);
  EXPECT_EQ(ladder.advancing(2), 0b0000111);
  EXPECT_EQ(ladder.advancing(4), 0b0011111);
  EXPECT_EQ(ladder.advancing(8), 0b1111111);
  EXPECT_EQ(ladder.advancing(9), 0b0000011);
}

TEST(AgeLadder, FindsAgesFromBothSides) {
  const AgeLadder ladder{milliseconds(1000), {1, 1, 2, 4, 4, 8, 8}};
  EXPECT_EQ(ladder.floor(1), seconds(0));
  EXPECT_EQ(ladder.floor(2), seconds(1));
  EXPECT_EQ(ladder.floor(4), seconds(4));
  EXPECT_EQ(ladder.ceiling(4), seconds(8));
  EXPECT_EQ(ladder.age_of(seconds(3)), 4);
  EXPECT_EQ(ladder.age_of(seconds(4)), 4);
  EXPECT_EQ(ladder.age_within(seconds(4)), 4);
  EXPECT_EQ(ladder.age_within(seconds(3)), 3);
  EXPECT_EQ(ladder.age_within(milliseconds(0)), 1);
  EXPECT_EQ(ladder.age_within(hours(1)), kOldestAge);
}

class RandomLadder : public testing::Test {
 protected:
  RandomLadder() : seed_(first_seed()), random_(seed_) {}

  std::vector<seconds> random_thresholds() {
    std::vector<seconds> thresholds;
    for (std::uint64_t left = 1 + random_.below(6); left != 0; --left) {
      const auto most = static_cast<std::uint64_t>(kLongestThreshold.count());
      const std::uint64_t scale = std::uint64_t{1} << random_.below(20);
      thresholds.emplace_back(1 + random_.below(std::min(scale, most)));
    }
    return thresholds;
  }

  std::uint64_t seed_;
  Random random_;
};

TEST_F(RandomLadder, HasARungForEachThreshold) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  for (int run = 0; run < 200; ++run) {
    const std::vector<seconds> thresholds = random_thresholds();
    const AgeLadder ladder = make_age_ladder(thresholds);
    for (std::size_t age = 1; age < ladder.periods.size(); ++age) {
      ASSERT_EQ(ladder.periods[age] % ladder.periods[age - 1], 0U);
    }
    for (const seconds threshold : thresholds) {
      const int age = ladder.age_of(threshold);
      ASSERT_GE(ladder.floor(age), threshold);
      ASSERT_TRUE(age == 1 || ladder.floor(age - 1) < threshold);
    }
    const seconds shortest = *std::min_element(thresholds.begin(), thresholds.end());
    ASSERT_LE(ladder.tick, shortest);
    ASSERT_GE(ladder.tick, milliseconds(shortest) / 4);
  }
}

// One page, accessed at random moments; sweeps may come late.
TEST_F(RandomLadder, NeverTakesAPageForOlderThanItIs) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  for (int run = 0; run < 60; ++run) {
    const AgeLadder ladder = make_age_ladder(random_thresholds());
    const bool is_punctual = random_.below(2) == 0;
    milliseconds now{0};
    milliseconds accessed{0};
    int age = 0;
    for (std::uint64_t sweep = 1; sweep < 2000; ++sweep) {
      const milliseconds previous = now;
      now += ladder.tick;
      if (!is_punctual) now += milliseconds(random_.below(5000));
      // Rare enough to see old ages.
      if (random_.below(200) == 0) {
        const auto span = static_cast<std::uint64_t>((now - previous).count());
        accessed = previous + milliseconds(random_.below(span));
        age = 0;
      }
      if ((ladder.advancing(sweep) >> age & 1) != 0 && age < kOldestAge) {
        ++age;
        if (is_punctual) {
          ASSERT_LE(now - accessed, ladder.ceiling(age));
        }
      }
      ASSERT_GE(now - accessed, ladder.floor(age)) << "age " << age << " sweep " << sweep;
    }
  }
}

}  // namespace
}  // namespace uzram
