// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_buffers.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

constexpr std::size_t kSmallCluster = kPageBytes << 2;

TEST(ClusterBuffers, ForgetTheOneThatWasNotUsedForLongest) {
  ClusterBuffers buffers(kSmallCluster, 3 * kSmallCluster);
  for (const std::uint64_t cluster : {1, 2, 3}) EXPECT_NE(buffers.add(cluster), nullptr);
  EXPECT_NE(buffers.find(1), nullptr);
  ASSERT_NE(buffers.add(4), nullptr);
  EXPECT_EQ(buffers.find(2), nullptr);
  EXPECT_NE(buffers.find(1), nullptr);
  EXPECT_EQ(buffers.find(4)->content.size(), kSmallCluster);
  EXPECT_EQ(buffers.count(), 3U);
}

TEST(ClusterBuffers, KeepWhatHasChanged) {
  ClusterBuffers buffers(kSmallCluster, 0);
  buffers.add(9)->has_changed = true;
  ASSERT_NE(buffers.add(5), nullptr);
  ASSERT_NE(buffers.add(6), nullptr);
  EXPECT_EQ(buffers.find(5), nullptr);
  buffers.find(6)->has_changed = true;
  EXPECT_EQ(buffers.add(7), nullptr);
  const auto changed = buffers.changed();
  ASSERT_EQ(changed.size(), 2U);
  EXPECT_EQ(changed[0]->cluster, 6U);
  EXPECT_EQ(changed[1]->cluster, 9U);
}

TEST(ClusterBuffers, ForgetOnRequest) {
  ClusterBuffers buffers(kSmallCluster, 5 * kSmallCluster);
  for (const std::uint64_t cluster : {1, 2, 3, 4}) EXPECT_NE(buffers.add(cluster), nullptr);
  buffers.forget(2);
  buffers.forget(2);
  buffers.forget_from(4);
  EXPECT_EQ(buffers.count(), 2U);
  EXPECT_NE(buffers.find(1), nullptr);
  EXPECT_NE(buffers.find(3), nullptr);
}

}  // namespace
}  // namespace uzram
