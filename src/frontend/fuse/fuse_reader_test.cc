// SPDX-License-Identifier: Apache-2.0
// A connection outlives whoever answered its first request: what taking it over will stand on.
#include "frontend/fuse/fuse_reader.h"

#include <gtest/gtest.h>

#include <thread>

#include "frontend/fuse/disk_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kDiskBytes = 16 << 20;

class FuseReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = why_no_disks(); !why.empty()) GTEST_SKIP() << why;
    ASSERT_TRUE(device_.set_disksize(kDiskBytes));
    path_ = folder_.path() + "/disk";
    std::ofstream{path_}.flush();
    auto mounted = mount_fuse_file(path_, 1);
    ASSERT_TRUE(mounted) << "errno " << mounted.error().code;
    descriptors_ = std::move(*mounted);
  }
  void TearDown() override {
    if (path_.empty()) return;
    unmount_by_force(path_);
    if (server_.joinable()) server_.join();
    EXPECT_TRUE(folder_.mounts_inside().empty());
  }

  TemporaryFolder folder_;
  Device device_{0};
  std::string path_;
  FuseDescriptors descriptors_;
  std::unique_ptr<FuseReader> reader_;
  std::thread server_;
};

TEST_F(FuseReaderTest, WhoeverHasTheDescriptorsCanGoOnWithoutInit) {
  {
    DiskRequests first(device_);
    auto reader = FuseReader::make(descriptors_.connection.get(), first);
    ASSERT_TRUE(reader);
    ASSERT_TRUE((*reader)->serve_init());
    EXPECT_NE(first.agreed_flags(), 0U);
  }
  DiskRequests second(device_);
  auto reader = FuseReader::make(descriptors_.clones.front().get(), second);
  ASSERT_TRUE(reader);
  server_ = std::thread([serving = std::move(*reader)] { serving->serve(); });
  {
    const FileDescriptor disk(::open(path_.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    ASSERT_TRUE(disk.is_open()) << "errno " << errno;
    const AlignedBytes data = AlignedBytes::pattern(1 << 20, 1);
    EXPECT_EQ(::pwrite(disk.get(), data.data(), data.size(), 4096), 1 << 20);
    const AlignedBytes read(1 << 20);
    EXPECT_EQ(::pread(disk.get(), read.data(), read.size(), 4096), 1 << 20);
    EXPECT_EQ(read, data);
  }
  EXPECT_EQ(second.agreed_flags(), 0U);
  unmount_by_force(path_);
  server_.join();
}

TEST_F(FuseReaderTest, EndsWithTheConnection) {
  DiskRequests requests(device_);
  auto reader = FuseReader::make(descriptors_.connection.get(), requests);
  ASSERT_TRUE(reader);
  ASSERT_TRUE((*reader)->serve_init());
  const auto number = find_connection_number(path_);
  ASSERT_TRUE(number);
  EXPECT_TRUE(abort_connection(*number));
  (*reader)->serve();  // Returns.
  EXPECT_TRUE(is_dead_mount(path_));
  EXPECT_TRUE(clear_dead_mount(path_));
  EXPECT_FALSE(is_mount_point(path_));
  EXPECT_FALSE(abort_connection(*number));
}

}  // namespace
}  // namespace uzram
