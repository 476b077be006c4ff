// SPDX-License-Identifier: Apache-2.0
// Names of disks that stay.
#include "frontend/fuse/disk_links.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "frontend/fuse/disk_fixture.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

class DiskLinksTest : public ::testing::Test {
 protected:
  void make(const std::string& common = {}) {
    auto links = DiskLinks::make(own(), common);
    ASSERT_TRUE(links);
    links_ = std::move(*links);
  }
  [[nodiscard]] std::string own() const { return folder_.path() + "/dev"; }
  [[nodiscard]] static std::string target(const std::string& path) {
    std::error_code error;
    return fs::read_symlink(path, error).string();
  }

  TemporaryFolder folder_;
  std::unique_ptr<DiskLinks> links_;
};

TEST_F(DiskLinksTest, LeadToTheDiskAndFollowIt) {
  make();
  ASSERT_TRUE(links_->point(3, "/dev/loop7"));
  EXPECT_EQ(target(own() + "/zram3"), "/dev/loop7");
  ASSERT_TRUE(links_->point(3, "/dev/loop9"));
  EXPECT_EQ(target(own() + "/zram3"), "/dev/loop9");
  links_->remove(3);
  EXPECT_TRUE(fs::is_empty(own()));
  links_.reset();
  EXPECT_FALSE(fs::exists(own()));
}

TEST_F(DiskLinksTest, OfAKilledDaemonAreCleared) {
  fs::create_directory(own());
  fs::create_symlink("/dev/loop1", own() + "/zram0");
  make();
  EXPECT_TRUE(fs::is_empty(own()));
}

TEST_F(DiskLinksTest, InACommonFolderOnlyTakeFreeNames) {
  const std::string common = folder_.path() + "/common";
  fs::create_directory(common);
  std::ofstream(common + "/zram0") << "the kernel's";
  make(common);
  ASSERT_TRUE(links_->point(0, "/dev/loop7"));
  ASSERT_TRUE(links_->point(1, "/dev/loop8"));
  EXPECT_TRUE(fs::is_regular_file(common + "/zram0"));
  EXPECT_EQ(target(common + "/zram1"), "/dev/loop8");
  links_->remove(0);
  EXPECT_TRUE(fs::exists(common + "/zram0"));
  // Somebody has made it their own.
  fs::remove(common + "/zram1");
  fs::create_symlink("/dev/loop1", common + "/zram1");
  links_->remove(1);
  EXPECT_EQ(target(common + "/zram1"), "/dev/loop1");
}

TEST_F(DiskLinksTest, FolderThatIsALinkIsRefused) {
  fs::create_directory(folder_.path() + "/elsewhere");
  fs::create_symlink(folder_.path() + "/elsewhere", own());
  EXPECT_FALSE(DiskLinks::make(own(), ""));
}

}  // namespace
}  // namespace uzram
