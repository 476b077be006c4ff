// SPDX-License-Identifier: Apache-2.0
#include "pager/budget.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(Watermarks, StandInOrderAndGrowWithTheScale) {
  for (const std::uint64_t pages : {1024U, 32768U, 1048576U}) {
    const Watermarks close = watermarks_for(pages, 10);
    const Watermarks far = watermarks_for(pages, 1000);
    for (const Watermarks& marks : {close, far}) {
      EXPECT_LT(0, marks.min);
      EXPECT_LT(marks.min, marks.low);
      EXPECT_LT(marks.low, marks.high);
    }
    EXPECT_EQ(far.high - far.low, static_cast<std::int64_t>(pages / 10));
    EXPECT_LE(close.high, far.high);
  }
}

TEST(Budget, FreeIsWhatNobodyHasTaken) {
  Budget budget(100 * kPageBytes, 10);
  budget.set_other_bytes(20 * kPageBytes - 1);
  budget.charge(30);
  EXPECT_EQ(budget.room(), 80);
  EXPECT_EQ(budget.free(), 50);
  budget.set_limit_bytes(40 * kPageBytes);
  EXPECT_EQ(budget.free(), -10) << "a lower limit is a debt";
  budget.charge(-20);
  EXPECT_EQ(budget.free(), 10);
  EXPECT_EQ(budget.limit_bytes(), 40 * kPageBytes);
}

}  // namespace
}  // namespace uzram
