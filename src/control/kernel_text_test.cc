// SPDX-License-Identifier: Apache-2.0
// The expected values were read back from a running kernel's zram (mem_limit through mm_stat,
// reset, mem_used_max).
#include "control/kernel_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uzram {
namespace {

using std::string_view_literals::operator""sv;

std::uint64_t bytes_of(std::string_view text) { return parse_memory_size(text).bytes; }
bool is_number(std::string_view text) { return parse_memory_size(text).is_number; }

TEST(MemorySize, TakesDecimalHexadecimalAndOctalDigits) {
  EXPECT_EQ(bytes_of("536870912"), 536870912U);
  EXPECT_EQ(bytes_of("0x10"), 16U);
  EXPECT_EQ(bytes_of("0X1f"), 31U);
  EXPECT_EQ(bytes_of("010"), 8U);
}

TEST(MemorySize, MultipliesByItsSuffixInEitherCase) {
  EXPECT_EQ(bytes_of("10K"), 10240U);
  EXPECT_EQ(bytes_of("3m"), 3145728U);
  EXPECT_EQ(bytes_of("1G"), 1ULL << 30);
  EXPECT_EQ(bytes_of("1T"), 1ULL << 40);
  EXPECT_EQ(bytes_of("2p"), 2ULL << 50);
  EXPECT_EQ(bytes_of("1e"), 1ULL << 60);
  EXPECT_EQ(bytes_of("0x10k"), 16384U);
}

TEST(MemorySize, IgnoresWhatFollowsTheNumber) {
  EXPECT_EQ(bytes_of("1M\n"), 1048576U);
  EXPECT_EQ(bytes_of("4GiB"), 4ULL << 30);
  EXPECT_EQ(bytes_of("1 K"), 1U);
  EXPECT_EQ(bytes_of("08"), 0U);
  EXPECT_EQ(bytes_of("0xg"), 0U);
  EXPECT_EQ(bytes_of("7\0009"sv), 7U);
}

TEST(MemorySize, KeepsTheLowBitsOfWhatIsTooLarge) {
  EXPECT_EQ(bytes_of("18446744073709551615"), 18446744073709551615U);
  EXPECT_EQ(bytes_of("99999999999999999999999"), 200376420520689663U);
  EXPECT_EQ(bytes_of("16E"), 0U);
  EXPECT_EQ(bytes_of("17E"), 1ULL << 60);
}

TEST(MemorySize, TellsANumberFromNone) {
  for (const auto text : {"", "\n", "abc", "-1", "+5", " 5", "G1"}) {
    if (std::string_view(text) == "G1") {
      EXPECT_TRUE(is_number(text)) << "a lone suffix was used";
    } else {
      EXPECT_FALSE(is_number(text)) << text;
    }
  }
  EXPECT_TRUE(is_number("0"));
  EXPECT_TRUE(is_number("0x"));
  EXPECT_TRUE(is_number("K"));
}

TEST(Unsigned, TakesDecimalsWithAPlusAndOneNewline) {
  EXPECT_EQ(*parse_unsigned("0", 9), 0U);
  EXPECT_EQ(*parse_unsigned("+0", 9), 0U);
  EXPECT_EQ(*parse_unsigned("010\n", 99), 10U);
  EXPECT_EQ(*parse_unsigned("18446744073709551615", ~0ULL), ~0ULL);
  EXPECT_EQ(*parse_unsigned("65535", 65535), 65535U);
}

TEST(Unsigned, RefusesOtherWords) {
  for (const auto text :
       {"", "\n", "a", "-0", "-1", "0x0", "0\n\n", " 0", "1 ", "1x", "++1", "+"}) {
    EXPECT_EQ(parse_unsigned(text, 65535), Result<std::uint64_t>(fail(EINVAL))) << text;
  }
}

TEST(Unsigned, ReportsOverflowBeforeAnythingThatFollows) {
  EXPECT_EQ(parse_unsigned("65536", 65535), Result<std::uint64_t>(fail(ERANGE)));
  EXPECT_EQ(parse_unsigned("18446744073709551616", ~0ULL), Result<std::uint64_t>(fail(ERANGE)));
  EXPECT_EQ(parse_unsigned("99999999999999999999x", ~0ULL), Result<std::uint64_t>(fail(ERANGE)));
  EXPECT_EQ(parse_unsigned("65536x", 65535), Result<std::uint64_t>(fail(EINVAL)));
}

TEST(UnsignedOfAnyBase, TakesTheBaseFromTheFirstCharacters) {
  EXPECT_EQ(*parse_unsigned_any_base("3600\n"), 3600U);
  EXPECT_EQ(*parse_unsigned_any_base("+0x1F"), 31U);
  EXPECT_EQ(*parse_unsigned_any_base("0X10\n"), 16U);
  EXPECT_EQ(*parse_unsigned_any_base("010"), 8U);
  EXPECT_EQ(*parse_unsigned_any_base("0"), 0U);
  EXPECT_EQ(*parse_unsigned_any_base("0xffffffffffffffff"), ~0ULL);
}

TEST(UnsignedOfAnyBase, RefusesOtherWordsAndOverflow) {
  for (const auto text : {"", "\n", "0x", "0xg", "08", "-1", "1h", " 1", "1 ", "1\n\n", "all"}) {
    EXPECT_EQ(parse_unsigned_any_base(text), Result<std::uint64_t>(fail(EINVAL))) << text;
  }
  for (const auto text : {"18446744073709551616", "0x10000000000000000"}) {
    EXPECT_EQ(parse_unsigned_any_base(text), Result<std::uint64_t>(fail(ERANGE))) << text;
  }
}

TEST(Word, IsForgivenOneNewline) {
  EXPECT_TRUE(is_word("all", "all"));
  EXPECT_TRUE(is_word("all\n", "all"));
  EXPECT_TRUE(is_word("all\0x"sv, "all"));
  for (const auto text : {"", "al", "all\n\n", "all ", " all", "ALL", "allx"}) {
    EXPECT_FALSE(is_word(text, "all")) << text;
  }
}

TEST(Int, TakesBothSignsUpToTheLimits) {
  EXPECT_EQ(*parse_int("-5"), -5);
  EXPECT_EQ(*parse_int("+5\n"), 5);
  EXPECT_EQ(*parse_int("08"), 8);
  EXPECT_EQ(*parse_int("2147483647"), 2147483647);
  EXPECT_EQ(*parse_int("-2147483648"), -2147483647 - 1);
}

TEST(Int, RefusesOverflowAndOtherWords) {
  for (const auto text : {"2147483648", "-2147483649", "99999999999", "-99999999999999999999"}) {
    EXPECT_EQ(parse_int(text), Result<int>(fail(ERANGE))) << text;
  }
  for (const auto text : {"", "-", "-+5", "--5", "0x10", "abc", " 5", "5 "}) {
    EXPECT_EQ(parse_int(text), Result<int>(fail(EINVAL))) << text;
  }
}

TEST(Bool, LooksAtTheFirstCharactersOnly) {
  for (const auto text : {"1", "y", "Yes", "true", "on", "ON\n", "1x"}) {
    EXPECT_EQ(parse_bool(text), Result<bool>(true)) << text;
  }
  for (const auto text : {"0", "n", "No", "false", "off", "oF", "0\n"}) {
    EXPECT_EQ(parse_bool(text), Result<bool>(false)) << text;
  }
  for (const auto text : {"", "\n", "2", "o", "ox", "-1"}) {
    EXPECT_EQ(parse_bool(text), Result<bool>(fail(EINVAL))) << text;
  }
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (const KeyValue& word : split_key_values(text)) {
    words.push_back(std::string(word.key) + "->" + std::string(word.value));
  }
  return words;
}

TEST(KeyValues, AreSeparatedByAnyWhiteSpace) {
  using testing::ElementsAre;
  EXPECT_THAT(words_of("level=3  priority=0\n"), ElementsAre("level->3", "priority->0"));
  EXPECT_THAT(words_of(" a=1\tb=2\nc=3"), ElementsAre("a->1", "b->2", "c->3"));
  EXPECT_THAT(words_of(" \n"), ElementsAre());
}

TEST(KeyValues, KeepWhatStandsBetweenQuotationMarks) {
  using testing::ElementsAre;
  EXPECT_THAT(words_of("level=\"3\""), ElementsAre("level->3"));
  EXPECT_THAT(words_of("dict=\"/a b/c\" level=1"), ElementsAre("dict->/a b/c", "level->1"));
  EXPECT_THAT(words_of("\"dict=/a b\""), ElementsAre("dict->/a b"));
  EXPECT_THAT(words_of("dict=\"/a b"), ElementsAre("dict->/a b"));
}

TEST(KeyValues, MayLackAValue) {
  using testing::ElementsAre;
  EXPECT_THAT(words_of("level"), ElementsAre("level->"));
  EXPECT_THAT(words_of("level="), ElementsAre("level->"));
  EXPECT_THAT(words_of("=5"), ElementsAre("=5->"));
  EXPECT_THAT(words_of("a=b=c"), ElementsAre("a->b=c"));
}

}  // namespace
}  // namespace uzram
