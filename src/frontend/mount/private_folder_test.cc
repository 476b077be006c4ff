// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/private_folder.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace uzram {
namespace {

namespace fs = std::filesystem;

class PrivateFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(::mkdtemp(folder_.data()), nullptr);
    top_ = FileDescriptor(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] int code_of_open() const {
    const auto opened = PrivateFolder::open(top_.get());
    return opened ? 0 : opened.error().code;
  }

  std::string folder_ = testing::TempDir() + "uzram-private.XXXXXX";
  const std::string own_ = "/.uzram";
  FileDescriptor top_;
};

TEST_F(PrivateFolderTest, BelongsToOneMountAtATime) {
  auto first = PrivateFolder::open(top_.get());
  ASSERT_TRUE(first);
  EXPECT_EQ(code_of_open(), EBUSY);
  ASSERT_TRUE((*first)->remove(top_.get()));
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_EQ(code_of_open(), 0);
}

TEST_F(PrivateFolderTest, IsOpenToNobodyElse) {
  const auto opened = PrivateFolder::open(top_.get());
  struct stat status {};
  ASSERT_EQ(::stat((folder_ + own_).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  ASSERT_EQ(::stat((folder_ + own_ + "/lock").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
}

TEST_F(PrivateFolderTest, IsNotStoppedByALockOnTheDirectory) {
  const FileDescriptor foreign(::open(folder_.c_str(), O_RDONLY | O_DIRECTORY));
  ASSERT_EQ(::flock(foreign.get(), LOCK_EX), 0);
  EXPECT_EQ(code_of_open(), 0);
}

TEST_F(PrivateFolderTest, LosesWhatACrashLeft) {
  static_cast<void>(PrivateFolder::open(top_.get()));
  std::ofstream(folder_ + own_ + "/7") << "half";
  const auto opened = PrivateFolder::open(top_.get());
  ASSERT_TRUE(opened);
  EXPECT_FALSE(fs::exists(folder_ + own_ + "/7"));
}

TEST_F(PrivateFolderTest, IsNothingThatOthersMayWriteTo) {
  fs::create_directory(folder_ + own_);
  ASSERT_EQ(::chmod((folder_ + own_).c_str(), 0777), 0);
  EXPECT_EQ(code_of_open(), EPERM);
  fs::remove(folder_ + own_);
  fs::create_directory(folder_ + "/elsewhere");
  fs::create_symlink("elsewhere", folder_ + own_);
  EXPECT_EQ(code_of_open(), EPERM);
  fs::remove(folder_ + own_);
  std::ofstream(folder_ + own_) << "a file";
  EXPECT_EQ(code_of_open(), EPERM);
  fs::remove(folder_ + own_);
  if (::geteuid() != 0) return;
  fs::create_directory(folder_ + own_);
  ASSERT_EQ(::chown((folder_ + own_).c_str(), 54'321, 0), 0);
  EXPECT_EQ(code_of_open(), EPERM);
}

TEST_F(PrivateFolderTest, StaysOursWhereverItIsMoved) {
  auto opened = PrivateFolder::open(top_.get());
  ASSERT_TRUE(opened);
  fs::rename(folder_ + own_, folder_ + "/moved");
  fs::create_directory(folder_ + own_);
  FileDescriptor file;
  const auto name = (*opened)->make_file(file);
  ASSERT_TRUE(name);
  EXPECT_TRUE(fs::exists(folder_ + "/moved/" + *name));
  ASSERT_TRUE((*opened)->remove(top_.get()));
  EXPECT_TRUE(fs::exists(folder_ + own_));
}

}  // namespace
}  // namespace uzram
