// SPDX-License-Identifier: Apache-2.0
#include "base/content_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace uzram {

ContentHash content_hash_avx2();  // content_hash_avx2.cc

ContentHash choose_content_hash() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return content_hash_avx2();
#endif
  return {
      [](const void* data, std::size_t bytes) -> std::uint64_t { return XXH3_64bits(data, bytes); },
      [](const void* data, std::size_t bytes, std::uint64_t seed) -> std::uint64_t {
        return XXH3_64bits_withSeed(data, bytes, seed);
      }};
}

}  // namespace uzram
