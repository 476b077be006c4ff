// SPDX-License-Identifier: Apache-2.0
#include "policy/budgets.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <deque>

#include "base/random.h"
#include "policy/test_seed.h"

namespace uzram {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::uint64_t kLimit = 1000;

// A share of 10 % and rounds of one second.
class CpuBucketTest : public testing::Test {
 protected:
  void look(milliseconds now, microseconds used) { bucket_.observe(now, used, 10, seconds(1)); }
  CpuBucket bucket_;
};

TEST_F(CpuBucketTest, StartsFullWhateverTheCounterSays) {
  look(hours(5), seconds(77));
  EXPECT_EQ(bucket_.left(), milliseconds(200));
}

TEST_F(CpuBucketTest, FillsWithTheShareAndNotBeyond) {
  look(seconds(0), {});
  look(seconds(0), milliseconds(200));
  EXPECT_EQ(bucket_.left(), microseconds(0));
  look(milliseconds(500), milliseconds(200));
  EXPECT_EQ(bucket_.left(), milliseconds(50));
  look(hours(1), milliseconds(200));
  EXPECT_EQ(bucket_.left(), milliseconds(200));
}

TEST_F(CpuBucketTest, PaysDebtsBackBeforeItGivesAgain) {
  look(seconds(0), {});
  look(seconds(0), milliseconds(300));
  EXPECT_EQ(bucket_.left(), -milliseconds(100));
  EXPECT_EQ(bucket_.ready_at(microseconds(0), 10), seconds(1));
  EXPECT_EQ(bucket_.ready_at(milliseconds(100), 10), seconds(2));
  look(seconds(1), milliseconds(300));
  EXPECT_EQ(bucket_.left(), microseconds(0));
}

TEST_F(CpuBucketTest, TakesASmallerCounterForThatOfANewThread) {
  look(seconds(0), seconds(5));
  look(seconds(1), milliseconds(30));
  EXPECT_EQ(bucket_.left(), milliseconds(170));
}

TEST(DayWindow, CountsFromTheFirstLook) {
  DayWindow day;
  day.observe(hours(3), 500);
  EXPECT_EQ(day.written_bytes(), 0U);
  day.observe(hours(3), 700);
  EXPECT_EQ(day.written_bytes(), 200U);
  EXPECT_EQ(day.left(kLimit), 800U);
}

TEST(DayWindow, ForgetsAfterADay) {
  DayWindow day;
  day.observe(minutes(0), 0);
  day.observe(minutes(30), kLimit);
  EXPECT_EQ(day.relief_at(), hours(25));
  day.observe(hours(24) + minutes(59), kLimit);
  EXPECT_EQ(day.left(kLimit), 0U);
  day.observe(hours(25), kLimit);
  EXPECT_EQ(day.left(kLimit), kLimit);
  EXPECT_EQ(day.relief_at(), std::nullopt);
}

TEST(DayWindow, ForgetsAllAfterALongSleep) {
  DayWindow day;
  day.observe(hours(0), 0);
  day.observe(hours(1), 10);
  day.observe(hours(2), 20);
  day.observe(hours(1000), 20);
  EXPECT_EQ(day.written_bytes(), 0U);
  day.observe(hours(1000), 25);
  EXPECT_EQ(day.written_bytes(), 5U);
}

TEST(DayWindow, HasNothingLeftWhenMoreThanTheLimitWasWritten) {
  DayWindow day;
  day.observe(hours(0), 0);
  day.observe(hours(0), 5 * kLimit);
  EXPECT_EQ(day.left(kLimit), 0U);
}

// Whoever writes what is left, whenever: no 24 hours hold more than the limit.
TEST(DayWindow, HoldsInEveryWindowOf24Hours) {
  const std::uint64_t seed = first_seed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  for (int run = 0; run < 200; ++run) {
    DayWindow day;
    milliseconds now{random.below(100'000'000)};
    std::uint64_t written = 0;
    day.observe(now, written);
    struct Write {
      milliseconds at;
      std::uint64_t bytes;
    };
    std::deque<Write> last_day;
    std::uint64_t in_last_day = 0;
    for (int step = 0; step < 500; ++step) {
      now += milliseconds(random.below(random.below(3) == 0 ? 40'000'000 : 2'000'000));
      day.observe(now, written);
      const std::uint64_t left = day.left(kLimit);
      const std::uint64_t bytes = random.below(2) == 0 ? left : random.below(left + 1);
      // It takes a while to write.
      now += milliseconds(random.below(10'000));
      written += bytes;
      last_day.push_back({now, bytes});
      in_last_day += bytes;
      while (now - last_day.front().at >= hours(24)) {
        in_last_day -= last_day.front().bytes;
        last_day.pop_front();
      }
      ASSERT_LE(in_last_day, kLimit) << "run " << run << " step " << step;
    }
  }
}

}  // namespace
}  // namespace uzram
