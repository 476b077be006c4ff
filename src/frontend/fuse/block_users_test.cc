// SPDX-License-Identifier: Apache-2.0
// Who is said to use a disk, and what it costs to find out.
#include "frontend/fuse/block_users.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sstream>

#include "base/file_descriptor.h"

namespace uzram {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class FileUsersTest : public ::testing::Test {
 protected:
  // A memory file has a file system that others use too, so it stands for no disk: a pipe's or a
  // disk's number is asked for by its own name here.
  void SetUp() override {
    char name[] = "/dev/shm/uzram-users-test.XXXXXX";
    file_ = FileDescriptor(::mkstemp(name));
    path_ = name;
    struct stat status {};
    ASSERT_EQ(::fstat(file_.get(), &status), 0);
    disk_.file = status.st_dev;
  }
  void TearDown() override { ::unlink(path_.c_str()); }

  FileDescriptor file_;
  std::string path_;
  DiskNumbers disk_;
};

TEST_F(FileUsersTest, AProgramThatHasItOpenIsNamed) {
  LookLimits all;
  all.most_openers = 1000;
  EXPECT_THAT(find_block_users(disk_, all),
              testing::Contains(HasSubstr("(" + std::to_string(::getpid()) + ")")));
}

TEST_F(FileUsersTest, ADescriptorThatIsANameOnlyIsNone) {
  file_ = FileDescriptor(::open(path_.c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(file_.is_open());
  LookLimits all;
  all.most_openers = 1000;
  EXPECT_THAT(find_block_users(disk_, all),
              testing::Not(testing::Contains(HasSubstr("(" + std::to_string(::getpid()) + ")"))));
}

TEST_F(FileUsersTest, TheSearchEndsEarlyAndSaysSo) {
  LookLimits none;
  none.most_descriptors = 1;
  DiskNumbers nowhere;
  nowhere.file = static_cast<dev_t>(-1);
  EXPECT_THAT(find_block_users(nowhere, none), ElementsAre("open in a program that was not found"));
  none.most_descriptors = 1000000;
  none.most_time = std::chrono::milliseconds(0);
  EXPECT_THAT(find_block_users(nowhere, none), ElementsAre("open in a program that was not found"));
}

TEST(SwapPaths, AreWholeWordsWithoutTheirEscapes) {
  std::istringstream text(
      "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
      "/dev/loop3                              partition\t1048572\t\t0\t\t100\n"
      "/swap\\040file file 1 0 -2\n");
  EXPECT_THAT(parse_swap_paths(text), ElementsAre("/dev/loop3", "/swap file"));
  std::istringstream nothing("");
  EXPECT_THAT(parse_swap_paths(nothing), IsEmpty());
}

}  // namespace
}  // namespace uzram
