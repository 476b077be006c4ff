// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(Store, KeepsAPage) {
  StoreConfig config;
  config.disk_pages = 16;
  config.codecs[0].info = find_codec("lz4");
  auto store = Store::create(config, 2);
  ASSERT_TRUE(store.has_value());
  std::array<std::byte, kPageBytes> page{};
  for (std::size_t i = 0; i < kPageBytes; ++i) page[i] = static_cast<std::byte>(i / 7);
  ASSERT_TRUE((*store)->write({3}, page).has_value());
  std::array<std::byte, kPageBytes> out{};
  ASSERT_TRUE((*store)->read({3}, out).has_value());
  EXPECT_EQ(page, out);
  (*store)->check_invariants();
}

}  // namespace
}  // namespace uzram
