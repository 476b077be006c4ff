// SPDX-License-Identifier: Apache-2.0
#include "policy/policy_settings.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/random.h"
#include "policy/test_seed.h"

namespace uzram {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

PolicySettings parsed(std::string_view line) {
  const SettingResult<PolicySettings> settings = parse_policy(line);
  EXPECT_TRUE(settings) << line << ": " << settings.error().text;
  return settings.value_or(PolicySettings{});
}

std::string refusal(std::string_view line) {
  const SettingResult<PolicySettings> settings = parse_policy(line);
  EXPECT_FALSE(settings) << line;
  return settings ? "" : settings.error().text;
}

TEST(PolicySettings, AreOffBeforeAnybodyAsks) {
  EXPECT_EQ(policy_text(PolicySettings{}), "off");
  EXPECT_EQ(parsed("off"), PolicySettings{});
}

TEST(PolicySettings, HaveTheseDefaults) {
  EXPECT_EQ(policy_text(parsed("on")),
            "on idle_after=10m recompress_after=10m recompress_priority=1 cluster_after=20m "
            "cluster_pages=4 cluster_level=1 large_after=1h large_pages=16 large_level=3 "
            "deep_after=off deep_pages=32 deep_level=9 writeback_after=8h writeback_type=idle "
            "writeback_pages=1024 bytes_per_day=4G round=1s max_pages=4096 cpu_percent=10 "
            "burst=20000 backoff=10s quiet=1m psi_percent=5 limit_percent=85");
}

TEST(PolicySettings, TakeEveryWord) {
  const PolicySettings s = parsed(
      "on idle_after=30s recompress_after=1m recompress_priority=3 cluster_after=2m "
      "cluster_pages=2 cluster_level=2 large_after=3m large_pages=8 large_level=4 deep_after=4m "
      "deep_pages=16 deep_level=19 writeback_after=1d writeback_type=huge_idle "
      "writeback_pages=64 bytes_per_day=1M round=2s max_pages=128 cpu_percent=50 burst=7 "
      "backoff=0s quiet=1h psi_percent=25 limit_percent=99");
  EXPECT_TRUE(s.is_on);
  EXPECT_EQ(s.idle_after, seconds(30));
  EXPECT_EQ(s.recompress_after, minutes(1));
  EXPECT_EQ(s.recompress_priority, 3);
  EXPECT_EQ(s.small, (ClusterSettings{minutes(2), 2, 2}));
  EXPECT_EQ(s.large, (ClusterSettings{minutes(3), 8, 4}));
  EXPECT_EQ(s.deep, (ClusterSettings{minutes(4), 16, 19}));
  EXPECT_EQ(s.writeback_after, hours(24));
  EXPECT_EQ(s.writeback_type, WritebackType::HugeIdle);
  EXPECT_EQ(s.writeback_pages, 64U);
  EXPECT_EQ(s.bytes_per_day, 1U << 20);
  EXPECT_EQ(s.round, seconds(2));
  EXPECT_EQ(s.max_pages, 128U);
  EXPECT_EQ(s.cpu_percent, 50);
  EXPECT_EQ(s.burst, 7U);
  EXPECT_EQ(s.backoff, seconds(0));
  EXPECT_EQ(s.quiet, hours(1));
  EXPECT_EQ(s.psi_percent, 25);
  EXPECT_EQ(s.limit_percent, 99);
}

TEST(PolicySettings, CanLackWhatIsOptional) {
  const PolicySettings s = parsed(
      "on recompress_after=off cluster_after=off large_after=off deep_after=off "
      "writeback_after=off bytes_per_day=unlimited burst=off psi_percent=off limit_percent=off");
  EXPECT_FALSE(s.recompress_after || s.small.after || s.large.after || s.deep.after);
  EXPECT_FALSE(s.writeback_after || s.bytes_per_day || s.burst || s.psi_percent || s.limit_percent);
}

TEST(PolicySettings, TakeBlanksAndTheLastOfEqualKeys) {
  EXPECT_EQ(parsed(" \t on \n"), parsed("on"));
  EXPECT_EQ(parsed("on  idle_after=1m\tidle_after=5m\n").idle_after, minutes(5));
}

TEST(PolicySettings, StartFromTheDefaultsEachTime) {
  EXPECT_EQ(parsed("on").idle_after, PolicySettings{}.idle_after);
}

TEST(PolicySettings, SayWhatWouldHaveBeenRight) {
  EXPECT_EQ(refusal(""),
            "\"\" is neither on nor off; write off, or on, or on and settings like "
            "idle_after=10m");
  EXPECT_EQ(refusal("yes"),
            "\"yes\" is neither on nor off; write off, or on, or on and settings "
            "like idle_after=10m");
  EXPECT_EQ(refusal("off idle_after=1m"),
            "off takes no settings such as \"idle_after=1m\"; write off alone, or on");
  EXPECT_EQ(refusal("on idle_after"), "idle_after has no value; write idle_after=10m");
  EXPECT_TRUE(
      refusal("on idle=1m")
          .starts_with(
              "\"idle\" is not a setting of the policy; they are idle_after, recompress_after, "));
  EXPECT_EQ(refusal("on idle_after=off"),
            "idle_after=\"off\" is not a duration; write a number and one of s, m, h, d, like "
            "idle_after=10m");
  EXPECT_EQ(refusal("on large_after=never"),
            "large_after=\"never\" is not a duration; write a number and one of s, m, h, d, like "
            "large_after=10m, or large_after=off");
  EXPECT_EQ(refusal("on idle_after=11d"), "idle_after=11d is out of range; it goes from 1s to 10d");
  EXPECT_EQ(refusal("on cluster_pages=5"),
            "cluster_pages=\"5\" is not the size of a cluster; write 2, 4, 8, 16 or 32");
  EXPECT_EQ(refusal("on deep_level=20"), "deep_level=\"20\" is not a whole number from 1 to 19");
  EXPECT_EQ(refusal("on writeback_type=huge"),
            "writeback_type=\"huge\" is neither; write writeback_type=idle or "
            "writeback_type=huge_idle");
  EXPECT_EQ(refusal("on bytes_per_day=off"),
            "bytes_per_day=\"off\" is not a size; write bytes, or a number with K, M, G or T, like "
            "bytes_per_day=4G, or bytes_per_day=unlimited");
  EXPECT_EQ(refusal("on psi_percent=26"),
            "psi_percent=\"26\" is not a whole number from 1 to 25, or psi_percent=off");
  EXPECT_EQ(refusal("on max_pages=31"),
            "max_pages=\"31\" is not a whole number from 32 to 16777216");
}

TEST(PolicySettings, RefuseThresholdsInTheWrongOrder) {
  EXPECT_EQ(refusal("on idle_after=15m"),
            "recompress_after=10m comes before idle_after=15m; make it 15m or more");
  EXPECT_EQ(refusal("on cluster_after=2h"),
            "large_after=1h comes before cluster_after=2h; make it 2h or more");
  EXPECT_EQ(refusal("on deep_after=30m"),
            "deep_after=30m comes before large_after=1h; make it 1h or more");
  EXPECT_EQ(refusal("on large_after=off deep_after=15m"),
            "deep_after=15m comes before cluster_after=20m; make it 20m or more");
  EXPECT_EQ(refusal("on writeback_after=1m"),
            "writeback_after=1m comes before idle_after=10m; make it 10m or more");
  EXPECT_EQ(parsed("on cluster_after=1h").small.after, hours(1));
}

TEST(PolicySettings, RefuseALaterClusterThatIsNotWider) {
  EXPECT_EQ(refusal("on cluster_pages=16"),
            "large_pages=16 is not more than cluster_pages=16; each later cluster is wider");
  EXPECT_EQ(refusal("on deep_after=2h deep_pages=8"),
            "deep_pages=8 is not more than large_pages=16; each later cluster is wider");
  EXPECT_EQ(refusal("on cluster_pages=32 large_after=off deep_after=2h"),
            "deep_pages=32 is not more than cluster_pages=32; each later cluster is wider");
  EXPECT_EQ(parsed("on deep_pages=2").deep.pages, 2);  // Off, so it does not matter.
}

class PolicyWords : public testing::Test {
 protected:
  PolicyWords() : seed_(first_seed()), random_(seed_) {}
  std::string pick(std::initializer_list<const char*> texts) {
    return *(texts.begin() + random_.below(texts.size()));
  }
  // A value that often fits the key.
  std::string value() {
    switch (random_.below(4)) {
      case 0:
        return fmt::format("{}{}", 1 + random_.below(90), pick({"s", "m", "h", "d", "", "K", "G"}));
      case 1:
        return pick({"off", "unlimited", "idle", "huge_idle", "2", "4", "8", "16", "32"});
      case 2:
        return fmt::format("{}", random_.next() >> random_.below(64));
      default:
        return noise();
    }
  }
  std::string noise() {
    std::string text;
    for (std::uint64_t left = random_.below(12); left != 0; --left) {
      text += static_cast<char>(random_.below(256));
    }
    return text;
  }
  std::string line() {
    std::string text = random_.below(20) == 0 ? noise() : "on";
    for (std::uint64_t left = random_.below(5); left != 0; --left) {
      const auto words = policy_words();
      const std::string key =
          random_.below(20) == 0 ? noise() : std::string(words[random_.below(words.size())].key);
      text += " " + key + (random_.below(30) == 0 ? "" : "=") + value();
    }
    return text;
  }

  std::uint64_t seed_;
  Random random_;
};

TEST_F(PolicyWords, ReadBackAsTheyWerePrinted) {
  SCOPED_TRACE(fmt::format("seed {}", seed_));
  int accepted = 0;
  for (int run = 0; run < 50'000; ++run) {
    const std::string text = line();
    const SettingResult<PolicySettings> settings = parse_policy(text);
    if (!settings) {
      // One printable line, whatever the input was.
      ASSERT_FALSE(settings.error().text.empty());
      for (const char letter : settings.error().text) {
        const auto byte = static_cast<unsigned char>(letter);
        ASSERT_TRUE(byte >= ' ' && byte != 0x7f) << settings.error().text;
      }
      continue;
    }
    ++accepted;
    const SettingResult<PolicySettings> again = parse_policy(policy_text(*settings));
    ASSERT_TRUE(again) << text << "\n" << again.error().text;
    ASSERT_EQ(*again, *settings) << text;
    ASSERT_EQ(policy_text(*again), policy_text(*settings));
  }
  EXPECT_GT(accepted, 1000);
}

TEST_F(PolicyWords, ShowWhatTheyTake) {
  for (const PolicyWord& word : policy_words()) {
    PolicySettings settings;
    EXPECT_TRUE(word.take(settings, word.show(settings))) << word.key;
    EXPECT_EQ(settings, PolicySettings{}) << word.key;
    EXPECT_FALSE(word.summary.empty());
  }
}

}  // namespace
}  // namespace uzram
