// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(Check, WhatHoldsIsSilent) {
  UZ_CHECK(1 + 1 == 2);
  UZ_DCHECK(1 + 1 == 2);
}

TEST(CheckDeathTest, AFailureNamesExpressionFileAndLine) {
  const int pages = 3;
  EXPECT_DEATH(UZ_CHECK(pages == 4), "check failed: pages == 4 at .*check_test.cc:[0-9]+");
}

TEST(CheckDeathTest, ExpressionsWithPercentSignsArePrintedAsTheyAre) {
  const int bytes = 3;
  EXPECT_DEATH(UZ_CHECK(bytes % 2 == 0), "check failed: bytes % 2 == 0 at");
}

TEST(CheckDeathTest, DebugChecksAreOnWithoutNdebug) {
  int evaluated = 0;
#ifdef NDEBUG
  UZ_DCHECK(++evaluated == 2);
  EXPECT_EQ(evaluated, 0);
#else
  EXPECT_DEATH(UZ_DCHECK(evaluated == 2), "check failed: evaluated == 2");
  UZ_DCHECK(++evaluated == 1);
  EXPECT_EQ(evaluated, 1);
#endif
}

}  // namespace
}  // namespace uzram
