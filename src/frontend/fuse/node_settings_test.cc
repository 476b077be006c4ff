// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/node_settings.h"

#include <gtest/gtest.h>

#include "device/device_set.h"
#include "frontend/fuse/tree_files.h"

namespace uzram {
namespace {

class NodeSettingsTest : public ::testing::Test {
 protected:
  TreeNode node(const std::string& path) { return *find_tree_node(devices_, path); }
  void change_mode(const std::string& path, unsigned mode) {
    NodeSettings changes;
    changes.mode = mode;
    settings_.change(node(path), changes);
  }

  DeviceSet devices_;
  NodeSettingsMap settings_;
};

TEST_F(NodeSettingsTest, AreThoseOfOneFileAlone) {
  devices_.add();
  change_mode("/block/zram0/disksize", 0660);
  EXPECT_EQ(settings_.find(node("/block/zram0/disksize")).mode, 0660U);
  EXPECT_EQ(settings_.find(node("/machine/block/zram0/disksize")).mode, 0660U) << "the same file";
  EXPECT_FALSE(settings_.find(node("/block/zram0/mm_stat")).mode);
  EXPECT_FALSE(settings_.find(node("/block/zram0")).mode);
}

TEST_F(NodeSettingsTest, AddUp) {
  devices_.add();
  NodeSettings owner;
  owner.user = 1000;
  settings_.change(node("/block/zram0/idle"), owner);
  change_mode("/block/zram0/idle", 0600);
  EXPECT_EQ(settings_.find(node("/block/zram0/idle")).user, 1000U);
  EXPECT_EQ(settings_.find(node("/block/zram0/idle")).mode, 0600U);
  EXPECT_FALSE(settings_.find(node("/block/zram0/idle")).group);
}

TEST_F(NodeSettingsTest, LastAsLongAsTheDevice) {
  devices_.add();
  change_mode("/block/zram0/disksize", 0660);
  change_mode("/class/zram-control/hot_add", 0444);
  ASSERT_TRUE(devices_.find(0)->reset());
  EXPECT_EQ(settings_.find(node("/block/zram0/disksize")).mode, 0660U) << "a reset is no end";
  ASSERT_TRUE(devices_.remove(0));
  devices_.add();
  EXPECT_FALSE(settings_.find(node("/block/zram0/disksize")).mode) << "it is another device";
  EXPECT_EQ(settings_.find(node("/class/zram-control/hot_add")).mode, 0444U);
}

}  // namespace
}  // namespace uzram
