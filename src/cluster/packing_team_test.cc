// SPDX-License-Identifier: Apache-2.0
#include "cluster/packing_team.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "codec/page_kinds.h"

namespace uzram {
namespace {

class PackingTeamTest : public testing::Test {
 protected:
  static std::unique_ptr<PackingTeam> team_of(const ClusterOptions& options, unsigned threads) {
    return PackingTeam::make(options, threads).value();
  }
  // Clusters of all kinds of content, the last one partial.
  std::vector<PendingCluster> clusters(const ClusterOptions& options, std::size_t count) {
    content_.resize(count * options.cluster_bytes());
    std::vector<PendingCluster> made(count);
    for (std::size_t i = 0; i < count; ++i) {
      const MutableBytes place =
          MutableBytes(content_).subspan(i * options.cluster_bytes(), options.cluster_bytes());
      PageMaker(i).fill(kPageKinds[i % kPageKinds.size()], place);
      made[i] = {1000 + i, place};
    }
    made.back().content = made.back().content.first(kPageBytes);
    made.back().is_whole = false;
    return made;
  }
  // Has all of them packed, and looks at each that comes.
  static void expect_all(const ClusterOptions& options, unsigned threads,
                         std::span<const PendingCluster> pending) {
    const auto team = team_of(options, threads);
    auto unpacker = ClusterUnpacker::make(options.algorithm).value();
    std::vector<std::byte> content(options.cluster_bytes());
    std::set<std::uint64_t> seen;
    bool is_inside = false;  // Chunks come one at a time.
    team->run(pending, [&](std::span<PackedCluster> chunk) {
      EXPECT_FALSE(std::exchange(is_inside, true));
      for (const PackedCluster& each : chunk) {
        EXPECT_TRUE(seen.insert(each.pending->cluster).second);
        EXPECT_EQ(each.entry.block_count * kPageBytes, each.blocks.size());
        EXPECT_EQ(each.entry.checksum, entry_checksum(each.pending->cluster, each.blocks));
        const MutableBytes out = MutableBytes(content).first(each.pending->content.size());
        if (each.entry.kind == EntryKind::Packed) {
          EXPECT_TRUE(each.pending->is_whole);
          EXPECT_TRUE(unpacker.unpack(each.blocks, out));
        } else {
          EXPECT_EQ(each.blocks.data(), each.pending->content.data());
          std::copy(each.blocks.begin(), each.blocks.end(), out.begin());
        }
        EXPECT_TRUE(std::equal(out.begin(), out.end(), each.pending->content.begin()));
      }
      is_inside = false;
    });
    EXPECT_EQ(seen.size(), pending.size());
  }

  std::vector<std::byte> content_;
};

using PackingTeamThreadTest = PackingTeamTest;

TEST_F(PackingTeamTest, HandsOnEveryClusterOnce) {
  const ClusterOptions options{.log_pages = 4};
  expect_all(options, 1, clusters(options, 21));
}

TEST_F(PackingTeamThreadTest, HandsOnEveryClusterOnce) {
  for (const unsigned log_pages : {2U, 8U}) {
    const ClusterOptions options{.log_pages = log_pages};
    const std::size_t count = log_pages == 8 ? 12 : 150;
    expect_all(options, 4, clusters(options, count));
  }
}

TEST_F(PackingTeamThreadTest, SharesOutFewClusters) {
  const ClusterOptions options;
  for (const std::size_t count : {1U, 2U, 5U}) expect_all(options, 4, clusters(options, count));
}

TEST_F(PackingTeamTest, PacksNothingWhenNothingIsThere) {
  team_of({}, 2)->run({}, [](std::span<PackedCluster>) { FAIL(); });
}

TEST_F(PackingTeamTest, LaysPackedClustersOneBehindTheOther) {
  const ClusterOptions options;
  const auto pending = clusters(options, 30);
  team_of(options, 2)->run(pending, [&](std::span<PackedCluster> chunk) {
    const std::byte* end = nullptr;
    for (const PackedCluster& each : chunk) {
      if (each.entry.kind != EntryKind::Packed) continue;
      EXPECT_TRUE(end == nullptr || end == each.blocks.data());
      end = each.blocks.data() + each.blocks.size();
    }
  });
}

}  // namespace
}  // namespace uzram
