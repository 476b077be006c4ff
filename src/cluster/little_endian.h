// SPDX-License-Identifier: Apache-2.0
// cluster/little_endian.h: integers as they lie in files, least byte first, at any address.
//
// What:   load_little reads one out of bytes, store_little writes one into them.
#pragma once

#include <concepts>
#include <cstddef>

#include "base/check.h"
#include "base/units.h"

namespace uzram {

// Requires: the bytes from `offset` on are there.
template <std::unsigned_integral Word>
[[nodiscard]] constexpr Word load_little(ConstBytes bytes, std::size_t offset) {
  UZ_CHECK(offset <= bytes.size() && bytes.size() - offset >= sizeof(Word));
  Word value = 0;
  for (std::size_t i = 0; i < sizeof(Word); ++i) {
    const auto byte = std::to_integer<Word>(bytes[offset + i]);
    value = static_cast<Word>(value | static_cast<Word>(byte << (8 * i)));
  }
  return value;
}

template <std::unsigned_integral Word>
constexpr void store_little(MutableBytes bytes, std::size_t offset, Word value) {
  UZ_CHECK(offset <= bytes.size() && bytes.size() - offset >= sizeof(Word));
  for (std::size_t i = 0; i < sizeof(Word); ++i)
    bytes[offset + i] = static_cast<std::byte>(value >> (8 * i));
}

}  // namespace uzram
