// SPDX-License-Identifier: Apache-2.0
#include "app/map_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "control/page_map.h"

namespace uzram {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

// A disk of 64 MiB, 1 MiB to a cell, with a cell or two of each kind.
PageMap sample_map() {
  PageMap map;
  map.page_count = 16384;
  map.cell_pages = 256;
  map.cells.resize(64);
  const auto fill = [&map](std::size_t cell, PageKind kind, std::uint64_t pages,
                           std::uint64_t idle_pages, double packed_bytes) {
    map.cells[cell].pages[static_cast<std::size_t>(kind)] += pages;
    map.cells[cell].idle_pages += idle_pages;
    MapTotal& total = map.totals[static_cast<std::size_t>(kind)];
    total.pages += pages;
    total.idle_pages += idle_pages;
    total.packed_bytes += packed_bytes;
  };
  fill(0, PageKind::Packed, 256, 0, 300'000);
  fill(1, PageKind::Packed, 200, 200, 200'000);
  fill(1, PageKind::Same, 56, 0, 0);
  fill(2, PageKind::Same, 1, 0, 0);
  fill(3, PageKind::Huge, 20, 10, 20 * 4096);
  fill(4, PageKind::Huge, 20, 11, 20 * 4096);
  fill(5, PageKind::Cluster, 256, 256, 50'000);
  fill(16, PageKind::Recompressed, 128, 0, 100'000);
  fill(17, PageKind::Shared, 100, 0, 5'000.5);
  fill(17, PageKind::Packed, 99, 99, 100'000);
  fill(18, PageKind::WrittenBack, 256, 0, 0);
  fill(63, PageKind::Lost, 1, 0, 0);
  map.totals[0].pages = 16384 - 1393;
  return map;
}

Json sample_json() {
  Json json = page_map_json(sample_map());
  json["device"] = "zram0";
  return json;
}

TEST(DrawMap, ShowsALetterForEachCellAndALineForEachKind) {
  EXPECT_EQ(draw_map(sample_json(), {16, false}),
            "zram0 64M, 1M (256 pages) to a letter\n"
            "    0B PpSHhc..........\n"
            "   16M RDW.............\n"
            "   32M ................\n"
            "   48M ...............!\n"
            "  . empty             14991 pages  58.6M\n"
            "  S same-filled          57 pages   228K\n"
            "  P packed              555 pages   2.2M in 585.9K, 54 % idle\n"
            "  R recompressed        128 pages   512K in  97.7K\n"
            "  C cluster             256 pages     1M in  48.8K, 100 % idle\n"
            "  H huge                 40 pages   160K in   160K, 52 % idle\n"
            "  D shared              100 pages   400K in   4.9K\n"
            "  W written-back        256 pages     1M\n"
            "  ! lost                  1 pages     4K\n"
            "  small letters: most of it is idle\n");
}

TEST(DrawMap, SaysTheSameWithColours) {
  const std::string plain = draw_map(sample_json(), {16, false});
  std::string text = draw_map(sample_json(), {16, true});
  EXPECT_THAT(text, HasSubstr("    0B \x1b[32mP\x1b[0m\x1b[2;32mp\x1b[0m\x1b[34mS\x1b[0m"));
  EXPECT_THAT(text, HasSubstr("\x1b[90m..........\x1b[0m\n")) << "a run is painted at once";
  for (std::size_t at = 0; (at = text.find('\x1b', at)) != std::string::npos;) {
    text.erase(at, text.find('m', at) + 1 - at);
  }
  EXPECT_EQ(text, plain);
}

TEST(DrawMap, OfAnEmptyDeviceHasNothingButDots) {
  PageMap map;
  map.page_count = 5;
  map.cell_pages = 2;
  map.cells.resize(3);
  map.totals[0].pages = 5;
  Json json = page_map_json(map);
  json["device"] = "zram7";
  EXPECT_EQ(draw_map(json, {2, false}),
            "zram7 20K, 8K (2 pages) to a letter\n"
            "    0B ..\n"
            "   16K .\n"
            "  . empty                 5 pages    20K\n");
}

TEST(DrawMap, KnowsEveryKindOfPage) {
  PageMap map;
  map.page_count = kPageKindCount;
  map.cell_pages = 1;
  map.cells.resize(kPageKindCount);
  for (std::size_t kind = 0; kind < kPageKindCount; ++kind) {
    map.cells[kind].pages[kind] = 1;
    map.totals[kind].pages = 1;
  }
  Json json = page_map_json(map);
  json["device"] = "zram0";
  EXPECT_THAT(draw_map(json, {64, false}), HasSubstr("    0B .SPRCHDW!\n"));
}

}  // namespace
}  // namespace uzram
