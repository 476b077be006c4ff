// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_options.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(ClusterOptions, ReadTheWordsOfTheMountOption) {
  for (const std::string text :
       {"lzo", "lz4", "lz4:3", "lz4:16", "zstd", "zstd:1", "zstd:22", "lzo-rle"}) {
    ClusterOptions options;
    ASSERT_TRUE(read_cluster_algorithm(text, options)) << text;
    EXPECT_TRUE(is_valid(options));
    EXPECT_EQ(cluster_algorithm_text(options), text);
  }
}

TEST(ClusterOptions, RefuseOtherWordsAndStayAsTheyAre) {
  ClusterOptions options{.algorithm = ClusterAlgorithm::Zstd, .level = 5};
  const ClusterOptions before = options;
  for (const std::string_view text :
       {"", "lz", "lz4hc", "LZ4", "lz4:", "lz4:2", "lz4:17", "lz4:1x", "lz4: 3", "zstd:0",
        "zstd:-1", "zstd:23", "zstd:99999999999", "lzo:1", "lzo-rle:0", "deflate"}) {
    EXPECT_FALSE(read_cluster_algorithm(text, options)) << text;
    EXPECT_EQ(options, before);
  }
}

TEST(ClusterOptions, HaveTheLimitsOfTheKernel) {
  EXPECT_TRUE(is_valid({.log_pages = 2}));
  EXPECT_TRUE(is_valid({.log_pages = 8}));
  EXPECT_FALSE(is_valid({.log_pages = 1}));
  EXPECT_FALSE(is_valid({.log_pages = 9}));
  EXPECT_FALSE(is_valid({.algorithm = static_cast<ClusterAlgorithm>(4)}));
  EXPECT_FALSE(is_valid({.algorithm = ClusterAlgorithm::Lzo, .level = 1}));
  EXPECT_FALSE(is_valid({.algorithm = ClusterAlgorithm::Lz4, .level = 2}));
  EXPECT_EQ((ClusterOptions{.log_pages = 8}).cluster_bytes(), 1024U * 1024);
  EXPECT_EQ((ClusterOptions{.log_pages = 2}).page_count(), 4U);
}

}  // namespace
}  // namespace uzram
