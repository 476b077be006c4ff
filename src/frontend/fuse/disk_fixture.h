// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/disk_fixture.h: for tests: devices with real disks in a folder of their own.
//
// What:    a temporary folder, an attachment, a set of devices; and a sweep at the end that takes
//          away what a failed test left, in that folder only.
// Errors:  why_unavailable says what the machine lacks, for GTEST_SKIP.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "base/file_descriptor.h"
#include "base/random.h"
#include "base/units.h"
#include "control/attribute_table.h"
#include "device/device_set.h"
#include "frontend/fuse/disk_leftovers.h"
#include "frontend/fuse/fuse_attachment.h"
#include "frontend/fuse/fuse_mount.h"
#include "frontend/fuse/loop_device.h"

namespace uzram {

// Page-aligned bytes, as O_DIRECT wants them.
class AlignedBytes {
 public:
  explicit AlignedBytes(std::size_t bytes)
      : size_(bytes),
        data_(static_cast<std::byte*>(std::aligned_alloc(
            kPageBytes, round_up(std::max<std::size_t>(bytes, 1), kPageBytes)))) {
    std::fill_n(data_.get(), bytes, std::byte{0});
  }
  // Half of each page repeats and half does not: it packs, but not to nothing.
  static AlignedBytes pattern(std::size_t bytes, std::uint64_t seed) {
    AlignedBytes made(bytes);
    Random random(seed);
    for (std::size_t i = 0; i < bytes; ++i) {
      made.data()[i] = static_cast<std::byte>(i % kPageBytes < kPageBytes / 2 ? random.next() : i);
    }
    return made;
  }
  static AlignedBytes incompressible(std::size_t bytes, std::uint64_t seed) {
    AlignedBytes made(bytes);
    Random random(seed);
    for (std::size_t i = 0; i < bytes; ++i) made.data()[i] = static_cast<std::byte>(random.next());
    return made;
  }
  [[nodiscard]] std::byte* data() const { return data_.get(); }
  [[nodiscard]] std::size_t size() const { return size_; }
  friend bool operator==(const AlignedBytes& a, const AlignedBytes& b) {
    return a.size_ == b.size_ && std::equal(a.data(), a.data() + a.size_, b.data());
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::size_t size_;
  std::unique_ptr<std::byte, Free> data_;
};

inline std::string why_no_disks() {
  if (::geteuid() != 0) return "mounting a disk needs root";
  if (::access("/dev/fuse", R_OK | W_OK) != 0) return "/dev/fuse cannot be opened here";
  return {};
}

inline std::string why_no_loop() {
  if (::geteuid() != 0) return "a loop device needs root";
  const FileDescriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.is_open()) return "there is no /dev/loop-control here";
  if (::ioctl(control.get(), LOOP_CTL_GET_FREE) < 0) return "no loop device can be had here";
  return {};
}

// A folder in /tmp that is gone at the end, with every mount and loop device in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = "/tmp/uzram-fuse-test.XXXXXX";
    if (::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~TemporaryFolder() {
    if (path_.empty()) return;
    std::error_code ignored;
    for (const std::string& mount_point : mounts_inside()) {
      detach_loops_over(mount_point);
      unmount_by_force(mount_point);
    }
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::vector<std::string> mounts_inside() const {
    std::vector<std::string> found;
    std::ifstream table("/proc/self/mounts");
    std::string source, mount_point, rest;
    while (table >> source >> mount_point && std::getline(table, rest)) {
      if (mount_point.rfind(path_ + "/", 0) == 0) found.insert(found.begin(), mount_point);
    }
    return found;
  }
  [[nodiscard]] std::vector<std::string> loops_inside() const {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/sys/block")) {
      std::ifstream attribute(entry.path() / "loop" / "backing_file");
      std::string backing;
      if (std::getline(attribute, backing) && backing.find(path_) != std::string::npos) {
        found.push_back(entry.path().filename().string());
      }
    }
    return found;
  }

 private:
  std::string path_;
};

class DiskFixture : public ::testing::Test {
 protected:
  void start(FuseAttachmentOptions options) {
    options.state_dir = folder_.path();
    options.lookers_patience = std::chrono::milliseconds(200);
    auto attachment = FuseAttachment::create(std::move(options));
    ASSERT_TRUE(attachment) << attachment.error().text;
    attachment_ = std::move(*attachment);
    devices_ = std::make_unique<DeviceSet>(attachment_.get());
  }
  void TearDown() override {
    if (devices_ == nullptr) return;
    for (const auto& device : devices_->all()) attachment_->abandon(*device);
    devices_.reset();
    attachment_.reset();
  }

  std::shared_ptr<Device> add_disk(std::uint64_t bytes) {
    const std::shared_ptr<Device> device = devices_->find(devices_->add());
    EXPECT_TRUE(device->set_algorithm("lz4"));
    const Result<void> done = device->set_disksize(bytes);
    EXPECT_TRUE(done) << "errno " << (done ? 0 : done.error().code);
    return device;
  }
  [[nodiscard]] std::string file_path(const Device& device) const {
    return fmt::format("{}/disk/zram{}", folder_.path(), device.id());
  }
  static FileDescriptor open_direct(const std::string& path, int flags = O_RDWR) {
    FileDescriptor descriptor(::open(path.c_str(), flags | O_DIRECT | O_CLOEXEC));
    EXPECT_TRUE(descriptor.is_open()) << path << ": errno " << errno;
    return descriptor;
  }
  static std::size_t write_at(const FileDescriptor& disk, std::uint64_t offset,
                              const AlignedBytes& data) {
    const ssize_t done = ::pwrite(disk.get(), data.data(), data.size(), static_cast<off_t>(offset));
    return done < 0 ? 0 : static_cast<std::size_t>(done);
  }
  static AlignedBytes read_at(const FileDescriptor& disk, std::uint64_t offset, std::size_t bytes) {
    AlignedBytes data(bytes);
    EXPECT_EQ(::pread(disk.get(), data.data(), bytes, static_cast<off_t>(offset)),
              static_cast<ssize_t>(bytes))
        << "errno " << errno;
    return data;
  }
  void expect_nothing_left() const {
    EXPECT_TRUE(folder_.mounts_inside().empty());
    EXPECT_TRUE(folder_.loops_inside().empty());
  }

  TemporaryFolder folder_;
  std::unique_ptr<FuseAttachment> attachment_;
  std::unique_ptr<DeviceSet> devices_;
};

}  // namespace uzram
