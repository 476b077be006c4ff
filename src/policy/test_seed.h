// SPDX-License-Identifier: Apache-2.0
// policy/test_seed.h: where random tests begin.
#pragma once

#include <cstdint>
#include <cstdlib>

namespace uzram {

// UZRAM_SEED repeats a run, or begins a new one; otherwise each run is the same.
inline std::uint64_t first_seed() {
  const char* const given = std::getenv("UZRAM_SEED");
  return given == nullptr ? 1 : std::strtoull(given, nullptr, 10);
}

}  // namespace uzram
