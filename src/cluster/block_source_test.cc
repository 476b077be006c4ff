// SPDX-License-Identifier: Apache-2.0
#include "cluster/block_source.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>

namespace uzram {
namespace {

class BlockSourceTest : public testing::Test {
 protected:
  ~BlockSourceTest() override { std::filesystem::remove(path_); }
  void write_file(std::size_t bytes) {
    std::ofstream file(path_, std::ios::binary);
    for (std::size_t i = 0; i < bytes; ++i) file.put(static_cast<char>(i / kPageBytes + 1));
  }

  const std::string path_ = testing::TempDir() + "uzram-blocks-" + std::to_string(::getpid());
};

TEST_F(BlockSourceTest, ReadsWholeBlocksOnly) {
  write_file(3 * kPageBytes + 100);
  const auto source = open_block_source(path_).value();
  EXPECT_EQ(source->block_count(), 3U);
  std::array<std::byte, 2 * kPageBytes> out;
  ASSERT_TRUE(source->read(1, out));
  EXPECT_EQ(out.front(), std::byte{2});
  EXPECT_EQ(out.back(), std::byte{3});
  EXPECT_EQ(source->read(2, out).error().code, EINVAL);
  EXPECT_EQ(source->read(~std::uint64_t{0}, out).error().code, EINVAL);
}

TEST_F(BlockSourceTest, SaysWhenTheFileHasBecomeShorter) {
  write_file(2 * kPageBytes);
  const auto source = open_block_source(path_).value();
  std::filesystem::resize_file(path_, kPageBytes + 1);
  std::array<std::byte, 2 * kPageBytes> out;
  EXPECT_EQ(source->read(0, out).error().code, EIO);
}

TEST_F(BlockSourceTest, RefusesWhatHasNoBlocks) {
  EXPECT_EQ(open_block_source(path_).error().code, ENOENT);
  EXPECT_EQ(open_block_source("/").error().code, EISDIR);
  EXPECT_EQ(open_block_source("/dev/null").error().code, ENODEV);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(open_block_source(path_).error().code, ENODEV) << "and it does not wait for a writer";
}

}  // namespace
}  // namespace uzram
