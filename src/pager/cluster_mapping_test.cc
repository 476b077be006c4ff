// SPDX-License-Identifier: Apache-2.0
#include "pager/cluster_mapping.h"

#include <limits>

#include "pager/pager_file_fixture.h"

namespace uzram {
namespace {

std::unique_ptr<ClusterMapping> mapping_of(const TestClusterFile& mapped, std::uint64_t first_page,
                                           std::uint64_t pages,
                                           MapSharing sharing = MapSharing::Shared) {
  auto made = ClusterMapping::create(mapped.file, first_page * kPageBytes, pages, sharing);
  EXPECT_TRUE(made.has_value());
  return made ? std::move(*made) : nullptr;
}

TEST(ClusterMappingTest, KnowsThePagesOfEachCluster) {
  const TestClusterFile mapped(3);
  for (const std::uint64_t first_file_page : {0U, 5U, 8U, 21U}) {
    for (const std::uint64_t pages : {1U, 3U, 8U, 40U}) {
      const auto mapping = mapping_of(mapped, first_file_page, pages);
      mapping->place_at(640);
      std::uint64_t next = 640;
      for (std::uint64_t cluster = 0; cluster < 10; ++cluster) {
        const ClusterMapping::Part part = mapping->part_of(cluster);
        if (part.count == 0) continue;
        EXPECT_EQ(part.first, next) << "parts follow each other";
        EXPECT_LE(part.place + part.count, 8U);
        for (std::uint64_t i = 0; i < part.count; ++i) {
          EXPECT_EQ(mapping->cluster_of(part.first + i), cluster);
          EXPECT_EQ(mapping->file_offset_of(part.first + i),
                    (cluster * 8 + part.place + i) * kPageBytes);
        }
        next += part.count;
      }
      EXPECT_EQ(next, 640 + pages) << "and are all of it";
    }
  }
}

TEST(ClusterMappingTest, TakesUnwrittenClustersInOrderAndOnce) {
  const TestClusterFile mapped;
  const auto mapping = mapping_of(mapped, 403, 1000);
  EXPECT_FALSE(mapping->take_unwritten(0));
  for (const std::uint64_t cluster : {100U, 163U, 164U, 165U, 350U})
    mapping->note_unwritten(cluster);
  EXPECT_TRUE(mapping->is_unwritten(164));
  EXPECT_EQ(mapping->take_unwritten(101), 163U);
  EXPECT_EQ(mapping->take_unwritten(164), 164U);
  EXPECT_FALSE(mapping->is_unwritten(164));
  EXPECT_EQ(mapping->take_unwritten(166), 350U);
  EXPECT_EQ(mapping->take_unwritten(0), 100U);
  EXPECT_EQ(mapping->take_unwritten(0), 165U);
  EXPECT_FALSE(mapping->take_unwritten(0));
}

TEST(ClusterMappingTest, CollidesOnlyWhereTwoWriteToTheSamePages) {
  const TestClusterFile mapped;
  const TestClusterFile other;
  const auto one = mapping_of(mapped, 10, 10);
  EXPECT_TRUE(one->collides_with(*mapping_of(mapped, 19, 1)));
  EXPECT_TRUE(one->collides_with(*mapping_of(mapped, 0, 100)));
  EXPECT_FALSE(one->collides_with(*mapping_of(mapped, 20, 1)));
  EXPECT_FALSE(one->collides_with(*mapping_of(mapped, 0, 10)));
  EXPECT_FALSE(one->collides_with(*mapping_of(mapped, 10, 10, MapSharing::Private)));
  EXPECT_FALSE(one->collides_with(*mapping_of(other, 10, 10)));
}

TEST(ClusterMappingTest, RefusesOffsetsThatNoFileHas) {
  const TestClusterFile mapped;
  const auto code_of = [&](std::uint64_t offset, std::uint64_t pages) {
    return errno_of(ClusterMapping::create(mapped.file, offset, pages, MapSharing::Private));
  };
  EXPECT_EQ(code_of(kMostContentBytes - kPageBytes, 1), 0);
  EXPECT_EQ(code_of(kMostContentBytes - kPageBytes, 2), EINVAL);
  EXPECT_EQ(code_of(std::numeric_limits<std::uint64_t>::max() - kPageBytes + 1, 1), EINVAL);
}

}  // namespace
}  // namespace uzram
