// SPDX-License-Identifier: Apache-2.0
#include "pager/stall_meter.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

constexpr std::uint64_t kSecond = 1'000'000'000;

TEST(StallMeter, ApproachesTheShareOfTimeThatWasWaited) {
  StallMeter meter(0);
  for (std::uint64_t second = 2; second <= 120; second += 2) {
    meter.add(kSecond / 2);
    meter.sample(second * kSecond);
  }
  EXPECT_NEAR(meter.average_10s(), 25, 0.1);
  EXPECT_NEAR(meter.average_60s(), 25 * (1 - 0.1353), 0.5);
  EXPECT_EQ(meter.total_nanoseconds(), 30 * kSecond);
}

TEST(StallMeter, ForgetsWithinItsWindow) {
  StallMeter meter(0);
  meter.add(2 * kSecond);
  meter.sample(2 * kSecond);
  const double peak = meter.average_10s();
  EXPECT_NEAR(peak, 18.13, 0.05);
  for (std::uint64_t second = 4; second <= 12; second += 2) meter.sample(second * kSecond);
  EXPECT_NEAR(meter.average_10s(), peak * 0.3679, 0.05);
}

TEST(StallMeter, TakesNoSampleTooSoon) {
  StallMeter meter(0);
  meter.add(kSecond);
  meter.sample(kSecond);
  EXPECT_EQ(meter.average_10s(), 0);
}

TEST(StallMeter, ThreadsThatWaitAtOnceAreNoMoreThanAllTheTime) {
  StallMeter meter(0);
  meter.add(100 * kSecond);
  meter.sample(1000 * kSecond);
  EXPECT_NEAR(meter.average_10s(), 10, 0.01);
  meter.add(5000 * kSecond);
  meter.sample(2000 * kSecond);
  EXPECT_NEAR(meter.average_10s(), 100, 0.01);
}

}  // namespace
}  // namespace uzram
