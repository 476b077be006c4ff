// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_estimate.h"

#include <gtest/gtest.h>

#include "codec/page_kinds.h"

namespace uzram {
namespace {

std::vector<std::byte> estimated_content(PageKind kind, std::size_t bytes) {
  std::vector<std::byte> made(bytes);
  PageMaker(2).fill(kind, made);
  return made;
}

TEST(ClusterEstimate, CountsWhatWouldBeStored) {
  auto estimate = ClusterEstimate::make({.log_pages = 3}).value();
  estimate.add(estimated_content(PageKind::Period7, 2 * (kPageBytes << 3)));
  EXPECT_EQ(estimate.counts().raw_blocks, 16U);
  EXPECT_EQ(estimate.counts().stored_blocks, 2U);
  EXPECT_EQ(estimate.counts().packed_clusters, 2U);
  estimate.add(estimated_content(PageKind::Random, kPageBytes << 3));
  EXPECT_EQ(estimate.counts().stored_blocks, 10U);
  EXPECT_EQ(estimate.counts().raw_clusters, 1U);
}

TEST(ClusterEstimate, LeavesPartialClustersRaw) {
  auto estimate = ClusterEstimate::make({}).value();
  estimate.add(estimated_content(PageKind::Period7, 4 * kPageBytes + 1));
  EXPECT_EQ(estimate.counts().raw_blocks, 5U);
  EXPECT_EQ(estimate.counts().stored_blocks, 2U);
  estimate.add({});
  EXPECT_EQ(estimate.counts().raw_clusters, 1U);
}

}  // namespace
}  // namespace uzram
