// SPDX-License-Identifier: Apache-2.0
#include "app/device_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/device_json.h"
#include "device/device.h"

namespace uzram {
namespace {

using testing::HasSubstr;

nlohmann::json sample_device(const char* name, const char* mountpoint) {
  Device device(0);
  nlohmann::json json = device_json(device);
  json["name"] = name;
  json["algorithm"] = "zstd";
  json["disksize"] = 1U << 30;
  json["streams"] = 2;
  json["mountpoint"] = mountpoint;
  json["block_path"] = "/dev/loop0";
  json["stats"]["orig_data_size"] = 3U << 20;
  json["stats"]["compr_data_size"] = 1U << 20;
  json["stats"]["mem_used_total"] = (1U << 20) + (1U << 19);
  json["stats"]["total_bytes"] = 2U << 20;
  json["limit"] = {{"bytes", 64U << 20}, {"from", "mem_limit"}};
  return json;
}

const nlohmann::json kTwo = {sample_device("zram0", "/mnt"), sample_device("zram10", "")};

TEST(DeviceList, HasZramctlsColumns) {
  EXPECT_EQ(format_list(kTwo, standard_list_columns(), {}),
            "NAME   ALGORITHM DISKSIZE DATA COMPR TOTAL STREAMS MOUNTPOINT\n"
            "zram0  zstd            1G   3M    1M  1.5M       2 /mnt\n"
            "zram10 zstd            1G   3M    1M  1.5M       2\n");
}

TEST(DeviceList, PrintsBytesAndLeavesHeadingsOutWhenAsked) {
  EXPECT_EQ(format_list(kTwo, standard_list_columns(), {.in_bytes = true, .has_headings = false}),
            "zram0  zstd 1073741824 3145728 1048576 1572864 2 /mnt\n"
            "zram10 zstd 1073741824 3145728 1048576 1572864 2\n");
}

TEST(DeviceList, OfNoDevicesIsItsHeadings) {
  EXPECT_EQ(format_list(nlohmann::json::array(), standard_list_columns(), {}),
            "NAME ALGORITHM DISKSIZE DATA COMPR TOTAL STREAMS MOUNTPOINT\n");
}

TEST(DeviceList, ShowsTheColumnsThatWereAskedFor) {
  const auto columns = read_columns("device,Ratio,COST,name");
  ASSERT_TRUE(columns);
  EXPECT_EQ(format_list(kTwo, *columns, {}),
            "DEVICE     RATIO COST NAME\n"
            "/dev/loop0  1.50   2M zram0\n"
            "/dev/loop0  1.50   2M zram10\n");
}

TEST(DeviceList, CanShowEveryColumn) {
  const std::string text = format_list(kTwo, all_list_columns(), {});
  EXPECT_THAT(text, HasSubstr("ZERO-PAGES"));
  EXPECT_THAT(text, HasSubstr("MIGRATED"));
}

TEST(Columns, ThatDoNotExistAreRefusedWithTheOnesThatDo) {
  for (const auto text : {"", "NAME,", ",NAME", "NAME,,DATA", "SIZE", "NAME DATA"}) {
    const auto columns = read_columns(text);
    ASSERT_FALSE(columns) << text;
    EXPECT_THAT(columns.error().text, HasSubstr("ALGORITHM"));
  }
}

}  // namespace
}  // namespace uzram
