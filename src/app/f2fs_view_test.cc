// SPDX-License-Identifier: Apache-2.0
#include "app/f2fs_view.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "app/f2fs_image.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

TEST(F2fsView, ShowsAnEntryAsLsDoes) {
  F2fsInode inode;
  inode.mode = S_IFDIR | S_ISVTX | 0755;
  inode.link_count = 2;
  inode.uid = 10;
  inode.size_bytes = 4096;
  inode.modify_time.seconds = 1'000'000'000;
  EXPECT_EQ(long_entry("folder", inode),
            "drwxr-xr-t   2    10     0       4096 2001-09-09 01:46 folder");
  inode.mode = S_IFREG | S_ISUID | 0640;
  inode.modify_time.seconds = INT64_MIN;
  EXPECT_EQ(long_entry("a\x1b[2J\n", inode),
            "-rwSr-----   2    10     0       4096 no time a\\x1b[2J\\x0a");
}

TEST(F2fsView, ShowsHowAClusterLies) {
  const ClusterOptions options{.has_checksum = true};
  EXPECT_EQ(cluster_line(3, options, {}, {}), "3 hole 0 of 4 blocks");
  EXPECT_EQ(cluster_line(3, options, {.blocks = {7, 0, 9, 0}}, {}), "3 raw 2 of 4 blocks");
  std::vector<std::byte> packed(kPageBytes);
  const F2fsCluster cluster{.is_packed = true, .blocks = {5000}};
  EXPECT_EQ(cluster_line(0, options, cluster, packed), "0 packed 1 of 4 blocks at 5000, DAMAGED");
  store_little(packed, 0, std::uint32_t{1000});
  EXPECT_EQ(cluster_line(0, options, cluster, packed),
            "0 packed 1 of 4 blocks at 5000, 1000 bytes, checksum WRONG");
}

TEST(F2fsView, ShowsEstimates) {
  EXPECT_EQ(estimate_line(
                {.algorithm = ClusterAlgorithm::Zstd, .level = 3, .log_pages = 4},
                {.raw_blocks = 1000, .stored_blocks = 400, .packed_clusters = 3, .raw_clusters = 1},
                false),
            "zstd:3         64K       1.6M   60.0%      75.0%\n");
  EXPECT_EQ(estimate_line({}, {}, true), "lz4            16K          0    0.0%       0.0%\n");
}

TEST(F2fsView, ShowsCompressionOfFilesThatHaveIt) {
  F2fsInode inode;
  EXPECT_EQ(inode_text(inode).find("compression"), std::string::npos);
  inode.is_compressed = true;
  inode.cluster = {.algorithm = ClusterAlgorithm::LzoRle, .log_pages = 3};
  inode.saved_blocks = 5;
  EXPECT_NE(inode_text(inode).find("compression: lzo-rle, clusters of 32K, without checksums\n"
                                   "saved: 5 blocks, reserved for rewriting\n"),
            std::string::npos);
}

}  // namespace
}  // namespace uzram
