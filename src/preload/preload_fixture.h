// SPDX-License-Identifier: Apache-2.0
// preload/preload_fixture.h: a small paged space for the tests of this room.
#pragma once

#include <gtest/gtest.h>

#include <cstring>

#include "preload/paged_space.h"

namespace uzram {

inline std::unique_ptr<PagedSpace> make_space(std::uint64_t limit_bytes = std::uint64_t{16} << 20) {
  PagerConfig config;
  config.memory_limit_bytes = limit_bytes;
  config.address_bytes = std::uint64_t{1} << 30;
  auto space = PagedSpace::create(config);
  EXPECT_TRUE(space) << "errno " << (space ? 0 : space.error().code);
  return space ? std::move(*space) : nullptr;
}

inline bool is_all(const std::byte* start, std::uint64_t bytes, int value) {
  for (std::uint64_t i = 0; i < bytes; ++i)
    if (start[i] != static_cast<std::byte>(value)) return false;
  return true;
}

}  // namespace uzram
