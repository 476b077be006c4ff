// SPDX-License-Identifier: Apache-2.0
// Loop devices over plain files, and who is said to use them.
#include "frontend/fuse/loop_device.h"

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/swap.h>

#include <thread>

#include "frontend/fuse/block_users.h"
#include "frontend/fuse/disk_fixture.h"

namespace uzram {
namespace {

constexpr off_t kFileBytes = 16 << 20;

class LoopDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_loop(); !why.empty()) GTEST_SKIP() << why;
    file_path_ = folder_.path() + "/file";
    file_ = FileDescriptor(::open(file_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(file_.get(), kFileBytes), 0);
    auto loop = LoopDevice::attach(file_.get(), file_path_);
    // A file system without direct I/O (tmpfs before Linux 6.6) cannot be under these.
    if (!loop && loop.error().code == EINVAL) GTEST_SKIP() << "/tmp has no direct I/O here";
    ASSERT_TRUE(loop) << "errno " << loop.error().code;
    loop_ = std::move(*loop);
  }
  void TearDown() override {
    loop_.reset();
    EXPECT_TRUE(folder_.loops_inside().empty());
  }
  [[nodiscard]] int error_of_detaching() const {
    const Result<void> done = loop_->detach(std::chrono::milliseconds(100));
    return done ? 0 : done.error().code;
  }
  [[nodiscard]] std::string path() const { return loop_->binding().path(); }
  [[nodiscard]] std::vector<std::string> users() const {
    DiskNumbers numbers;
    struct stat status {};
    if (::stat(path().c_str(), &status) == 0) numbers.block = status.st_rdev;
    return find_block_users(numbers);
  }
  [[nodiscard]] bool is_attached() const { return !folder_.loops_inside().empty(); }

  TemporaryFolder folder_;
  std::string file_path_;
  FileDescriptor file_;
  std::unique_ptr<LoopDevice> loop_;
};

TEST_F(LoopDeviceTest, IsUsableAtOnceAndGoneAtOnce) {
  {
    const FileDescriptor disk(::open(path().c_str(), O_RDWR | O_CLOEXEC));
    ASSERT_TRUE(disk.is_open());
    std::uint64_t bytes = 0;
    ASSERT_EQ(::ioctl(disk.get(), BLKGETSIZE64, &bytes), 0);
    EXPECT_EQ(bytes, static_cast<std::uint64_t>(kFileBytes));
  }
  EXPECT_TRUE(is_attached());
  EXPECT_EQ(error_of_detaching(), 0);
  EXPECT_FALSE(is_attached());
  EXPECT_EQ(error_of_detaching(), 0);  // There is nothing left to do.
}

TEST_F(LoopDeviceTest, OpenDeviceIsBusyAndStays) {
  {
    const FileDescriptor disk(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(error_of_detaching(), EBUSY);
    ASSERT_EQ(users().size(), 1U);
    EXPECT_EQ(users().front().rfind("open in ", 0), 0U) << users().front();
    EXPECT_NE(users().front().find(fmt::format("({})", ::getpid())), std::string::npos);
  }
  EXPECT_TRUE(is_attached());  // It did not go with the last one who closed it.
  EXPECT_EQ(error_of_detaching(), 0);
}

TEST_F(LoopDeviceTest, UserThatNobodySeesIsFoundByTheKernel) {
  // A mapping keeps the device open without a descriptor in /proc.
  void* memory = MAP_FAILED;
  {
    const FileDescriptor disk(::open(path().c_str(), O_RDWR | O_CLOEXEC));
    memory = ::mmap(nullptr, kPageBytes, PROT_READ, MAP_SHARED, disk.get(), 0);
    ASSERT_NE(memory, MAP_FAILED);
  }
  EXPECT_TRUE(users().empty());
  EXPECT_EQ(error_of_detaching(), EBUSY);
  ::munmap(memory, kPageBytes);
  EXPECT_TRUE(is_attached());
  EXPECT_EQ(error_of_detaching(), 0);
}

TEST_F(LoopDeviceTest, AnotherNameOfTheDeviceIsTheSameDevice) {
  const std::string other = fmt::format("/dev/uzram-test-{}", ::getpid());
  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  ASSERT_EQ(::mknod(other.c_str(), S_IFBLK | 0600, status.st_rdev), 0);
  {
    const FileDescriptor disk(::open(other.c_str(), O_RDONLY | O_CLOEXEC));
    ::unlink(other.c_str());
    ASSERT_TRUE(disk.is_open());
    EXPECT_EQ(error_of_detaching(), EBUSY);
  }
  EXPECT_EQ(error_of_detaching(), 0);
}

TEST_F(LoopDeviceTest, SwapIsBusy) {
  if (std::system(("mkswap " + path() + " >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << "no mkswap here";
  }
  if (::swapon(path().c_str(), 0) != 0) GTEST_SKIP() << "swapon is not allowed here";
  EXPECT_EQ(error_of_detaching(), EBUSY);
  EXPECT_EQ(users().front(), "used as swap");
  EXPECT_EQ(::swapoff(path().c_str()), 0);
  EXPECT_EQ(error_of_detaching(), 0);
}

TEST_F(LoopDeviceTest, ForceTakesItAwayWithItsLastUser) {
  {
    const FileDescriptor disk(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
    loop_->detach_by_force();
    EXPECT_TRUE(is_attached());
  }
  for (int i = 0; i < 100 && is_attached(); ++i) ::usleep(10000);
  EXPECT_FALSE(is_attached());
}

// --- what somebody else did to the number --------------------------------------------------------

TEST_F(LoopDeviceTest, OneThatSomebodyDetachedIsDetached) {
  ASSERT_EQ(std::system(("losetup -d " + path()).c_str()), 0);
  EXPECT_FALSE(loop_->binding().is_current());
  EXPECT_EQ(loop_->binding().open(O_RDONLY).error().code, ENODEV);
  EXPECT_EQ(error_of_detaching(), 0);
}

TEST_F(LoopDeviceTest, StrangersUseOfTheNumberIsLeftAlone) {
  const std::string other = folder_.path() + "/other";
  ASSERT_EQ(std::system(("losetup -d " + path() + " && truncate -s 1M " + other + " && losetup " +
                         path() + " " + other)
                            .c_str()),
            0);
  {
    // Even while it is claimed: that is the stranger's business.
    const FileDescriptor claim(::open(path().c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    EXPECT_TRUE(claim.is_open());
    EXPECT_FALSE(loop_->binding().is_current());
    EXPECT_EQ(loop_->binding().open(O_RDONLY).error().code, ENODEV);
    EXPECT_EQ(error_of_detaching(), 0);
  }
  loop_->detach_by_force();
  EXPECT_TRUE(is_attached());  // The stranger.
  EXPECT_EQ(std::system(("losetup -d " + path()).c_str()), 0);
}

TEST_F(LoopDeviceTest, WantOfDescriptorsIsNoProofThatItIsGone) {
  rlimit usual{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &usual), 0);
  rlimit none = usual;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const bool is_current = loop_->binding().is_current();
  const Result<void> detached = loop_->detach(std::chrono::milliseconds(0));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &usual), 0);
  EXPECT_TRUE(is_current);
  ASSERT_FALSE(detached);
  EXPECT_EQ(detached.error().code, EMFILE);
  EXPECT_TRUE(is_attached());
}

TEST_F(LoopDeviceTest, DeviceIsWaitedForWhileSomebodyLooksAtIt) {
  std::thread looker;
  {
    FileDescriptor disk(::open(path().c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(disk.is_open());
    looker = std::thread([disk = std::move(disk)]() mutable {
      ::usleep(700000);
      disk.reset();
    });
  }
  EXPECT_TRUE(loop_->detach(std::chrono::seconds(5)));
  looker.join();
  EXPECT_FALSE(is_attached());
}

TEST_F(LoopDeviceTest, DescriptorThatOnlyNamesTheDeviceIsNoUse) {
  const FileDescriptor name(::open(path().c_str(), O_PATH | O_CLOEXEC));
  ASSERT_TRUE(name.is_open());
  EXPECT_TRUE(users().empty());
  EXPECT_EQ(error_of_detaching(), 0);
}

TEST_F(LoopDeviceTest, NumberIsTakenAgainWhenItIsFree) {
  const int index = loop_->binding().index;
  const LoopBinding former = loop_->binding();
  ASSERT_EQ(error_of_detaching(), 0);
  auto again = LoopDevice::attach(file_.get(), file_path_, index);
  ASSERT_TRUE(again);
  EXPECT_FALSE(former.is_current());  // The same number and file, and yet another binding.
  auto other = LoopDevice::attach(file_.get(), file_path_, index);
  ASSERT_TRUE(other);
  EXPECT_NE((*other)->binding().index, (*again)->binding().index);
  EXPECT_TRUE((*other)->detach(std::chrono::seconds(1)));
  EXPECT_TRUE((*again)->detach(std::chrono::seconds(1)));
}

TEST_F(LoopDeviceTest, FileThatIsNoFileIsAnError) {
  const FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_FALSE(LoopDevice::attach(null.get(), "null"));
}

}  // namespace
}  // namespace uzram
