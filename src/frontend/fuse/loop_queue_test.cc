// SPDX-License-Identifier: Apache-2.0
// A number keeps its queue's settings from life to life; ours has what it should have in each.
#include "frontend/fuse/loop_queue.h"

#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sys/stat.h>

#include <fstream>

#include "frontend/fuse/disk_fixture.h"

namespace uzram {
namespace {

class LoopQueueTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_loop(); !why.empty()) GTEST_SKIP() << why;
    file_path_ = folder_.path() + "/file";
    file_ = FileDescriptor(::open(file_path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::ftruncate(file_.get(), 16 << 20), 0);
    attach(-1);
  }
  void attach(int index) {
    auto loop = LoopDevice::attach(file_.get(), file_path_, index);
    if (!loop && loop.error().code == EINVAL) GTEST_SKIP() << "/tmp has no direct I/O here";
    ASSERT_TRUE(loop);
    loop_ = std::move(*loop);
    if (::access((loop_->binding().sysfs() + "/queue/write_cache").c_str(), W_OK) != 0) {
      GTEST_SKIP() << "the settings of queues cannot be changed here";
    }
  }
  void TearDown() override { loop_.reset(); }

  [[nodiscard]] FileDescriptor node() const {
    return FileDescriptor(::open(loop_->binding().path().c_str(), O_RDONLY | O_CLOEXEC));
  }
  [[nodiscard]] std::string show(const std::string& attribute) const {
    std::ifstream file(loop_->binding().sysfs() + "/" + attribute);
    std::string line;
    std::getline(file, line);
    return line;
  }
  void set(const std::string& attribute, const std::string& value) const {
    std::ofstream(loop_->binding().sysfs() + "/" + attribute) << value << std::flush;
  }
  void expect_ours() const {
    EXPECT_EQ(show("queue/write_cache"), "write through");
    EXPECT_EQ(show("queue/stable_writes"), "1");
    EXPECT_EQ(show("queue/wbt_lat_usec"), "0");
    EXPECT_EQ(show("queue/rotational"), "0");
    EXPECT_EQ(show("queue/add_random"), "0");
    EXPECT_EQ(show("queue/nomerges"), "0");
    EXPECT_EQ(show("queue/rq_affinity"), "1");
    EXPECT_EQ(show("queue/nr_requests"), "128");
    EXPECT_EQ(show("queue/iostats"), "1");
    EXPECT_EQ(show("queue/read_ahead_kb"), "128");
    EXPECT_EQ(show("queue/scheduler").rfind("[none]", 0), 0U);
    EXPECT_EQ(show("ro"), "0");
    EXPECT_EQ(show("bdi/max_ratio"), "100");
    EXPECT_GE(std::stoull(show("queue/max_sectors_kb")), 1024U);
  }

  TemporaryFolder folder_;
  std::string file_path_;
  FileDescriptor file_;
  std::unique_ptr<LoopDevice> loop_;
};

TEST_F(LoopQueueTest, NewDiskHasKnownSettingsWhateverTheNumberHadBefore) {
  expect_ours();
  const std::string discard = show("queue/discard_max_bytes");
  set("queue/scheduler", "mq-deadline");
  set("queue/nr_requests", "33");
  set("queue/rq_affinity", "2");
  set("queue/nomerges", "2");
  set("queue/wbt_lat_usec", "5000");
  set("queue/max_sectors_kb", "64");
  set("queue/iostats", "0");
  set("queue/add_random", "1");
  set("queue/write_cache", "write back");
  set("queue/stable_writes", "0");
  set("queue/read_ahead_kb", "4096");
  set("queue/discard_max_bytes", "8192");
  set("bdi/max_ratio", "37");
  const int index = loop_->binding().index;
  {
    int is_read_only = 1;
    EXPECT_EQ(::ioctl(node().get(), BLKROSET, &is_read_only), 0);
  }
  // By hand, so that nothing of ours tidies up.
  ASSERT_EQ(std::system(("losetup -d " + loop_->binding().path()).c_str()), 0);
  attach(index);
  expect_ours();
  EXPECT_GE(std::stoull(show("queue/discard_max_bytes")) + kPageBytes, std::stoull(discard));
}

TEST_F(LoopQueueTest, StrangerGetsTheKernelsSettingsAfterUs) {
  const LoopBinding former = loop_->binding();
  ASSERT_TRUE(loop_->detach(std::chrono::seconds(1)));
  const std::string path = former.path();
  ASSERT_EQ(std::system(("losetup " + path + " " + file_path_).c_str()), 0);
  // What would lose a stranger's data: a flush that never reaches their file.
  EXPECT_EQ(show("queue/write_cache"), "write back");
  EXPECT_EQ(show("queue/stable_writes"), "0");
  EXPECT_NE(show("queue/wbt_lat_usec"), "0");
  EXPECT_EQ(std::system(("losetup -d " + path).c_str()), 0);
}

TEST_F(LoopQueueTest, NumberThatWasTakenFromUsIsPutRight) {
  const LoopBinding former = loop_->binding();
  const std::string path = former.path();
  ASSERT_EQ(std::system(("losetup -d " + path).c_str()), 0);
  ASSERT_EQ(std::system(("losetup " + path + " " + file_path_).c_str()), 0);
  EXPECT_EQ(show("queue/write_cache"), "write through");
  leave_lost_loop_queue(former.index);
  EXPECT_EQ(show("queue/write_cache"), "write back");
  EXPECT_EQ(show("queue/stable_writes"), "0");
  set("queue/wbt_lat_usec", "4000");
  leave_lost_loop_queue(former.index);
  EXPECT_EQ(show("queue/wbt_lat_usec"), "4000");  // Not ours.
  EXPECT_EQ(std::system(("losetup -d " + path).c_str()), 0);
}

TEST_F(LoopQueueTest, ThrottleIsSwitchedOffOnItsOwn) {
  set("queue/wbt_lat_usec", "5000");
  EXPECT_TRUE(switch_throttle_off(node().get()));
  EXPECT_EQ(show("queue/wbt_lat_usec"), "0");
  const FileDescriptor null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(switch_throttle_off(null.get()));
}

}  // namespace
}  // namespace uzram
