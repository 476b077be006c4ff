// SPDX-License-Identifier: Apache-2.0
#include "app/stat_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/device_json.h"
#include "device/device.h"

namespace uzram {
namespace {

using testing::HasSubstr;

nlohmann::json sample_device() {
  Device device(3);
  nlohmann::json json = device_json(device);
  json["disksize"] = 1U << 30;
  auto& stats = json["stats"];
  stats["orig_data_size"] = 4U << 20;
  stats["compr_data_size"] = 1U << 20;
  stats["total_bytes"] = 2U << 20;
  stats["read_requests"] = 100;
  stats["read_sectors"] = 800;
  stats["write_requests"] = 10;
  return json;
}

TEST(StatBlock, SaysWhatIsStoredWhatItCostsAndWhatIsSaved) {
  const std::string text = stat_block(sample_device());
  EXPECT_THAT(text, HasSubstr("zram3 lzo-rle 1G no disk\n"));
  EXPECT_THAT(text, HasSubstr("stored    4M "));
  EXPECT_THAT(text, HasSubstr("memory    2M in all"));
  EXPECT_THAT(text, HasSubstr("limit     none"));
  EXPECT_THAT(text, HasSubstr("ratio     4.00 packed, 2.00 in all\n"));
  EXPECT_THAT(text, HasSubstr("saved     2M (50 %)\n"));
  EXPECT_THAT(text, HasSubstr("100 reads, 10 writes"));
}

TEST(StatBlock, OfAnEmptyDeviceDividesByNothing) {
  Device device(0);
  const std::string text = stat_block(device_json(device));
  EXPECT_THAT(text, HasSubstr("ratio     - packed, - in all\n"));
  EXPECT_THAT(text, HasSubstr("saved     0B\n"));
}

TEST(StatBlock, AdmitsWhenPackingCostsMoreThanItSaves) {
  nlohmann::json device = sample_device();
  device["stats"]["total_bytes"] = 5U << 20;
  EXPECT_THAT(stat_block(device), HasSubstr("saved     -1M\n"));
}

TEST(Rates, ArePerSecondBetweenTwoLooks) {
  const nlohmann::json before = sample_device();
  nlohmann::json now = before;
  now["stats"]["read_requests"] = 300;
  now["stats"]["read_sectors"] = 800 + 4096;
  now["stats"]["discard_requests"] = 1;
  const StatRates rates = rates_between(before, now, 2);
  EXPECT_DOUBLE_EQ(rates.reads, 100);
  EXPECT_DOUBLE_EQ(rates.read_bytes, 1U << 20);
  EXPECT_DOUBLE_EQ(rates.writes, 0);
  EXPECT_DOUBLE_EQ(rates.discards, 0.5);
  EXPECT_THAT(stat_block(now, rates), HasSubstr("now       100 reads/s 1M/s, 0 writes/s 0B/s"));
}

TEST(Rates, AreZeroAfterAReset) {
  nlohmann::json now = sample_device();
  now["stats"]["read_requests"] = 0;
  EXPECT_DOUBLE_EQ(rates_between(sample_device(), now, 1).reads, 0);
}

TEST(StatLine, IsOneLineOfKeysAndValues) {
  EXPECT_EQ(stat_line(sample_device(), {}),
            "zram3 stored_bytes=4194304 packed_bytes=1048576 pool_bytes=0 total_bytes=2097152 "
            "ratio=2.00 reads_per_s=0 read_bytes_per_s=0 writes_per_s=0 write_bytes_per_s=0 "
            "failed_writes=0");
}

}  // namespace
}  // namespace uzram
