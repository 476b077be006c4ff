// SPDX-License-Identifier: Apache-2.0
#include "app/block_use.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uzram {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::string_view kMountInfo =
    "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
    "40 22 7:3 / /mnt/with\\040blank rw shared:9 - ext4 /dev/loop3 rw\n"
    "41 22 7:3 /sub /srv rw shared:9 - ext4 /dev/loop3 rw\n"
    "42 22 7:30 / /other rw - ext4 /dev/loop30 rw\n"
    "short line\n\n";

TEST(MountPoints, AreThoseOfExactlyThatDevice) {
  EXPECT_THAT(mount_points(kMountInfo, {7, 3}), ElementsAre("/mnt/with blank", "/srv"));
  EXPECT_THAT(mount_points(kMountInfo, {7, 30}), ElementsAre("/other"));
  EXPECT_THAT(mount_points(kMountInfo, {7, 4}), IsEmpty());
  EXPECT_THAT(mount_points("", {7, 3}), IsEmpty());
}

TEST(BlockDeviceNumber, BelongsToBlockDevicesOnly) {
  EXPECT_FALSE(block_device_number("/dev/null"));
  EXPECT_FALSE(block_device_number("/nonexistent"));
  EXPECT_FALSE(block_device_number(""));
  EXPECT_EQ(mount_point_of(""), "");
}

}  // namespace
}  // namespace uzram
