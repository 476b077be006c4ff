// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_checksum.h"

#include <libdeflate.h>

namespace uzram {

std::uint32_t f2fs_checksum(ConstBytes bytes, std::uint32_t seed) noexcept {
  // The library inverts what it is given and what it returns, and takes null for "start anew".
  if (bytes.empty()) return seed;
  return ~libdeflate_crc32(~seed, bytes.data(), bytes.size());
}

}  // namespace uzram
