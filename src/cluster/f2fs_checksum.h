// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_checksum.h: the checksum of f2fs, over clusters and everything else.
//
// What:   CRC-32 (IEEE, reflected) from a seed, without the usual inversions before and after.
// Proof:  f2fs_checksum_test.cc.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace uzram {

inline constexpr std::uint32_t kF2fsMagic = 0xf2f52010;

// What f2fs starts from unless it says otherwise is its magic number.
[[nodiscard]] std::uint32_t f2fs_checksum(ConstBytes bytes,
                                          std::uint32_t seed = kF2fsMagic) noexcept;

}  // namespace uzram
