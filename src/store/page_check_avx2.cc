// SPDX-License-Identifier: Apache-2.0
// The same function compiled for AVX2 (see CMakeLists.txt), called only where the processor has it.
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstdint>

namespace uzram {

std::uint64_t page_check_avx2(const void* data, std::size_t bytes) {
  return XXH3_64bits(data, bytes);
}

}  // namespace uzram
