// SPDX-License-Identifier: Apache-2.0
// What a mapping's faults and a mount's requests do most often asks for no memory.
#include "base/counted_malloc.h"
#include "cluster/cluster_file_fixture.h"

namespace uzram {
namespace {

constexpr std::size_t kClusters = 32;
constexpr std::size_t kClusterBytes = kPageBytes << 2;

class ClusterFileAllocation : public testing::Test {
 protected:
  void SetUp() override {
    if (!UZ_COUNTS_ALLOCATIONS) GTEST_SKIP() << "a sanitizer owns malloc";
  }
  // With room for so many unpacked clusters, some of which it has read.
  static std::unique_ptr<ClusterFile> file_of(std::size_t buffers) {
    const auto disk = std::make_shared<MemoryDisk>();
    const ClusterFileLimits limits{.cache_bytes = buffers * kClusterBytes};
    auto file = ClusterFile::create(std::make_unique<MemoryStorage>(disk), {}, limits).value();
    EXPECT_TRUE(file->write(0, content_of(PageKind::Text, kClusters * kClusterBytes)));
    EXPECT_TRUE(file->sync());
    read_pages(*file);
    return file;
  }
  // A page of each cluster, and another.
  static void read_pages(ClusterFile& file) {
    std::array<std::byte, kPageBytes> page;
    for (std::uint64_t i = 0; i < 2 * kClusters; ++i)
      ASSERT_TRUE(file.read((i * 7 % kClusters * 4 + i % 4) * kPageBytes, page));
  }
};

TEST_F(ClusterFileAllocation, DoesNotHappenInReadsFromBuffers) {
  const auto file = file_of(kClusters);
  const std::size_t before = allocation_count;
  read_pages(*file);
  EXPECT_EQ(allocation_count, before);
}

TEST_F(ClusterFileAllocation, DoesNotHappenInReadsThatTakeBuffersOfOthers) {
  const auto file = file_of(3);
  const std::size_t before = allocation_count;
  read_pages(*file);
  EXPECT_EQ(allocation_count, before);
}

TEST_F(ClusterFileAllocation, DoesNotHappenInWritesToBuffers) {
  const auto file = file_of(kClusters);
  const ContentBytes bytes(5000, std::byte{3});
  ASSERT_TRUE(file->write(100, bytes));
  const std::size_t before = allocation_count;
  for (std::uint64_t offset = 0; offset < 500'000; offset += 7777)
    ASSERT_TRUE(file->write(offset, bytes));
  EXPECT_EQ(allocation_count, before);
}

// Others who read and write meanwhile do not take the map away: without a begin they would, here.
TEST_F(ClusterFileAllocation, DoesNotHappenInReadsOfWholeClustersBetweenBeginAndEnd) {
  constexpr std::uint64_t kMapBlocks = 100;  // 600 KB of them.
  constexpr std::uint64_t kSpread = kMapFanout * kClusterBytes;
  const auto disk = std::make_shared<MemoryDisk>();
  const ClusterFileLimits limits{.cache_bytes = 0};
  const auto file = ClusterFile::create(std::make_unique<MemoryStorage>(disk), {}, limits).value();
  const ContentBytes cluster = content_of(PageKind::Text, kClusterBytes);
  for (std::uint64_t i = 0; i < kMapBlocks; ++i) ASSERT_TRUE(file->write(i * kSpread, cluster));
  ASSERT_TRUE(file->write(kMapBlocks * kSpread, ConstBytes(cluster).first(100)));
  ASSERT_TRUE(file->sync());
  const auto allocations_of_reads = [&](std::uint64_t others) {
    std::array<std::byte, 1> byte;
    for (std::uint64_t i = 0; i < kMapBlocks; ++i)
      EXPECT_TRUE(file->read((i * others % kMapBlocks) * kSpread, byte));
    EXPECT_TRUE(file->write(0, cluster));
    EXPECT_TRUE(file->sync());
    ContentBytes seen(kClusterBytes);
    const std::size_t before = allocation_count;
    for (std::uint64_t i = 0; i <= kMapBlocks; ++i) {
      EXPECT_TRUE(file->read_cluster(i * kMapFanout, seen));
      EXPECT_EQ(seen == cluster, i < kMapBlocks);
    }
    EXPECT_TRUE(std::equal(seen.begin(), seen.begin() + 100, cluster.begin()));
    EXPECT_EQ(seen[100], std::byte{0});
    return allocation_count - before;
  };
  file->begin_cluster_reads(0, kMapBlocks * kMapFanout + 1);
  EXPECT_EQ(allocations_of_reads(7), 0U);
  file->end_cluster_reads();
  EXPECT_GT(allocations_of_reads(7), 0U);
}

TEST_F(ClusterFileAllocation, IsSeenWhenAFileIsMade) {
  const std::size_t before = allocation_count;
  const auto file = file_of(2);
  EXPECT_GT(allocation_count, before + 4);
}

}  // namespace
}  // namespace uzram
