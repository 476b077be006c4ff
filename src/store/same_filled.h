// SPDX-License-Identifier: Apache-2.0
// store/same_filled.h: pages that repeat one 8-byte pattern.
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>

#include "base/units.h"

namespace uzram {

// Returns: the pattern, when the whole page repeats its first 8 bytes.
inline std::optional<std::uint64_t> same_filled_pattern(PageView page) {
  std::uint64_t first = 0;
  std::uint64_t second = 0;
  std::memcpy(&first, page.data(), sizeof first);
  // Within one cache line: a look at the page's end would cost a cache miss that compression does
  // not have.
  std::memcpy(&second, page.data() + sizeof first, sizeof second);
  if (first != second) return std::nullopt;
  if (std::memcmp(page.data(), page.data() + sizeof first, kPageBytes - sizeof first) != 0)
    return std::nullopt;
  return first;
}

inline void fill_page(PageBuffer page, std::uint64_t pattern) {
  if (pattern == 0) {
    std::memset(page.data(), 0, kPageBytes);
    return;
  }
  for (std::size_t i = 0; i < kPageBytes; i += sizeof pattern) {
    std::memcpy(page.data() + i, &pattern, sizeof pattern);
  }
}

}  // namespace uzram
