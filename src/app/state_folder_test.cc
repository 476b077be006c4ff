// SPDX-License-Identifier: Apache-2.0
#include "app/state_folder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

namespace uzram {
namespace {

constexpr uid_t kNobody = 65534;

class StateFolder : public testing::Test {
 protected:
  StateFolder() {
    std::string pattern = "/tmp/uzram-state-XXXXXX";
    top_ = ::mkdtemp(pattern.data());
    path_ = top_ + "/state";
  }
  ~StateFolder() override { std::filesystem::remove_all(top_); }

  static mode_t mode_of(const std::string& path) {
    struct stat status {};
    return ::lstat(path.c_str(), &status) == 0 ? status.st_mode & 07777U : 0;
  }
  int error() {
    const auto prepared = prepare_state_folder(path_);
    return prepared ? 0 : prepared.error().code;
  }

  std::string top_;
  std::string path_;
};

TEST_F(StateFolder, IsMadeForItsOwner) {
  path_ += "/deeper";
  ASSERT_EQ(prepare_state_folder(path_).value(), path_);
  EXPECT_EQ(mode_of(path_), 0711U);
  EXPECT_EQ(error(), 0) << "and once more";
}

TEST_F(StateFolder, OfAnEarlierVersionIsTightened) {
  ASSERT_EQ(::mkdir(path_.c_str(), 0755), 0);
  EXPECT_EQ(error(), 0);
  EXPECT_EQ(mode_of(path_), 0711U);
  ASSERT_EQ(::chmod(path_.c_str(), 0700), 0);
  EXPECT_EQ(error(), 0);
  EXPECT_EQ(mode_of(path_), 0700U) << "stricter stays";
}

TEST_F(StateFolder, HasOneNameHoweverItIsSpelled) {
  ASSERT_EQ(::symlink(top_.c_str(), (top_ + "/link").c_str()), 0);
  EXPECT_EQ(prepare_state_folder(top_ + "/link/state/").value(), path_);
  EXPECT_EQ(prepare_state_folder(top_ + "/./x/../state").value(), path_);
}

TEST_F(StateFolder, OfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make folders of others";
  ASSERT_EQ(::mkdir(path_.c_str(), 0755), 0);
  ASSERT_EQ(::chown(path_.c_str(), kNobody, kNobody), 0);
  EXPECT_EQ(error(), EPERM);
  path_ += "/below";
  EXPECT_EQ(error(), EPERM);
}

TEST_F(StateFolder, BehindALinkOfAnotherUserIsRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make links of others";
  ASSERT_EQ(::symlink("/run", path_.c_str()), 0);
  ASSERT_EQ(::lchown(path_.c_str(), kNobody, kNobody), 0);
  EXPECT_EQ(error(), EPERM);
}

TEST_F(StateFolder, WhereOthersMayWriteIsRefused) {
  ASSERT_EQ(::chmod(top_.c_str(), 0777), 0);
  EXPECT_EQ(error(), EPERM);
  ASSERT_EQ(::chmod(top_.c_str(), 01777), 0);
  EXPECT_EQ(error(), 0) << "but for a sticky one, as /tmp";
}

TEST_F(StateFolder, WhereAFileIsIsRefused) {
  path_ = "/dev/null/state";
  EXPECT_NE(error(), 0);
}

}  // namespace
}  // namespace uzram
