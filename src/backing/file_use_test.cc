// SPDX-License-Identifier: Apache-2.0
// Files that something else uses are no backing stores; the others are.
#include "backing/file_use.h"

#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/swap.h>

#include "backing/backing_file.h"
#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

namespace uzram {
namespace {

using ::testing::HasSubstr;

class FileUse : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  const std::string file_ = folder_.make_file("file", 64 * kBlockBytes);

  static int open_error(const std::string& path) {
    const Result<BackingFile> file = open_backing_file(path);
    return file ? 0 : file.error().code;
  }
  static std::string use_of(const std::string& path) {
    return find_backing_use(path).value_or("nothing");
  }
};

TEST_F(FileUse, IsNothingForAFileThatNobodyHas) {
  EXPECT_EQ(use_of(file_), "nothing");
  EXPECT_EQ(open_error(file_), 0);
  EXPECT_EQ(open_error(file_), 0) << "a look leaves nothing behind";
}

TEST_F(FileUse, IsNothingForAFileThatIsOnlyRead) {
  const FileDescriptor reader(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_EQ(use_of(file_), "nothing");
  EXPECT_EQ(open_error(file_), 0);
}

TEST_F(FileUse, IsAProgramThatHasItOpenForWriting) {
  const FileDescriptor writer(::open(file_.c_str(), O_WRONLY | O_CLOEXEC));
  EXPECT_THAT(use_of(file_), HasSubstr("open for writing"));
  EXPECT_EQ(open_error(file_), EBUSY);
}

TEST_F(FileUse, IsAnotherStoreUnderEveryNameOfTheFile) {
  const std::string hard = folder_.path("hard"), soft = folder_.path("soft");
  ASSERT_EQ(::link(file_.c_str(), hard.c_str()), 0);
  ASSERT_EQ(::symlink("file", soft.c_str()), 0);
  const Result<BackingFile> store = open_backing_file(file_);
  ASSERT_TRUE(store.has_value());
  for (const std::string& name : {file_, hard, soft, folder_.path("./file")}) {
    EXPECT_EQ(open_error(name), EBUSY) << name;
    EXPECT_THAT(use_of(name), HasSubstr("store of another device")) << name;
  }
}

TEST_F(FileUse, IsALoopDeviceOverIt) {
  const std::string hard = folder_.path("hard");
  ASSERT_EQ(::link(file_.c_str(), hard.c_str()), 0);
  const LoopOverFile loop(hard);
  if (!loop.is_there()) GTEST_SKIP() << "no loop device for this user or on this machine";
  EXPECT_EQ(use_of(file_), "the file of " + loop.path());
  EXPECT_EQ(open_error(file_), EBUSY);
}

TEST_F(FileUse, IsTheStoreBelowALoopDevice) {
  const LoopOverFile loop(file_);
  if (!loop.is_there()) GTEST_SKIP() << "no loop device for this user or on this machine";
  EXPECT_EQ(open_error(loop.path()), 0);
  const FileDescriptor locked(::open(file_.c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(locked.get(), LOCK_EX | LOCK_NB), 0);
  EXPECT_EQ(open_error(loop.path()), EBUSY);
  EXPECT_THAT(use_of(loop.path()), HasSubstr("another device's store"));
}

TEST_F(FileUse, IsSwap) {
  const std::string swap = folder_.path("a swap file");
  {
    const FileDescriptor made(::open(swap.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    const std::string zeros(64 * kBlockBytes, '\0');
    ASSERT_EQ(::write(made.get(), zeros.data(), zeros.size()), static_cast<ssize_t>(zeros.size()));
    ASSERT_EQ(::fsync(made.get()), 0);
  }
  ASSERT_EQ(std::system(("PATH=/usr/sbin:/sbin:$PATH mkswap '" + swap + "' >/dev/null").c_str()),
            0);
  if (::swapon(swap.c_str(), 0) != 0) GTEST_SKIP() << "no swap file here: errno " << errno;
  EXPECT_EQ(use_of(swap), "used as swap");
  EXPECT_EQ(open_error(swap), EBUSY);
  ASSERT_EQ(::swapoff(swap.c_str()), 0);
  EXPECT_EQ(open_error(swap), 0);
}

}  // namespace
}  // namespace uzram
