// SPDX-License-Identifier: Apache-2.0
#include "pager/region_table.h"

#include <map>
#include <random>

#include "pager/pager_fixture.h"

namespace uzram {
namespace {

Result<std::uint64_t> add_anonymous(RegionTable& table, std::uint64_t pages) {
  return table.add(pages, PageKindOf::Anonymous, AccessHint::Normal);
}

TEST(RegionTable, FindsTheRegionOfEachOfItsPages) {
  auto table = RegionTable::create(16).value();
  const std::uint64_t one = add_anonymous(table, 65).value();
  const std::uint64_t other = add_anonymous(table, 1).value();
  EXPECT_EQ(table.used_clusters(), 3U);
  EXPECT_EQ(table.region_of(one + 64)->first_page, one);
  EXPECT_EQ(table.region_of(one + 64)->page_count, 65U);
  EXPECT_EQ(table.region_of(other)->first_page, other);
  EXPECT_EQ(table.region_of(other + 64), nullptr);
  table.remove(one);
  EXPECT_EQ(table.region_of(one), nullptr);
  EXPECT_EQ(table.region_of(other)->first_page, other);
}

TEST(RegionTable, RegionsNeverOverlapAndHolesAreUsedAgain) {
  constexpr std::uint64_t kClusters = 64;
  auto table = RegionTable::create(kClusters).value();
  std::map<std::uint64_t, std::uint64_t> regions;
  Random random(5);
  for (int step = 0; step < 5000; ++step) {
    if (random.below(2) == 0 && !regions.empty()) {
      const auto gone = std::next(regions.begin(), static_cast<long>(random.below(regions.size())));
      table.remove(gone->first);
      regions.erase(gone);
    } else if (const auto first = add_anonymous(table, 1 + random.below(600))) {
      regions[*first] = table.region_of(*first)->page_count;
    }
    std::uint64_t used = 0;
    std::uint64_t end = 0;
    for (const auto& [first, pages] : regions) {
      ASSERT_GE(first, end);
      end = first + round_up(pages, kClusterPages);
      used += round_up(pages, kClusterPages) / kClusterPages;
    }
    ASSERT_EQ(table.used_clusters(), used);
  }
  while (!regions.empty()) {
    table.remove(regions.begin()->first);
    regions.erase(regions.begin());
  }
  EXPECT_TRUE(add_anonymous(table, kClusters * kClusterPages).has_value())
      << "all holes have grown together";
}

TEST(RegionTable, SaysWhenThereIsNoPlace) {
  auto table = RegionTable::create(4).value();
  EXPECT_EQ(errno_of(add_anonymous(table, 257)), ENOMEM);
  EXPECT_TRUE(add_anonymous(table, 256).has_value());
  EXPECT_EQ(errno_of(add_anonymous(table, 1)), ENOMEM);
}

}  // namespace
}  // namespace uzram
