// SPDX-License-Identifier: Apache-2.0
#include "codec/dictionary_cost.h"

#include <gtest/gtest.h>
#include <malloc.h>

#include "base/sanitized.h"

namespace uzram {
namespace {

std::size_t allocated_bytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Every algorithm that takes a dictionary, at two sizes: what it says is what the process pays.
TEST(DictionaryCost, IsWhatTheProcessPays) {
  if (kIsSanitized) GTEST_SKIP() << "the sanitizer's allocator does not say what it holds";
  for (const CodecInfo& codec : all_codecs()) {
    if (!codec.takes_dictionary) {
      continue;
    }
    for (const std::size_t bytes : {std::size_t{100'000}, std::size_t{6'000'000}}) {
      std::string text(bytes, 'x');
      for (std::size_t i = 0; i < bytes; i += 3) text[i] = static_cast<char>('a' + i % 25);
      const std::size_t before = allocated_bytes();
      CodecParams params;
      params.dictionary = std::make_shared<const std::string>(text);
      const auto made = codec.make(params);
      ASSERT_TRUE(made.has_value()) << codec.name;
      const auto paid = static_cast<double>(allocated_bytes() - before);
      EXPECT_NEAR(static_cast<double>(dictionary_bytes(codec, params)), paid, paid * 0.05 + 4096)
          << codec.name;
    }
  }
}

TEST(DictionaryCost, IsNothingWithoutADictionary) {
  for (const CodecInfo& codec : all_codecs()) EXPECT_EQ(dictionary_bytes(codec, {}), 0U);
}

}  // namespace
}  // namespace uzram
