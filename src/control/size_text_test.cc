// SPDX-License-Identifier: Apache-2.0
#include "control/size_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uzram {
namespace {

TEST(ReadSize, TakesBytesAndUnitsOf1024) {
  const std::pair<const char*, std::uint64_t> sizes[] = {{"0", 0},
                                                         {"4096", 4096},
                                                         {"512M", 512ULL << 20},
                                                         {"1G", 1ULL << 30},
                                                         {"4GiB", 4ULL << 30},
                                                         {"10k", 10240},
                                                         {"3KiB", 3072},
                                                         {"2t", 2ULL << 40},
                                                         {"1P", 1ULL << 50},
                                                         {"15E", 15ULL << 60},
                                                         {"0x1000", 4096},
                                                         {"0x1M", 1ULL << 20},
                                                         {"18446744073709551615", ~0ULL}};
  for (const auto& [text, bytes] : sizes) {
    const InputResult<std::uint64_t> size = read_size("--size: ", text);
    ASSERT_TRUE(size) << text;
    EXPECT_EQ(*size, bytes) << text;
  }
}

TEST(ReadSize, RefusesTypingErrorsAndSaysWhatWouldBeRight) {
  for (const auto text : {"", " 1G", "1G ", "1 G", "-1", "+1", "1.5G", "G", "1GB", "1Gib", "1GiBs",
                          "1X", "1KK", "abc", "0x", "0xg", "1iB", "1\n"}) {
    const InputResult<std::uint64_t> size = read_size("--size: ", text);
    ASSERT_FALSE(size) << text;
    EXPECT_EQ(size.error().code, EINVAL);
    EXPECT_THAT(size.error().text, testing::StartsWith("--size: "));
    EXPECT_THAT(size.error().text, testing::HasSubstr("4GiB"));
  }
}

TEST(ReadSize, RefusesWhatIsBeyond64Bits) {
  for (const auto text : {"16E", "18446744073709551616", "99999999999999999999999",
                          "0x10000000000000000", "17592186044416M"}) {
    const InputResult<std::uint64_t> size = read_size("mem_limit=", text);
    ASSERT_FALSE(size) << text;
    EXPECT_THAT(size.error().text, testing::HasSubstr("too large"));
  }
}

TEST(ShortSize, PrintsAsUtilLinuxDoes) {
  const std::pair<std::uint64_t, const char*> sizes[] = {{0, "0B"},
                                                         {1, "1B"},
                                                         {1023, "1023B"},
                                                         {1024, "1K"},
                                                         {1536, "1.5K"},
                                                         {4096, "4K"},
                                                         {1048575, "1024K"},
                                                         {1U << 20, "1M"},
                                                         {(1U << 20) + 104858, "1.1M"},
                                                         {1ULL << 30, "1G"},
                                                         {100ULL << 30, "100G"},
                                                         {5ULL << 39, "2.5T"},
                                                         {1ULL << 50, "1P"},
                                                         {~0ULL, "16E"}};
  for (const auto& [bytes, text] : sizes) EXPECT_EQ(short_size(bytes), text) << bytes;
}

}  // namespace
}  // namespace uzram
