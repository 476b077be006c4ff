// SPDX-License-Identifier: Apache-2.0
#include "pool/size_classes.h"

#include <gtest/gtest.h>

#include "pool/span.h"

namespace uzram {
namespace {

// What an object of that many bytes takes of a full span's pages.
double cost_of(std::size_t bytes) {
  const SizeClass& row = kSizeClasses[class_index_for(bytes)];
  return static_cast<double>(row.page_count * kPageBytes) / row.object_count;
}

// The highest share by which an object costs more than its class's size.
double worst_span_waste(std::size_t least_bytes, std::size_t most_bytes) {
  double worst = 0;
  for (std::size_t bytes = least_bytes; bytes <= most_bytes; bytes += kClassStepBytes)
    worst = std::max(worst, cost_of(bytes) / static_cast<double>(bytes) - 1);
  return worst;
}

TEST(SizeClasses, TableHoldsToItsRules) { EXPECT_EQ(validate_size_classes(kSizeClasses), ""); }

TEST(SizeClasses, EverySizeHasTheSmallestClassThatHoldsIt) {
  for (std::size_t bytes = 1; bytes <= kPageBytes; ++bytes) {
    const std::size_t i = class_index_for(bytes);
    ASSERT_GE(kSizeClasses[i].object_bytes, bytes);
    ASSERT_LT(kSizeClasses[i].object_bytes, bytes + kClassStepBytes);
  }
}

TEST(SizeClasses, FourThousandBytesCostFourThousand) {
  EXPECT_LE(cost_of(4000), 4000 * 1.01);
  EXPECT_GE(cost_of(4000), 4000);
}

TEST(SizeClasses, AWholePageCostsAPage) { EXPECT_EQ(cost_of(kPageBytes), kPageBytes); }

// The kernel stores what packs to 3,625 bytes or more as a whole page of 4,096.
TEST(SizeClasses, NoCliffBelowAPage) {
  for (std::size_t bytes = 3600; bytes <= 4032; ++bytes)
    ASSERT_LE(cost_of(bytes), static_cast<double>(bytes) * 1.005) << bytes;
  // A span of 64 pages has no room for a 65th object of these.
  for (std::size_t bytes = 4033; bytes <= kPageBytes; ++bytes)
    ASSERT_EQ(cost_of(bytes), kPageBytes) << bytes;
}

TEST(SizeClasses, OneStepMoreNeverCostsMuchMore) {
  for (std::size_t bytes = 16; bytes < kPageBytes; bytes += kClassStepBytes) {
    const double more = cost_of(bytes + kClassStepBytes) - cost_of(bytes);
    ASSERT_GT(more, bytes < 4048 ? 0 : -1) << bytes;
    ASSERT_LE(more, bytes == 4032 ? 64 : 26) << bytes;
  }
}

// Rounding to 16 bytes is all that an object costs; the end of the span adds next to nothing.
TEST(SizeClasses, SpansWasteNextToNothing) {
  EXPECT_LE(worst_span_waste(16, 4032), 0.004);
  EXPECT_LE(worst_span_waste(4048, 4096), 0.012);
}

// Below 930 bytes the rounding alone can be more: 15 bytes of 257 are 5.8 %.
TEST(SizeClasses, NoObjectFrom930BytesOnCostsMuchMoreThanItsSize) {
  for (std::size_t bytes = 930; bytes <= kPageBytes; ++bytes)
    ASSERT_LE(cost_of(bytes), static_cast<double>(bytes) * 1.016) << bytes;
}

TEST(SizeClasses, RowsKeepObjectsApartAndInsideTheirPages) {
  for (std::size_t i = 1; i <= kClassCount; ++i) {
    const SizeClass& row = kSizeClasses[i];
    std::uint64_t pages = 0;
    for (std::size_t object = 0; object < row.object_count; ++object)
      pages |= pages_of_object(row, object);
    ASSERT_EQ(pages, ~std::uint64_t{0} >> (kSpanPages - row.page_count)) << i;
  }
}

// --- the validator, rule by rule

class BrokenTable : public ::testing::Test {
 protected:
  SizeClassTable table_ = kSizeClasses;
  void expect_refused(const std::string& words) {
    EXPECT_NE(validate_size_classes(table_).find(words), std::string::npos)
        << "said: " << validate_size_classes(table_);
  }
};

TEST_F(BrokenTable, SizeIsNotSixteenTimesTheIndex) {
  table_[7].object_bytes = 113;
  expect_refused("class 7: object_bytes is not 16 times the index");
}
TEST_F(BrokenTable, NoPages) {
  table_[256].page_count = 0;
  expect_refused("class 256: page_count is not in [1, 64]");
}
TEST_F(BrokenTable, MorePagesThanASpanHas) {
  table_[1].page_count = 65;
  expect_refused("class 1: page_count is not in [1, 64]");
}
TEST_F(BrokenTable, NoObjects) {
  table_[100].object_count = 0;
  expect_refused("class 100: object_count is not in [1, 256]");
}
TEST_F(BrokenTable, MoreObjectsThanTheBitmapHas) {
  table_[2] = {32, 257, 3};
  expect_refused("class 2: object_count is not in [1, 256]");
}
TEST_F(BrokenTable, ObjectsReachBeyondTheSpan) {
  ++table_[250].object_count;
  expect_refused("class 250: objects reach beyond the span's pages");
}
TEST_F(BrokenTable, APageIsNeverUsed) {
  table_[256].object_count = 63;
  expect_refused("class 256: a whole page of the span is never used");
}
TEST_F(BrokenTable, TooMuchIsWasted) {
  table_[255] = {4080, 2, 2};  // 32 of 8,192 bytes: fine.
  EXPECT_EQ(validate_size_classes(table_), "");
  table_[255] = {4080, 1, 1};  // 16 of 4,096 bytes: fine.
  EXPECT_EQ(validate_size_classes(table_), "");
  table_[200] = {3200, 1, 1};  // 896 of 4,096 bytes.
  expect_refused("class 200: more than 2 % of a span is wasted");
}
TEST_F(BrokenTable, AnEmptyTable) {
  table_ = {};
  expect_refused("class 1:");
}

}  // namespace
}  // namespace uzram
