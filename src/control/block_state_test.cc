// SPDX-License-Identifier: Apache-2.0
#include "control/block_state.h"

#include <gmock/gmock.h>

#include <random>

#include "control/attribute_fixture.h"

namespace uzram {
namespace {

class BlockStateTest : public AttributeTest {
 protected:
  void write_noise(std::uint64_t page) {
    std::mt19937_64 noise(page);
    std::vector<std::uint64_t> words(kPageBytes / sizeof(std::uint64_t));
    for (std::uint64_t& word : words) word = noise();
    ASSERT_TRUE(device_.write(page * kPageBytes, std::as_bytes(std::span(words))));
  }
  void write_pattern(std::uint64_t page) {
    const std::vector<std::byte> bytes(kPageBytes, std::byte{0x55});
    ASSERT_TRUE(device_.write(page * kPageBytes, bytes));
  }
  // Everything, so many lines at a time.
  std::string whole(std::size_t most_lines) {
    std::string text;
    for (std::optional<PageIndex> first = PageIndex{0}; first;) {
      const InputResult<TextPart> part = list_block_state(device_, *first, most_lines);
      EXPECT_TRUE(part);
      EXPECT_LE(part->text.size(), most_lines * kBlockStateLineBytes);
      text += part->text;
      first = part->next;
    }
    return text;
  }
};

TEST_F(BlockStateTest, HasTheKernelsLineForEachStoredPage) {
  ASSERT_EQ(store("recomp_algorithm", "algo=zstd"), "ok");
  ASSERT_EQ(store("access_tracking", "0"), "ok");
  ASSERT_EQ(store("disksize", "100G"), "ok");
  write_pages(0, 2, std::byte{1});
  write_pattern(7);
  write_noise(1000);
  write_pages((100ULL << 18) - 1, 1, std::byte{1});
  EXPECT_EQ(whole(100),
            "           0            0.000000 ......\n"
            "           1            0.000000 ......\n"
            "           7            0.000000 s.....\n"
            "        1000            0.000000 ..h...\n"
            "    26214399            0.000000 ......\n");
  ASSERT_EQ(store("idle", "all"), "ok");
  std::vector<std::byte> page(kPageBytes);
  ASSERT_TRUE(device_.read(0, page));
  ASSERT_EQ(store("recompress", "type=huge"), "ok");
  EXPECT_EQ(whole(100),
            "           0            0.000000 ......\n"
            "           1            0.000000 ...i..\n"
            "           7            0.000000 s.....\n"
            "        1000            0.000000 ..h..n\n"
            "    26214399            0.000000 ...i..\n");
  ASSERT_EQ(store("recompress", "type=idle"), "ok");
  EXPECT_EQ(whole(100).substr(kBlockStateLineBytes, kBlockStateLineBytes),
            "           1            0.000000 ....r.\n");
}

TEST_F(BlockStateTest, HasTheSecondsOfTheLastAccessWhereTheyAreTracked) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  timespec now{};
  ASSERT_EQ(::clock_gettime(CLOCK_BOOTTIME, &now), 0);
  write_pages(3, 1, std::byte{1});
  const std::string text = whole(10);
  ASSERT_EQ(text.size(), kBlockStateLineBytes);
  const auto seconds = std::stoll(text.substr(13, 12));
  EXPECT_GE(seconds, now.tv_sec);
  EXPECT_LE(seconds, now.tv_sec + 60);
  EXPECT_EQ(text.substr(25), ".000000 ......\n");
}

TEST_F(BlockStateTest, IsTheSameInPartsOfAnySize) {
  ASSERT_EQ(store("disksize", "64M"), "ok");
  write_pages(0, 5000, std::byte{1});
  ASSERT_TRUE(device_.discard(100 * kPageBytes, 700 * kPageBytes));
  const std::string text = whole(100'000);
  EXPECT_EQ(text.size(), 4300 * kBlockStateLineBytes);
  for (const std::size_t most_lines : {1, 2, 7, 4095, 4096, 4097, 4300, 4301}) {
    EXPECT_EQ(whole(most_lines), text) << most_lines;
  }
}

TEST_F(BlockStateTest, OfAnEmptyDeviceIsEmptyAndOfNoneAnError) {
  EXPECT_EQ(list_block_state(device_, {0}, 1).error().code, EINVAL);
  ASSERT_EQ(store("disksize", "100G"), "ok");
  EXPECT_EQ(whole(1000), "");
  const InputResult<TextPart> beyond = list_block_state(device_, {~0ULL}, 10);
  ASSERT_TRUE(beyond);
  EXPECT_EQ(beyond->text, "");
  EXPECT_FALSE(beyond->next);
}

TEST_F(BlockStateTest, HasALineForEachPageThatIsCountedAsStored) {
  ASSERT_EQ(store("use_dedup", "1"), "ok");
  ASSERT_EQ(store("disksize", "16M"), "ok");
  for (std::uint64_t page = 0; page < 200; page += 3) write_pages(page, 2, std::byte{1});
  for (std::uint64_t page = 300; page < 310; ++page) write_noise(page);
  ASSERT_EQ(store("recompress", "cluster=8"), "ok");
  EXPECT_EQ(whole(1000).size() / kBlockStateLineBytes, mm_stat(1) / kPageBytes);
}

}  // namespace
}  // namespace uzram
