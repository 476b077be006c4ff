// SPDX-License-Identifier: Apache-2.0
// store/page_check.h: the check behind every packed page.
//
// What:   24 bits of XXH3 over the packed bytes, stored in the 3 bytes behind them, verified before
//         every decompression. One damaged page in 16 million passes; the codec's own checks come
//         on top.
// Laws:   7.
#pragma once

#include <cstdint>

#include "base/content_hash.h"
#include "base/units.h"

namespace uzram {

inline constexpr std::size_t kPageCheckBytes = 3;

using PageCheckFunction = decltype(ContentHash::plain);

[[nodiscard]] inline PageCheckFunction choose_page_check() { return choose_content_hash().plain; }

inline void store_page_check(std::byte* place, std::uint64_t check) {
  for (std::size_t i = 0; i < kPageCheckBytes; ++i)
    place[i] = static_cast<std::byte>(check >> (8 * i));
}

[[nodiscard]] inline bool matches_page_check(const std::byte* place, std::uint64_t check) {
  std::uint64_t stored = 0;
  for (std::size_t i = 0; i < kPageCheckBytes; ++i)
    stored |= static_cast<std::uint64_t>(place[i]) << (8 * i);
  return stored == (check & 0xffffff);
}

}  // namespace uzram
