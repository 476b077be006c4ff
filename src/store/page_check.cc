// SPDX-License-Identifier: Apache-2.0
#include "store/page_check.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace uzram {

std::uint64_t page_check_avx2(const void* data, std::size_t bytes);  // page_check_avx2.cc

namespace {

std::uint64_t page_check_baseline(const void* data, std::size_t bytes) {
  return XXH3_64bits(data, bytes);
}

}  // namespace

PageCheckFunction choose_page_check() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) return page_check_avx2;
#endif
  return page_check_baseline;
}

}  // namespace uzram
