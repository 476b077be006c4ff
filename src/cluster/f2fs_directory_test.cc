// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/f2fs_image_maker.h"

namespace uzram {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
namespace in = f2fs::inode;

class F2fsDirectoryTest : public testing::Test {
 protected:
  std::vector<std::string> names(std::uint32_t ino = F2fsImageMaker::kRoot) {
    maker_.seal();
    const auto volume = F2fsVolume::open(maker_.image).value();
    std::vector<std::string> found;
    const auto visited =
        visit_entries(*volume, read_inode(*volume, ino).value(), [&](const F2fsEntry& entry) {
          found.push_back(entry.name);
          return true;
        });
    refusal_ = visited ? "" : visited.error().text;
    return found;
  }
  F2fsResult<F2fsInode> find(std::string_view path) {
    maker_.seal();
    const auto volume = F2fsVolume::open(maker_.image).value();
    return find_path(*volume, path);
  }
  MutableBytes add_block(MutableBytes inode, std::size_t index) {
    const std::uint32_t address = maker_.take_block();
    maker_.set_address(inode, index, address);
    return maker_.image.block(address);
  }

  F2fsImageMaker maker_;
  MutableBytes root_ = maker_.image.block(F2fsImageMaker::kMain);
  std::string refusal_;
};

TEST_F(F2fsDirectoryTest, VisitsEveryBlockOverHoles) {
  store_little(root_, in::kSize, std::uint64_t{kPageBytes * 6});
  const MutableBytes first = add_block(root_, 0);
  F2fsImageMaker::add_entry(first, 0, ".", 3);
  F2fsImageMaker::add_entry(first, 1, "..", 3);
  F2fsImageMaker::add_entry(first, 2, "a name of three slots", 4);
  F2fsImageMaker::add_entry(first, 213, "8 bytes.", 5);
  F2fsImageMaker::add_entry(add_block(root_, 5), 100, "last", 6);
  EXPECT_THAT(names(), ElementsAre("a name of three slots", "8 bytes.", "last"));
  EXPECT_EQ(refusal_, "");
}

TEST_F(F2fsDirectoryTest, VisitsInlineEntries) {
  const MutableBytes inode = maker_.add_inode(4, S_IFDIR, 0);
  store_little(inode, in::kInline, static_cast<std::uint8_t>(in::kHasExtra | in::kInlineEntries));
  // (923 - 9 - 1) words are 3652 bytes: 190 slots, 24 bytes of bitmap, 18 bytes between.
  const MutableBytes content = inode.subspan(F2fsImageMaker::kAddresses + 4, 3652);
  content[0] = std::byte{1};
  store_little(content, 42 + 4, std::uint32_t{9});
  store_little(content, 42 + 8, std::uint16_t{5});
  std::memcpy(&content[42 + 190 * 11], "small", 5);
  EXPECT_THAT(names(4), ElementsAre("small"));
  EXPECT_EQ(refusal_, "");
}

TEST_F(F2fsDirectoryTest, RefusesNamesThatNoFileCanHave) {
  const MutableBytes block = add_block(root_, 0);
  F2fsImageMaker::add_entry(block, 0, "../passwd", 4);
  EXPECT_THAT(names(), ElementsAre());
  EXPECT_EQ(refusal_, "inode 3: directory block 0: entry in slot 0 has a name with '/' or NUL");
  F2fsImageMaker::add_entry(block, 0, std::string("a\0bcdefgh", 9), 4);
  names();
  EXPECT_THAT(refusal_, HasSubstr("NUL"));
  for (const int bytes : {0, 256, 0xffff}) {
    store_little(block, f2fs::kBlockEntriesOffset + 8, static_cast<std::uint16_t>(bytes));
    names();
    EXPECT_THAT(refusal_, HasSubstr("has a name of " + std::to_string(bytes) + " bytes"));
  }
}

TEST_F(F2fsDirectoryTest, RefusesANameThatLeavesItsBlock) {
  F2fsImageMaker::add_entry(add_block(root_, 0).subspan(0), 213, "8 bytes.", 4);
  EXPECT_THAT(names(), ElementsAre("8 bytes."));
  const std::uint32_t address = load_little<std::uint32_t>(root_, F2fsImageMaker::kAddresses);
  store_little(maker_.image.block(address), f2fs::kBlockEntriesOffset + 213 * f2fs::kEntryBytes + 8,
               std::uint16_t{9});
  names();
  EXPECT_THAT(refusal_, HasSubstr("has a name of 9 bytes"));
}

TEST_F(F2fsDirectoryTest, ReadsNoBlockTwice) {
  store_little(root_, in::kSize, std::uint64_t{kPageBytes * 2});
  F2fsImageMaker::add_entry(add_block(root_, 0), 0, "once", 4);
  maker_.set_address(root_, 1, load_little<std::uint32_t>(root_, F2fsImageMaker::kAddresses));
  EXPECT_THAT(names(), ElementsAre("once"));
  EXPECT_EQ(refusal_, "inode 3: directory block 1 is another one's as well");
}

TEST_F(F2fsDirectoryTest, RefusesASizeBeyondItsAddresses) {
  store_little(root_, in::kSize, ~std::uint64_t{0});
  names();
  EXPECT_THAT(refusal_, HasSubstr("larger than its addresses reach"));
}

TEST_F(F2fsDirectoryTest, FindsPaths) {
  const MutableBytes block = add_block(root_, 0);
  F2fsImageMaker::add_entry(block, 0, "folder", 4);
  F2fsImageMaker::add_entry(block, 1, "file", 5);
  F2fsImageMaker::add_entry(block, 2, "dangling", 99);
  F2fsImageMaker::add_entry(add_block(maker_.add_inode(4, S_IFDIR, kPageBytes), 0), 0, "in", 6);
  maker_.add_inode(5, S_IFREG, 0);
  maker_.add_inode(6, S_IFREG, 0);
  for (const std::string_view path : {"", "/", "//", "/.", "."}) EXPECT_EQ(find(path)->ino, 3U);
  for (const std::string_view path : {"folder/in", "/folder/in", "folder//./in/"})
    EXPECT_EQ(find(path)->ino, 6U) << path;
  EXPECT_EQ(find("file")->ino, 5U);
  EXPECT_EQ(find("fil").error().code, ENOENT);
  EXPECT_EQ(find("..").error().code, ENOENT);
  EXPECT_EQ(find("file/in").error().code, ENOTDIR);
  EXPECT_EQ(find("dangling").error().text, "inode 99: node 99 does not exist");
}

TEST_F(F2fsDirectoryTest, RefusesEncryptedNames) {
  store_little(root_, in::kAdvise, in::kAdviseEncrypted);
  names();
  EXPECT_EQ(refusal_, "inode 3: its names are encrypted");
}

}  // namespace
}  // namespace uzram
