// SPDX-License-Identifier: Apache-2.0
// What a device without a disk shows, and that of this machine's loop devices behind a false
// attachment.
#include "frontend/fuse/block_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "device/device.h"

namespace uzram {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;

// Says that a disk of the machine is the device's.
class BorrowedDisk : public Attachment {
 public:
  explicit BorrowedDisk(std::string path) : path_(std::move(path)) {}
  Result<void> attach(Device&) override { return {}; }
  Result<void> detach(Device&) override { return {}; }
  [[nodiscard]] std::string block_path(const Device&) const override { return path_; }

 private:
  const std::string path_;
};

std::string show(const Device& device, std::string_view path) {
  const auto entry = find_block_entry(device, path);
  if (!entry || entry->kind != BlockEntry::Kind::File) return "is not there";
  return show_block_entry(device, *entry).value_or("cannot be read");
}

TEST(BlockFolder, WithoutADiskIsThatOfANewZramDevice) {
  const Device device(3);
  EXPECT_THAT(list_block_folder(device, ""),
              IsSupersetOf({"dev", "size", "subsystem", "queue", "holders", "slaves", "power",
                            "uevent", "ro", "removable", "hidden", "inflight", "range", "ext_range",
                            "alignment_offset", "discard_alignment", "capability", "events"}));
  EXPECT_EQ(show(device, "size"), "0\n");
  EXPECT_EQ(show(device, "dev"), "0:4\n") << "a number that no driver has";
  EXPECT_EQ(show(device, "ro"), "0\n");
  EXPECT_EQ(show(device, "uevent"), "DEVNAME=zram3\nDEVTYPE=disk\n");
  EXPECT_EQ(show(device, "queue/logical_block_size"), "4096\n");
  EXPECT_TRUE(list_block_folder(device, "slaves").empty());
  for (const std::string& name : list_block_folder(device, "queue")) {
    EXPECT_NE(show(device, "queue/" + name), "is not there") << name;
  }
  const auto entry = find_block_entry(device, "queue/read_ahead_kb");
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->mode, 0444U);
  EXPECT_EQ(store_block_entry(device, *entry, "8").error().code, ENODEV);
}

TEST(BlockFolder, HasNoOtherNames) {
  const Device device(0);
  for (const char* path : {"queue/", "queue/x", "queue/..", "..", ".", "/dev", "loop", "x", "mq"}) {
    EXPECT_FALSE(find_block_entry(device, path)) << path;
  }
}

TEST(BlockFolder, PassesTheLoopDevicesFolderThrough) {
  struct stat status {};
  if (::stat("/dev/loop0", &status) != 0 || !S_ISBLK(status.st_mode)) GTEST_SKIP() << "no loop0";
  BorrowedDisk attachment("/dev/loop0");
  Device device(0, &attachment);
  ASSERT_TRUE(device.set_disksize(1 << 20));
  EXPECT_EQ(show(device, "dev"), "7:0\n");
  EXPECT_EQ(loop_name(device), "loop0");
  EXPECT_EQ(show(device, "size"), "2048\n") << "our own";
  EXPECT_THAT(show(device, "uevent"), HasSubstr("DEVNAME=loop0\n"));
  EXPECT_THAT(list_block_folder(device, "queue"), Contains("read_ahead_kb"));
  EXPECT_EQ(find_block_entry(device, "queue/read_ahead_kb")->mode, 0644U);
  EXPECT_EQ(find_block_entry(device, "queue")->kind, BlockEntry::Kind::Folder);
  EXPECT_EQ(find_block_entry(device, "bdi")->target, "/sys/class/bdi/7:0");
  for (const char* path : {"loop", "loop/backing_file", "queue/../size", "queue/x", "../loop1",
                           "queue/.", "power/../uevent"}) {
    EXPECT_FALSE(find_block_entry(device, path)) << path;
  }
}

}  // namespace
}  // namespace uzram
