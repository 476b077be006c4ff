// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/inode_table.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <vector>

#include "frontend/mount/regular_file.h"

namespace uzram {
namespace {

class InodeTableTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(::mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  [[nodiscard]] std::string path(const std::string& name) const { return folder_ + "/" + name; }
  void make(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  [[nodiscard]] FileDescriptor place(const std::string& name) const {
    return FileDescriptor(::open(path(name).c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  }
  Inode& look_up(const std::string& name) {
    FileDescriptor found = place(name);
    struct stat status {};
    EXPECT_EQ(::fstat(found.get(), &status), 0);
    return table_.look_up(std::move(found), status);
  }
  static std::string text_of(const Inode& inode) {
    std::string text;
    std::ifstream(inode.path()) >> text;
    return text;
  }

  std::string folder_ = testing::TempDir() + "uzram-inodes.XXXXXX";
  int made_count_ = 0;
  InodeTable table_{[this](Inode&) { ++made_count_; }};
};

TEST_F(InodeTableTest, AFileIsOneHoweverManyNamesItHas) {
  make("a", "text");
  std::filesystem::create_hard_link(path("a"), path("b"));
  make("c", "other");
  Inode& first = look_up("a");
  EXPECT_EQ(&first, &look_up("a"));
  EXPECT_EQ(&first, &look_up("b"));
  EXPECT_NE(&first, &look_up("c"));
  EXPECT_EQ(table_.count(), 2U);
  EXPECT_EQ(made_count_, 2);
}

TEST_F(InodeTableTest, IsKeptUntilItsLastUseEnds) {
  make("a", "text");
  Inode& inode = look_up("a");
  static_cast<void>(look_up("a"));
  table_.hold(inode);
  table_.let_go(inode, 2);
  EXPECT_EQ(table_.count(), 1U);
  EXPECT_EQ(&inode, &look_up("a"));
  table_.let_go(inode);
  table_.let_go(inode);
  EXPECT_EQ(table_.count(), 0U);
}

TEST_F(InodeTableTest, IsThereWithoutAName) {
  make("a", "text");
  Inode& inode = look_up("a");
  std::filesystem::remove(path("a"));
  EXPECT_EQ(text_of(inode), "text");
  make("a", "new");
  Inode& other = look_up("a");
  EXPECT_NE(&inode, &other);
  EXPECT_EQ(text_of(other), "new");
}

TEST_F(InodeTableTest, KnowsWhatItIs) {
  make("a", "text");
  std::filesystem::create_symlink("a", path("link"));
  EXPECT_TRUE(look_up("a").is_regular());
  EXPECT_TRUE(look_up("link").is_link());
  EXPECT_TRUE(look_up(".").is_folder());
}

TEST_F(InodeTableTest, AnotherFileTakesTheSamePlace) {
  make("a", "old");
  make("b", "new");
  Inode& inode = look_up("a");
  const ino_t number = inode.shown_number();
  const int descriptor = inode.place();
  ASSERT_TRUE(table_.replace(inode, place("b")));
  EXPECT_EQ(text_of(inode), "new");
  EXPECT_EQ(inode.place(), descriptor);
  EXPECT_EQ(inode.shown_number(), number);
  EXPECT_EQ(&look_up("b"), &inode);
  EXPECT_NE(&look_up("a"), &inode);
  EXPECT_EQ(table_.count(), 2U);
}

TEST_F(InodeTableTest, VisitsEachOfThem) {
  make("a", "first");
  make("b", "second");
  Inode& first = look_up("a");
  static_cast<void>(look_up("b"));
  std::vector<std::string> texts;
  table_.visit_all([&](Inode& inode) {
    texts.push_back(text_of(inode));
    if (&inode == &first) table_.let_go(inode);
  });
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(texts, (std::vector<std::string>{"first", "second"}));
  EXPECT_EQ(table_.count(), 1U);
}

TEST_F(InodeTableTest, FlagsAreRememberedAndKept) {
  make("a", "text");
  Inode& inode = look_up("a");
  EXPECT_EQ(inode.flags(), KeptFlags{});
  KeptFlags wanted;
  wanted.compress = CompressFlag::DoNot;
  if (const auto set = inode.set_flags(wanted); !set) {
    ASSERT_EQ(set.error().code, EOPNOTSUPP);
    GTEST_SKIP() << "no xattrs here";
  }
  EXPECT_EQ(inode.flags(), wanted);
  EXPECT_EQ(load_kept_flags(path("a")), wanted);
}

TEST_F(InodeTableTest, NoTwoFilesShowOneNumber) {
  make("a", "text");
  make("grown", "more");
  Inode& grown = look_up("a");
  const ino_t number = grown.shown_number();
  ASSERT_TRUE(table_.replace(grown, place("grown")));
  // As if a new file had got the number that is free below.
  FileDescriptor found = place("a");
  struct stat status {};
  ASSERT_EQ(::fstat(found.get(), &status), 0);
  ASSERT_EQ(status.st_ino, number);
  Inode& reuser = table_.look_up(std::move(found), status);
  EXPECT_EQ(grown.shown_number(), number);
  EXPECT_NE(reuser.shown_number(), number);
}

TEST_F(InodeTableTest, AFileKeepsTheNumberThatWasKeptWithIt) {
  make("a", "text");
  KeptFlags flags;
  flags.number = 4242;
  if (!store_kept_flags(path("a"), flags)) GTEST_SKIP() << "no xattrs here";
  EXPECT_EQ(look_up("a").shown_number(), 4242U);
}

}  // namespace
}  // namespace uzram
