// SPDX-License-Identifier: Apache-2.0
// base/content_hash.h: XXH3, 64 bits, as fast as this processor can.
//
// What:   what libxxhash returns, by code compiled for the processor at hand: on a page in the
//         processor's cache that takes half the time of the packaged library's.
// Proof:  content_hash_test.cc.
// Source: xxHash 0.8 (XXH3_64bits, XXH3_64bits_withSeed).
#pragma once

#include <cstddef>
#include <cstdint>

namespace uzram {

struct ContentHash {
  std::uint64_t (*plain)(const void* data, std::size_t bytes);
  std::uint64_t (*seeded)(const void* data, std::size_t bytes, std::uint64_t seed);
};

// The fastest implementation that this processor runs; all return the same.
[[nodiscard]] ContentHash choose_content_hash();

}  // namespace uzram
