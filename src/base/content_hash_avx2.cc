// SPDX-License-Identifier: Apache-2.0
// The same functions compiled for AVX2 (see CMakeLists.txt), called only where the processor has
// it.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/content_hash.h"

namespace uzram {

ContentHash content_hash_avx2() {
  return {
      [](const void* data, std::size_t bytes) -> std::uint64_t { return XXH3_64bits(data, bytes); },
      [](const void* data, std::size_t bytes, std::uint64_t seed) -> std::uint64_t {
        return XXH3_64bits_withSeed(data, bytes, seed);
      }};
}

}  // namespace uzram
