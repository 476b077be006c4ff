// SPDX-License-Identifier: Apache-2.0
// The tree's files without a mount: names, texts, directions, errno values.
#include "frontend/fuse/tree_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "control/attribute_table.h"
#include "device/device_set.h"

namespace uzram {
namespace {

using ::testing::ElementsAre;

class TreeFilesTest : public ::testing::Test {
 protected:
  std::unique_ptr<OpenTreeFile> open(const std::string& path, bool is_read, bool is_written) {
    const auto node = find_tree_node(devices_, path);
    EXPECT_TRUE(node) << path;
    if (!node) return nullptr;
    auto file = OpenTreeFile::open(devices_, *node, is_read, is_written);
    return file ? std::move(*file) : nullptr;
  }
  static Result<std::string> text_at(OpenTreeFile& file, std::uint64_t offset,
                                     std::size_t bytes = 4096) {
    std::string text(bytes, '?');
    const auto done = file.read(offset, std::as_writable_bytes(std::span(text)));
    if (!done) return tl::unexpected(done.error());
    return text.substr(0, *done);
  }
  std::string text_of(const std::string& path) {
    const auto file = open(path, true, false);
    return file == nullptr ? "cannot be opened" : text_at(*file, 0).value_or("cannot be read");
  }
  int error_of_writing(const std::string& path, const std::string& text) {
    const auto file = open(path, false, true);
    if (file == nullptr) return EACCES;
    const auto done = file->write(std::as_bytes(std::span(text)));
    return done ? 0 : done.error().code;
  }
  int error_of_opening(const std::string& path, bool is_read, bool is_written) {
    const auto node = find_tree_node(devices_, path);
    if (!node) return ENOENT;
    const auto file = OpenTreeFile::open(devices_, *node, is_read, is_written);
    return file ? 0 : file.error().code;
  }

  DeviceSet devices_;
};

TEST_F(TreeFilesTest, FoldersListWhatIsInThem) {
  EXPECT_THAT(*list_tree_folder(devices_, "/"), ElementsAre("block", "class", "kernel", "machine"));
  EXPECT_THAT(*list_tree_folder(devices_, "/kernel"), ElementsAre("debug"));
  EXPECT_THAT(*list_tree_folder(devices_, "/kernel/debug"), ElementsAre("zram", "zsmalloc"));
  EXPECT_TRUE(list_tree_folder(devices_, "/kernel/debug/zram")->empty());
  EXPECT_THAT(*list_tree_folder(devices_, "/class"), ElementsAre("zram-control"));
  EXPECT_THAT(*list_tree_folder(devices_, "/class/zram-control"),
              ElementsAre("hot_add", "hot_remove"));
  EXPECT_TRUE(list_tree_folder(devices_, "/block")->empty());
  devices_.add();
  devices_.add();
  EXPECT_THAT(*list_tree_folder(devices_, "/block"), ElementsAre("zram0", "zram1"));
  EXPECT_THAT(*list_tree_folder(devices_, "/kernel/debug/zram"), ElementsAre("zram0", "zram1"));
  EXPECT_THAT(*list_tree_folder(devices_, "/kernel/debug/zram/zram1"), ElementsAre("block_state"));
  EXPECT_THAT(*list_tree_folder(devices_, "/kernel/debug/zsmalloc/zram1"), ElementsAre("classes"));
}

TEST_F(TreeFilesTest, DeviceFolderHasEveryAttributeAndItsMode) {
  devices_.add();
  const auto names = *list_tree_folder(devices_, "/block/zram0");
  for (const Attribute& attribute : device_attributes()) {
    const std::string name(attribute.name);
    const auto node = find_tree_node(devices_, "/block/zram0/" + name);
    ASSERT_EQ(node.has_value(), !attribute.is_debug()) << name;
    if (!node) continue;
    EXPECT_THAT(names, ::testing::Contains(name));
    EXPECT_EQ(node->mode, attribute.mode);
    EXPECT_EQ(node->bytes(), kTreeFileBytes);
  }
  EXPECT_THAT(names, ::testing::IsSupersetOf({"size", "dev", "queue", "holders", "uevent"}));
}

TEST_F(TreeFilesTest, DebugFolderIsAsDebugfs) {
  devices_.add();
  EXPECT_EQ(find_tree_node(devices_, "/kernel/debug")->mode, 0700U);
  const auto node = find_tree_node(devices_, "/kernel/debug/zram/zram0/block_state");
  ASSERT_TRUE(node);
  EXPECT_EQ(node->mode, 0400U);
  EXPECT_EQ(node->bytes(), 0U);
  EXPECT_EQ(error_of_opening("/kernel/debug/zram/zram0/block_state", false, true), EACCES);
  for (const char* path : {"/kernel/debug/zram/zram0/mm_stat", "/kernel/debug/zram/zram0/size",
                           "/kernel/debug/zram/zram1", "/block/zram0/block_state", "/kernel/x"}) {
    EXPECT_FALSE(find_tree_node(devices_, path)) << path;
  }
}

TEST_F(TreeFilesTest, BlockStateIsAsLongAsItIs) {
  devices_.add();
  const auto file = open("/kernel/debug/zram/zram0/block_state", true, false);
  EXPECT_EQ(text_at(*file, 0).error().code, EINVAL) << "no disksize yet";
  ASSERT_EQ(error_of_writing("/block/zram0/disksize", "1M"), 0);
  EXPECT_EQ(*text_at(*file, 0), "");
  const std::vector<std::byte> pattern(200 * kPageBytes, std::byte{0x55});
  ASSERT_TRUE(devices_.find(0)->write(0, pattern));
  EXPECT_EQ(text_at(*file, 0, 10'000)->size(), 200U * 40);
  EXPECT_THAT(*text_at(*file, 199 * 40), ::testing::MatchesRegex("         199 .*s.....\n"));
  EXPECT_EQ(*text_at(*file, 41, 11), "          1");
  EXPECT_EQ(*text_at(*file, 200 * 40), "");
  ASSERT_EQ(error_of_writing("/class/zram-control/hot_remove", "0"), 0);
  EXPECT_EQ(text_at(*file, 0).error().code, ENODEV);
}

TEST_F(TreeFilesTest, OtherNamesAreNotThere) {
  devices_.add();
  for (const char* path : {"/x", "/blocks", "/block/", "/block/zram1", "/block/zram00",
                           "/block/zram", "/block/zram-0", "/block/zram0/", "/block/zram0/nothing",
                           "/block/zram0/disksize/x", "/class/zram-control/", "/class/x", ""}) {
    EXPECT_FALSE(find_tree_node(devices_, path)) << path;
    EXPECT_EQ(list_tree_folder(devices_, path).error().code, ENOENT) << path;
  }
  EXPECT_EQ(list_tree_folder(devices_, "/block/zram0/disksize").error().code, ENOTDIR);
}

TEST_F(TreeFilesTest, DirectionsAreThoseOfSysfsForRootToo) {
  devices_.add();
  EXPECT_EQ(error_of_opening("/block/zram0/mm_stat", false, true), EACCES);
  EXPECT_EQ(error_of_opening("/block/zram0/reset", true, false), EACCES);
  EXPECT_EQ(error_of_opening("/block/zram0/reset", true, true), EACCES);
  EXPECT_EQ(error_of_opening("/block/zram0/disksize", true, true), 0);
  EXPECT_EQ(error_of_opening("/class/zram-control/hot_add", false, true), EACCES);
  EXPECT_EQ(error_of_opening("/class/zram-control/hot_remove", true, false), EACCES);
  EXPECT_EQ(error_of_opening("/block/zram0", true, false), EISDIR);
}

TEST_F(TreeFilesTest, TextIsMadeAnewAtTheStartOnly) {
  devices_.add();
  const auto file = open("/block/zram0/disksize", true, false);
  EXPECT_EQ(*text_at(*file, 0), "0\n");
  ASSERT_EQ(error_of_writing("/block/zram0/disksize", "1M\n"), 0);
  EXPECT_EQ(*text_at(*file, 1), "\n");
  EXPECT_EQ(*text_at(*file, 2), "");
  EXPECT_EQ(*text_at(*file, 0), "1048576\n");
  EXPECT_EQ(*text_at(*file, 4, 2), "57");
  EXPECT_EQ(*text_at(*file, 1 << 20), "");
  EXPECT_EQ(text_of("/block/zram0/size"), "2048\n");
}

TEST_F(TreeFilesTest, ReadingHotAddToItsEndAddsOneDevice) {
  const auto file = open("/class/zram-control/hot_add", true, false);
  EXPECT_EQ(*text_at(*file, 0), "0\n");
  EXPECT_EQ(*text_at(*file, 2), "");
  EXPECT_EQ(devices_.all().size(), 1U);
  EXPECT_EQ(*text_at(*file, 0), "1\n");
  EXPECT_EQ(devices_.all().size(), 2U);
}

TEST_F(TreeFilesTest, ErrorsAreTheAttributesOwn) {
  devices_.add();
  EXPECT_EQ(error_of_writing("/block/zram0/disksize", "nonsense"), EINVAL);
  EXPECT_EQ(error_of_writing("/block/zram0/disksize", "1M"), 0);
  EXPECT_EQ(error_of_writing("/block/zram0/disksize", "1M"), EBUSY);
  EXPECT_EQ(error_of_writing("/block/zram0/comp_algorithm", "lz4"), EBUSY);
  EXPECT_EQ(error_of_writing("/class/zram-control/hot_remove", "7"), ENODEV);
}

TEST_F(TreeFilesTest, LongWritesAreCutAndEmptyOnesDropped) {
  devices_.add();
  const auto file = open("/block/zram0/max_comp_streams", false, true);
  const std::string text(2 * kTreeFileBytes, ' ');
  EXPECT_EQ(*file->write(std::as_bytes(std::span(text))), kTreeFileBytes);
  EXPECT_EQ(error_of_writing("/block/zram0/reset", ""), 0);
}

TEST_F(TreeFilesTest, OpenFileOfARemovedDeviceSaysSo) {
  devices_.add();
  const auto file = open("/block/zram0/disksize", true, true);
  ASSERT_EQ(error_of_writing("/class/zram-control/hot_remove", "0"), 0);
  EXPECT_FALSE(find_tree_node(devices_, "/block/zram0"));
  EXPECT_EQ(text_at(*file, 0).error().code, ENODEV);
  const std::string text = "1M";
  EXPECT_EQ(file->write(std::as_bytes(std::span(text))).error().code, ENODEV);
  devices_.add();  // Another device of the same number is another device.
  EXPECT_EQ(text_at(*file, 0).error().code, ENODEV);
}

TEST_F(TreeFilesTest, AModeTakesAwayAndGivesNoDirectionThatIsNotServed) {
  devices_.add();
  TreeNode node = *find_tree_node(devices_, "/block/zram0/disksize");
  node.mode = 0444;
  EXPECT_EQ(OpenTreeFile::open(devices_, node, false, true).error().code, EACCES);
  node = *find_tree_node(devices_, "/block/zram0/mm_stat");
  node.mode = 0666;
  EXPECT_EQ(OpenTreeFile::open(devices_, node, false, true).error().code, EACCES);
  EXPECT_TRUE(OpenTreeFile::open(devices_, node, true, false));
}

TEST_F(TreeFilesTest, TheBlockLayersPartIsThereWithoutADisk) {
  devices_.add();
  EXPECT_EQ(text_of("/block/zram0/dev"), "0:1\n");
  EXPECT_EQ(text_of("/block/zram0/queue/rotational"), "0\n");
  EXPECT_TRUE(find_tree_node(devices_, "/block/zram0/queue")->is_folder());
  EXPECT_EQ(find_tree_node(devices_, "/block/zram0/subsystem")->target, "/sys/class/block");
  EXPECT_TRUE(list_tree_folder(devices_, "/block/zram0/holders")->empty());
  EXPECT_FALSE(find_tree_node(devices_, "/kernel/debug/zram/zram0/queue"));
  EXPECT_FALSE(find_tree_node(devices_, "/kernel/debug/other/zram0/block_state"));
}

TEST_F(TreeFilesTest, TheMachinesDisksHaveOursAmongThem) {
  devices_.add();
  devices_.add();
  EXPECT_THAT(*list_tree_folder(devices_, "/machine/block"),
              ::testing::IsSupersetOf({"zram0", "zram1"}));
  EXPECT_EQ(find_tree_node(devices_, "/machine/class/block/zram1")->target, "/sys/block/zram1");
  EXPECT_EQ(find_tree_node(devices_, "/machine/dev/block/0:2")->target, "/sys/block/zram1");
  EXPECT_EQ(text_of("/machine/block/zram1/initstate"), "0\n");
  EXPECT_FALSE(find_tree_node(devices_, "/machine/block/zram2")) << "nor the kernel's own";
  EXPECT_FALSE(find_tree_node(devices_, "/machine/block/x/y"));
  EXPECT_FALSE(find_tree_node(devices_, "/machine/block/.."));
  const std::vector<std::string> names = *list_tree_folder(devices_, "/machine/block");
  for (const std::string& name : names) {
    const auto node = find_tree_node(devices_, "/machine/block/" + name);
    ASSERT_TRUE(node) << name;
    EXPECT_EQ(node->is_folder(), name.rfind("zram", 0) == 0) << name;
  }
}

}  // namespace
}  // namespace uzram
