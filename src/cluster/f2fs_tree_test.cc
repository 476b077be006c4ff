// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/f2fs_image_maker.h"

namespace uzram {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class F2fsTreeTest : public testing::Test {
 protected:
  // A directory with these entries.
  void add_directory(std::uint32_t ino,
                     const std::vector<std::pair<std::string, std::uint32_t>>& entries) {
    const MutableBytes inode = maker_.add_inode(ino, S_IFDIR | 0755, kPageBytes);
    const std::uint32_t address = maker_.take_block();
    maker_.set_address(inode, 0, address);
    std::size_t slot = 0;
    for (const auto& [name, child] : entries) {
      F2fsImageMaker::add_entry(maker_.image.block(address), slot, name, child);
      slot += (name.size() + 7) / 8;
    }
  }
  void walk() {
    maker_.seal();
    const auto volume = F2fsVolume::open(maker_.image).value();
    walk_tree(*volume, read_inode(*volume, F2fsImageMaker::kRoot).value(),
              {[&](const std::string& path, const F2fsInode&) {
                 paths_.push_back(path);
                 return path != "closed";
               },
               [&](const F2fsError& error) { faults_.push_back(error.text); }});
  }

  F2fsImageMaker maker_;
  std::vector<std::string> paths_;
  std::vector<std::string> faults_;
};

TEST_F(F2fsTreeTest, VisitsEverythingDirectoriesFirst) {
  maker_.add_inode(10, S_IFREG, 0);
  add_directory(11, {{"deep", 10}});
  add_directory(12, {{"inner", 11}});
  add_directory(13, {{"unseen", 10}});
  add_directory(F2fsImageMaker::kRoot, {{"outer", 12}, {"file", 10}, {"closed", 13}});
  walk();
  EXPECT_THAT(paths_, UnorderedElementsAre("", "outer", "outer/inner", "outer/inner/deep", "file",
                                           "closed"));
  EXPECT_THAT(faults_, ElementsAre());
  EXPECT_EQ(paths_.front(), "");
}

TEST_F(F2fsTreeTest, GoesNowhereTwice) {
  add_directory(11, {{"up", F2fsImageMaker::kRoot}, {"self", 11}});
  add_directory(F2fsImageMaker::kRoot, {{"a", 11}, {"b", 11}});
  walk();
  EXPECT_THAT(faults_, ElementsAre("inode 11: a directory in two places",
                                   "inode 3: a directory in two places",
                                   "inode 11: a directory in two places"));
}

TEST_F(F2fsTreeTest, GoesOnBehindDamage) {
  maker_.add_inode(10, S_IFREG, 0);
  add_directory(F2fsImageMaker::kRoot, {{"lost", 99}, {"file", 10}});
  walk();
  EXPECT_THAT(paths_, ElementsAre("", "file"));
  EXPECT_THAT(faults_, ElementsAre("inode 99: node 99 does not exist"));
}

TEST_F(F2fsTreeTest, EndsPathsThatGrowTooLong) {
  const std::string name(255, 'n');
  for (std::uint32_t ino = 11; ino < 40; ++ino) add_directory(ino, {{name, ino + 1}});
  add_directory(F2fsImageMaker::kRoot, {{name, 11}});
  walk();
  EXPECT_THAT(faults_, ElementsAre("inode 27: its path is too long"));
  EXPECT_EQ(paths_.back().size(), kMostTreePath);
}

}  // namespace
}  // namespace uzram
