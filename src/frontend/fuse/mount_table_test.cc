// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/mount_table.h"

#include <gtest/gtest.h>

#include <sstream>

namespace uzram {
namespace {

TEST(MountTableTest, EscapesAreUndone) {
  std::istringstream text(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw\n"
      "37 36 7:12 / /a\\040folder\\134with\\011all rw - ext4 /dev/loop12 rw\n");
  const auto entries = parse_mount_table(text);
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].device_number, "98:0");
  EXPECT_EQ(entries[0].mount_point, "/mnt2");
  EXPECT_EQ(entries[1].device_number, "7:12");
  EXPECT_EQ(entries[1].mount_point, "/a folder\\with\tall");
}

TEST(MountTableTest, OtherTextsAreLeftAlone) {
  std::istringstream text("words\n\n1 2 3:4 / /x\\\n1 2 3:4 / /x\\08y\n1 2 3:4 / /x\\01\n");
  const auto entries = parse_mount_table(text);
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].mount_point, "/x\\");
  EXPECT_EQ(entries[1].mount_point, "/x\\08y");
  EXPECT_EQ(entries[2].mount_point, "/x\\01");
}

TEST(MountTableTest, OwnRootIsThere) {
  bool is_there = false;
  for (const MountEntry& entry : read_mount_table()) is_there |= entry.mount_point == "/";
  EXPECT_TRUE(is_there);
}

}  // namespace
}  // namespace uzram
