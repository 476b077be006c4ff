// SPDX-License-Identifier: Apache-2.0
#include "control/stat_text.h"

#include <gtest/gtest.h>

#include <set>

namespace uzram {
namespace {

DeviceStats numbered_stats() {
  DeviceStats stats;
  std::uint64_t value = 1;
  for (const StatField& field : stat_fields()) stats.*field.value = value++;
  return stats;
}

TEST(StatText, OfAnEmptyDeviceIsTheKernels) {
  const DeviceStats empty;
  EXPECT_EQ(format_mm_stat(empty, false),
            "       0        0        0        0        0        0        0        0        0\n");
  EXPECT_EQ(format_io_stat(empty), "       0        0 0        0\n");
  EXPECT_EQ(format_debug_stat(empty), "version: 1\n0        0\n");
  EXPECT_EQ(
      format_block_stat(empty),
      "       0        0        0        0        0        0        0        0        0        0"
      "        0        0        0        0        0        0        0\n");
}

TEST(StatText, PutsEachNumberIntoItsColumn) {
  const DeviceStats stats = numbered_stats();
  EXPECT_EQ(format_mm_stat(stats, false),
            "       1        2        3        4        5        6        7        8        9\n");
  EXPECT_EQ(format_io_stat(stats), "      15       16 0       18\n");
  EXPECT_EQ(
      format_block_stat(stats),
      "      19        0       20       21       22        0       23       24       30       31"
      "      101       25        0       26       27       28       29\n");
  EXPECT_EQ(format_total_stat(stats),
            "orig_data_size 1\nmem_used_total 3\ntable_bytes 32\npool_metadata_bytes 33\n"
            "context_bytes 34\nreserved_bytes 36\nbacking_bytes 38\ntotal_bytes 176\n");
}

TEST(StatText, HasTheColumnsOfDeduplicationOnlyWhereItIsOn) {
  EXPECT_EQ(format_mm_stat(numbered_stats(), true),
            "       1        2        3        4        5        6        7        8        9"
            "       10       11\n");
}

TEST(StatText, WidensAColumnRatherThanCutANumber) {
  DeviceStats stats;
  stats.orig_data_bytes = ~0ULL;
  stats.failed_writes = 123456789012ULL;
  EXPECT_EQ(format_mm_stat(stats, false),
            "18446744073709551615        0        0        0        0        0        0        0"
            "        0\n");
  EXPECT_EQ(format_io_stat(stats), "       0 123456789012 0        0\n");
}

TEST(StatFields, HaveUniqueNames) {
  std::set<std::string_view> names;
  for (const StatField& field : stat_fields()) EXPECT_TRUE(names.insert(field.name).second);
}

}  // namespace
}  // namespace uzram
