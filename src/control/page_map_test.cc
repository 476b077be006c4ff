// SPDX-License-Identifier: Apache-2.0
#include "control/page_map.h"

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>
#include <random>

#include "control/attribute_fixture.h"

namespace uzram {
namespace {

class PageMapTest : public AttributeTest {
 protected:
  void write_noise(std::uint64_t first, std::uint64_t count) {
    std::mt19937_64 noise(first);
    std::vector<std::uint64_t> words(count * kPageBytes / sizeof(std::uint64_t));
    for (std::uint64_t& word : words) word = noise();
    ASSERT_TRUE(device_.write(first * kPageBytes, std::as_bytes(std::span(words))));
  }
  void write_pattern(std::uint64_t first, std::uint64_t count) {
    const std::vector<std::byte> bytes(count * kPageBytes, std::byte{0x55});
    ASSERT_TRUE(device_.write(first * kPageBytes, bytes));
  }
  PageMap map(std::uint64_t most_cells = 64) {
    InputResult<PageMap> made = make_page_map(device_, most_cells);
    EXPECT_TRUE(made);
    return std::move(*made);
  }
  // Cells and totals say the same, and cover the device.
  static void expect_whole(const PageMap& map) {
    std::array<std::uint64_t, kPageKindCount> pages{};
    std::uint64_t idle = 0;
    for (const MapCell& cell : map.cells) {
      for (std::size_t kind = 0; kind < kPageKindCount; ++kind) pages[kind] += cell.pages[kind];
      idle += cell.idle_pages;
    }
    std::uint64_t all = 0;
    for (std::size_t kind = 0; kind < kPageKindCount; ++kind) {
      EXPECT_EQ(pages[kind], map.totals[kind].pages) << kind;
      all += pages[kind];
      idle -= map.totals[kind].idle_pages;
    }
    EXPECT_EQ(all, map.page_count);
    EXPECT_EQ(idle, 0U);
  }
};

std::uint64_t pages(const PageMap& map, PageKind kind) {
  return map.totals[static_cast<std::size_t>(kind)].pages;
}

TEST_F(PageMapTest, CountsEveryPageOnce) {
  ASSERT_EQ(store("comp_algorithm", "lz4"), "ok");
  ASSERT_EQ(store("recomp_algorithm", "algo=zstd"), "ok");
  ASSERT_EQ(store("disksize", "4M"), "ok");
  write_pages(0, 100, std::byte{7});
  write_noise(200, 10);
  write_pattern(300, 20);
  ASSERT_EQ(store("recompress", "type=huge"), "ok");  // In vain.
  ASSERT_EQ(store("idle", "all"), "ok");
  std::vector<std::byte> read(64 * kPageBytes);
  ASSERT_TRUE(device_.read(0, read));
  ASSERT_EQ(store("recompress", "type=idle cluster=4"), "ok");
  ASSERT_TRUE(device_.discard(0, 4 * kPageBytes));
  const PageMap drawn = map();
  expect_whole(drawn);
  EXPECT_EQ(drawn.page_count, 1024U);
  EXPECT_EQ(drawn.cell_pages, 16U);
  EXPECT_EQ(pages(drawn, PageKind::Packed), 60U);
  EXPECT_EQ(pages(drawn, PageKind::Cluster), 36U);
  EXPECT_EQ(pages(drawn, PageKind::Huge), 10U);
  EXPECT_EQ(pages(drawn, PageKind::Same), 20U);
  EXPECT_EQ(pages(drawn, PageKind::Empty), 1024U - 126U);
  EXPECT_EQ(drawn.totals[static_cast<std::size_t>(PageKind::Huge)].idle_pages, 10U);
  ASSERT_EQ(store("recompress", "priority=1"), "ok");
  EXPECT_EQ(pages(map(), PageKind::Recompressed), 60U);
}

TEST_F(PageMapTest, PackedBytesAddUpToWhatMmStatSays) {
  ASSERT_EQ(store("use_dedup", "1"), "ok");
  ASSERT_EQ(store("disksize", "4M"), "ok");
  for (std::uint64_t page = 0; page < 300; ++page) {
    write_pages(page, 1, static_cast<std::byte>(page % 50));
  }
  write_noise(400, 16);
  ASSERT_EQ(store("idle", "all"), "ok");
  std::vector<std::byte> read(64 * kPageBytes);
  ASSERT_TRUE(device_.read(0, read));
  ASSERT_EQ(store("recompress", "type=idle cluster=8"), "ok");
  const PageMap drawn = map();
  expect_whole(drawn);
  double sum = 0;
  for (const MapTotal& total : drawn.totals) sum += total.packed_bytes;
  EXPECT_NEAR(sum, static_cast<double>(mm_stat(2)), 1);
}

TEST_F(PageMapTest, CellsArePowersOfTwoAndAsManyAsFit) {
  const std::tuple<const char*, std::uint64_t, std::uint64_t, std::size_t> cases[] = {
      {"4K", 1, 1, 1},         {"4K", 65536, 1, 1},        {"40K", 10, 1, 10},
      {"40K", 9, 2, 5},        {"40K", 4, 4, 3},           {"1G", 1000, 512, 512},
      {"1G", 1024, 256, 1024}, {"100G", 1024, 32768, 800}, {"100G", 1, 1U << 25, 1}};
  for (const auto& [size, most_cells, cell_pages, cell_count] : cases) {
    ASSERT_EQ(store("disksize", size), "ok");
    const PageMap drawn = map(most_cells);
    EXPECT_EQ(drawn.cell_pages, cell_pages) << size;
    EXPECT_EQ(drawn.cells.size(), cell_count) << size;
    expect_whole(drawn);
    ASSERT_EQ(store("reset", "1"), "ok");
  }
}

TEST_F(PageMapTest, RefusesWhatItCannotDraw) {
  EXPECT_EQ(make_page_map(device_, 10).error().code, EINVAL);
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_EQ(make_page_map(device_, 0).error().code, EINVAL);
  EXPECT_EQ(make_page_map(device_, kMostMapCells + 1).error().code, EINVAL);
}

TEST_F(PageMapTest, JsonLeavesOutWhatHoldsNothing) {
  ASSERT_EQ(store("disksize", "64K"), "ok");
  write_pattern(5, 2);
  write_noise(8, 1);
  ASSERT_EQ(store("idle", "all"), "ok");
  const nlohmann::json json = page_map_json(map(4));
  EXPECT_EQ(json["pages"], 16);
  EXPECT_EQ(json["cell_pages"], 4);
  EXPECT_EQ(json["cells"].dump(), R"([{"empty":2,"first_page":4,"same-filled":2},)"
                                  R"({"empty":3,"first_page":8,"huge":1,"idle_pages":1}])");
  EXPECT_EQ(json["kinds"]["huge"].dump(), R"({"idle_pages":1,"packed_bytes":4096,"pages":1})");
  EXPECT_EQ(json["kinds"]["empty"]["pages"], 13);
  EXPECT_EQ(json["kinds"].size(), kPageKindCount);
}

}  // namespace
}  // namespace uzram
