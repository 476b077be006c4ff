// SPDX-License-Identifier: Apache-2.0
#include "policy/setting_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace uzram {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr DurationRange kAnyTime{seconds(0), hours(24 * 1000)};
constexpr NumberRange kAnyNumber{0, std::numeric_limits<std::uint64_t>::max()};

TEST(SettingText, ReadsDurations) {
  EXPECT_EQ(read_duration("x", "30s", kAnyTime), seconds(30));
  EXPECT_EQ(read_duration("x", "5m", kAnyTime), minutes(5));
  EXPECT_EQ(read_duration("x", "2h", kAnyTime), hours(2));
  EXPECT_EQ(read_duration("x", "1d", kAnyTime), hours(24));
  EXPECT_EQ(read_duration("x", "0s", kAnyTime), seconds(0));
}

TEST(SettingText, RefusesWhatIsNoDuration) {
  for (const char* text : {"", "10", "m", "10 m", "10M", "10ms", "-1m", "+1m", "1.5h", "10m5s"}) {
    const auto refused = read_duration("idle_after", text, kAnyTime);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().text, "idle_after=\"" + std::string(text) +
                                        "\" is not a duration; write a number and one of s, m, h, "
                                        "d, like idle_after=10m");
  }
}

TEST(SettingText, SaysTheRangeOfDurations) {
  const DurationRange range{seconds(10), minutes(2)};
  EXPECT_EQ(read_duration("x", "10s", range), seconds(10));
  EXPECT_EQ(read_duration("x", "2m", range), minutes(2));
  for (const char* text : {"9s", "121s", "18446744073709551615d"}) {
    const auto refused = read_duration("x", text, range);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().text,
              "x=" + std::string(text) + " is out of range; it goes from 10s to 2m");
  }
}

TEST(SettingText, ReadsSizes) {
  EXPECT_EQ(read_bytes("x", "4096", kAnyNumber), 4096U);
  EXPECT_EQ(read_bytes("x", "4K", kAnyNumber), 4096U);
  EXPECT_EQ(read_bytes("x", "3m", kAnyNumber), 3U << 20);
  EXPECT_EQ(read_bytes("x", "1GiB", kAnyNumber), 1U << 30);
  EXPECT_EQ(read_bytes("x", "2T", kAnyNumber), std::uint64_t{2} << 40);
}

TEST(SettingText, RefusesWhatIsNoSize) {
  for (const char* text : {"", "K", "4KB", "4iB", "4 K", "-4K", "4Q", "99999999999999999999"}) {
    EXPECT_FALSE(read_bytes("x", text, kAnyNumber)) << text;
  }
  const auto refused = read_bytes("bytes_per_day", "much", kAnyNumber);
  EXPECT_EQ(refused.error().text,
            "bytes_per_day=\"much\" is not a size; write bytes, or a number with K, M, G or T, "
            "like bytes_per_day=4G");
  const auto large = read_bytes("x", "18446744073709551615T", {0, 1 << 20});
  EXPECT_EQ(large.error().text, "x=18446744073709551615T is out of range; it goes from 0 to 1M");
}

TEST(SettingText, ReadsNumbersOfARange) {
  EXPECT_EQ(read_number("x", "7", {1, 10}), 7U);
  for (const char* text : {"", "0", "11", "7x", "x", "-1", "99999999999999999999"}) {
    const auto refused = read_number("x", text, {1, 10});
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().text,
              "x=\"" + std::string(text) + "\" is not a whole number from 1 to 10");
  }
}

TEST(SettingText, PrintsTheLargestExactUnit) {
  EXPECT_EQ(duration_text(seconds(0)), "0s");
  EXPECT_EQ(duration_text(seconds(90)), "90s");
  EXPECT_EQ(duration_text(minutes(90)), "90m");
  EXPECT_EQ(duration_text(hours(48)), "2d");
  EXPECT_EQ(bytes_text(0), "0");
  EXPECT_EQ(bytes_text(1000), "1000");
  EXPECT_EQ(bytes_text(1536), "1536");
  EXPECT_EQ(bytes_text(std::uint64_t{3} << 20), "3M");
}

TEST(SettingText, PrintsTimesForPeople) {
  EXPECT_EQ(time_text(milliseconds(0)), "0s");
  EXPECT_EQ(time_text(milliseconds(999)), "999ms");
  EXPECT_EQ(time_text(milliseconds(1999)), "1s");
  EXPECT_EQ(time_text(seconds(200)), "3m20s");
  EXPECT_EQ(time_text(hours(2)), "2h");
  EXPECT_EQ(time_text(hours(25) + minutes(30) + seconds(9)), "1d1h");
  EXPECT_EQ(time_text(hours(24) + minutes(30)), "1d");
}

TEST(SettingText, PrintsCpuAndSizesForPeople) {
  EXPECT_EQ(cpu_text(microseconds(850)), "850 µs");
  EXPECT_EQ(cpu_text(microseconds(61'400)), "61 ms");
  EXPECT_EQ(size_words(12), "12 bytes");
  EXPECT_EQ(size_words(12 << 10), "12 KiB");
  EXPECT_EQ(size_words(3 << 29), "1.5 GiB");
}

TEST(SettingText, QuotesWhateverComes) {
  EXPECT_EQ(quote_word("abc"), "\"abc\"");
  EXPECT_EQ(quote_word("a\nb\x80"), R"("a\x0ab\x80")");
  EXPECT_EQ(quote_word(std::string(50, 'x')), '"' + std::string(40, 'x') + "...\"");
}

}  // namespace
}  // namespace uzram
