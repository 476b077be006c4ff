// SPDX-License-Identifier: Apache-2.0
#include "base/content_hash.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <vector>

#include "base/random.h"

namespace uzram {
namespace {

TEST(ContentHash, IsThatOfTheLibraryForEverySizeAndSeed) {
  const ContentHash hash = choose_content_hash();
  Random random(1);
  std::vector<std::uint64_t> words(20'000 / 8);
  for (std::uint64_t& word : words) word = random.next();
  for (std::size_t bytes = 0; bytes < 20'000; bytes = bytes < 600 ? bytes + 1 : bytes + 331) {
    ASSERT_EQ(hash.plain(words.data(), bytes), XXH3_64bits(words.data(), bytes)) << bytes;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, random.next()}) {
      ASSERT_EQ(hash.seeded(words.data(), bytes, seed),
                XXH3_64bits_withSeed(words.data(), bytes, seed))
          << bytes << " bytes, seed " << seed;
    }
  }
}

}  // namespace
}  // namespace uzram
