// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/plain_head.h"

#include <gtest/gtest.h>

#include <string_view>

namespace uzram {
namespace {

constexpr std::string_view kAlmost("uzramcf", 7);

ConstBytes head_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

PlainHead head_of(std::string_view text) {
  PlainHead head;
  head.write(0, head_bytes(text));
  return head;
}

TEST(PlainHeadTest, SevenBytesAreNone) {
  EXPECT_FALSE(head_of(kAlmost).is_of_a_cluster_file());
  EXPECT_FALSE(head_of(kAlmost).is_whole());
}

TEST(PlainHeadTest, AWriteBehindTheEndLeavesAZero) {
  PlainHead head = head_of(kAlmost);
  head.write(100, head_bytes("x"));
  EXPECT_TRUE(head.is_of_a_cluster_file());
}

TEST(PlainHeadTest, ALargerSizeLeavesAZero) {
  PlainHead head = head_of(kAlmost);
  head.set_size(8);
  EXPECT_TRUE(head.is_of_a_cluster_file());
  head.set_size(7);
  EXPECT_FALSE(head.is_of_a_cluster_file());
}

TEST(PlainHeadTest, AHoleIsAZero) {
  PlainHead head = head_of("uzramcfX and more");
  EXPECT_FALSE(head.is_of_a_cluster_file());
  head.zero(7, 4096);
  EXPECT_TRUE(head.is_of_a_cluster_file());
}

TEST(PlainHeadTest, BytesBehindASmallerSizeDoNotComeBack) {
  PlainHead head = head_of("uzramcf");
  head.set_size(3);
  head.set_size(20);
  EXPECT_FALSE(head.is_of_a_cluster_file());
}

}  // namespace
}  // namespace uzram
