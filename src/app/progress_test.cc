// SPDX-License-Identifier: Apache-2.0
#include "app/progress.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(Progress, SaysHowMuchOfHowMuch) {
  EXPECT_EQ(progress_line("pack", 0, 1 << 30), "pack  0 %  0B of 1G");
  EXPECT_EQ(progress_line("pack", 3 << 20, 4 << 20), "pack  75 %  3M of 4M");
  EXPECT_EQ(progress_line("pack", 5 << 20, 4 << 20), "pack  100 %  5M of 4M");
}

TEST(Progress, SaysHowMuchWhenTheEndIsNotKnown) {
  EXPECT_EQ(progress_line("pack", 1 << 20, std::nullopt), "pack  1M");
  EXPECT_EQ(progress_line("pack", 0, 0), "pack  0B");
}

}  // namespace
}  // namespace uzram
