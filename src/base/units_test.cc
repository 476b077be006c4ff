// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(Units, PageBytesAndShiftAgree) { EXPECT_EQ(kPageBytes, std::size_t{1} << kPageShift); }

TEST(Units, RoundUp) {
  EXPECT_EQ(round_up(0, 16), 0U);
  EXPECT_EQ(round_up(1, 16), 16U);
  EXPECT_EQ(round_up(16, 16), 16U);
  EXPECT_EQ(round_up(17, 16), 32U);
  EXPECT_EQ(round_up(std::uint64_t{1} << 40, kPageBytes), std::uint64_t{1} << 40);
}

TEST(Units, BytesToPagesRoundsUp) {
  EXPECT_EQ(bytes_to_pages(0), 0U);
  EXPECT_EQ(bytes_to_pages(1), 1U);
  EXPECT_EQ(bytes_to_pages(kPageBytes), 1U);
  EXPECT_EQ(bytes_to_pages(kPageBytes + 1), 2U);
}

TEST(Units, PageIndexesAreOrdered) {
  EXPECT_LT(PageIndex{1}, PageIndex{2});
  EXPECT_EQ(PageIndex{3}, PageIndex{3});
}

}  // namespace
}  // namespace uzram
