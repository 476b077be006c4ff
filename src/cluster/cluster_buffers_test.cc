// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_buffers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

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

TEST(ClusterBuffers, GiveAwayNoMoreThanIsShown) {
  ClusterBuffers buffers(kSmallCluster, 3 * kSmallCluster);
  ClusterBuffer& buffer = *buffers.add(7);
  std::fill(buffer.content.begin(), buffer.content.end(), std::byte{5});
  std::array<std::byte, 10> out{};
  EXPECT_FALSE(buffers.read(7, 0, out)) << "nothing is ready yet";
  buffers.show(buffer, 100);
  EXPECT_TRUE(buffers.read(7, 90, out));
  EXPECT_EQ(out.back(), std::byte{5});
  EXPECT_FALSE(buffers.read(7, 91, out));
  EXPECT_FALSE(buffers.read(8, 0, out));
  buffers.hide(buffer);
  EXPECT_FALSE(buffers.read(7, 0, out));
}

TEST(ClusterBuffers, CountAReadAsUse) {
  ClusterBuffers buffers(kSmallCluster, 2 * kSmallCluster);
  buffers.show(*buffers.add(1), kSmallCluster);
  buffers.show(*buffers.add(2), kSmallCluster);
  std::array<std::byte, 10> out{};
  EXPECT_TRUE(buffers.read(1, 0, out));
  ASSERT_NE(buffers.add(3), nullptr);
  EXPECT_FALSE(buffers.read(2, 0, out));
  EXPECT_TRUE(buffers.read(1, 0, out));
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
