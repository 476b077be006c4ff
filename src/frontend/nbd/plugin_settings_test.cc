// SPDX-License-Identifier: Apache-2.0
#include "frontend/nbd/plugin_settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <set>

#include "device/device.h"

namespace uzram {
namespace {

using ::testing::HasSubstr;

class PluginSettingsTest : public ::testing::Test {
 protected:
  void take(std::string_view name, std::string_view value) {
    const InputResult<void> outcome = take_key(settings_, name, value);
    ASSERT_TRUE(outcome) << outcome.error().text;
  }
  std::string refusal(std::string_view name, std::string_view value) {
    const InputResult<void> outcome = take_key(settings_, name, value);
    return outcome ? "taken" : outcome.error().text;
  }
  // What a disk of these settings is refused with; empty when it is made.
  std::string disksize_refusal() {
    Device device(0);
    const InputResult<void> applied = apply_settings(settings_, device);
    if (!applied) return applied.error().text;
    const Result<void> made = device.set_disksize(settings_.disk_bytes.value_or(1 << 20));
    return made ? "" : explain_disksize_error(settings_, device, made.error().code);
  }
  PluginSettings settings_;
};

TEST_F(PluginSettingsTest, SizesTakeEachUnitInEitherCaseWithOrWithoutIb) {
  const std::pair<const char*, std::uint64_t> cases[] = {{"0", 0},
                                                         {"4096", 4096},
                                                         {"1K", 1024},
                                                         {"1k", 1024},
                                                         {"512M", 512 << 20},
                                                         {"1G", 1ULL << 30},
                                                         {"4GiB", 4ULL << 30},
                                                         {"2TiB", 2ULL << 40},
                                                         {"1P", 1ULL << 50},
                                                         {"15E", 15ULL << 60}};
  for (const auto& [text, bytes] : cases) {
    take("mem_limit", text);
    EXPECT_EQ(settings_.mem_limit_bytes, bytes) << text;
  }
}

TEST_F(PluginSettingsTest, WhatIsNoSizeIsRefusedWithAnExample) {
  for (const char* text : {"", "G", "1GB", "1.5G", "-1", "+1", "1 G", "0x", "1Gx", "1iB", "16E",
                           "99999999999999999999", "1K\n"}) {
    EXPECT_THAT(refusal("mem_limit", text), HasSubstr("like mem_limit=512M")) << text;
  }
}

TEST_F(PluginSettingsTest, ADiskIsNeitherEmptyNorLargerThanNbdCanSay) {
  EXPECT_THAT(refusal("size", "0"), HasSubstr("try size=1G"));
  EXPECT_THAT(refusal("size", "8E"), HasSubstr("try size=1G"));
  take("size", "1G");
  EXPECT_EQ(settings_.disk_bytes, 1ULL << 30);
}

TEST_F(PluginSettingsTest, AnUnknownKeyIsAnsweredWithAllKeys) {
  const std::string text = refusal("colour", "red");
  for (const PluginKey& key : plugin_keys()) EXPECT_THAT(text, HasSubstr(std::string(key.name)));
}

TEST_F(PluginSettingsTest, AnUnknownAlgorithmIsAnsweredWithAllAlgorithms) {
  EXPECT_THAT(refusal("algorithm", "zst"), HasSubstr("lz4hc, zstd"));
}

TEST_F(PluginSettingsTest, NumbersAreWhole) {
  EXPECT_THAT(refusal("level", "three"), HasSubstr("try level=3"));
  EXPECT_THAT(refusal("level", "3.5"), HasSubstr("try level=3"));
  EXPECT_THAT(refusal("level", ""), HasSubstr("try level=3"));
  EXPECT_THAT(refusal("winbits", "1x"), HasSubstr("try winbits=3"));
  take("level", "-5");
  EXPECT_EQ(settings_.level, -5);
}

TEST_F(PluginSettingsTest, PathsAndSwitchesAreChecked) {
  EXPECT_THAT(refusal("dict", ""), HasSubstr("name a file"));
  EXPECT_THAT(refusal("dict", "/a\"b"), HasSubstr("quotation marks"));
  EXPECT_THAT(refusal("control", ""), HasSubstr("path of the socket"));
  EXPECT_THAT(refusal("check", "yes"), HasSubstr("check=on or check=off"));
}

TEST_F(PluginSettingsTest, SettingsReachTheDevice) {
  take("algorithm", "zstd");
  take("level", "5");
  take("mem_limit", "1M");
  take("check", "off");
  Device device(0);
  ASSERT_TRUE(apply_settings(settings_, device));
  ASSERT_TRUE(device.set_disksize(1 << 20));
  EXPECT_EQ(device.algorithm().name, "zstd");
  EXPECT_EQ(device.stats().mem_limit_bytes, 1U << 20);
  EXPECT_FALSE(device.has_page_checks());
}

TEST_F(PluginSettingsTest, ALevelOutsideTheAlgorithmsRangeIsAnsweredWithTheRange) {
  take("algorithm", "zstd");
  take("level", "99");
  EXPECT_THAT(disksize_refusal(), HasSubstr("level=99 is not a level of zstd; its levels are"));
}

TEST_F(PluginSettingsTest, WhatAnAlgorithmDoesNotTakeIsNamed) {
  take("algorithm", "lzo");
  take("level", "2");
  EXPECT_EQ(disksize_refusal(), "lzo takes no level; leave level= out");
  settings_ = {};
  take("winbits", "12");
  take("algorithm", "lz4");
  EXPECT_EQ(disksize_refusal(), "lz4 takes no winbits; leave winbits= out");
  settings_ = {};
  take("algorithm", "deflate");
  take("winbits", "99");
  EXPECT_EQ(disksize_refusal(), "winbits=99 is not a window of deflate");
}

TEST_F(PluginSettingsTest, ADictionaryIsReadOrTheFileIsNamed) {
  take("algorithm", "zstd");
  take("dict", "/nonexistent/dictionary");
  EXPECT_THAT(disksize_refusal(), HasSubstr("/nonexistent/dictionary"));

  // A path with a space reaches the attribute in one piece.
  const std::string path = ::testing::TempDir() + "a dictionary.bin";
  std::FILE* file = std::fopen(path.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fputs("the words that come again and again", file);
  std::fclose(file);
  take("dict", path);
  EXPECT_EQ(disksize_refusal(), "");
  take("algorithm", "lzo");
  EXPECT_EQ(disksize_refusal(), "lzo takes no dict; leave dict= out");
  std::remove(path.c_str());
}

TEST_F(PluginSettingsTest, ThePolicyIsALineOfWords) {
  EXPECT_THAT(refusal("policy", "yes"), HasSubstr("neither on nor off"));
  EXPECT_THAT(refusal("policy", "on idle_after=soon"), HasSubstr("idle_after"));
  take("policy", "on idle_after=5m");
  Device device(0);
  ASSERT_TRUE(apply_settings(settings_, device));
  EXPECT_EQ(device.policy().substr(0, 17), "on idle_after=5m ");
}

TEST_F(PluginSettingsTest, TheHelpHasALineForEachKey) {
  const std::string help = plugin_keys_help();
  std::set<std::string_view> names;
  for (const PluginKey& key : plugin_keys()) {
    EXPECT_TRUE(names.insert(key.name).second) << key.name;
    EXPECT_THAT(help, HasSubstr(std::string(key.name) + "=<" + std::string(key.value) + ">"));
  }
  EXPECT_EQ(static_cast<std::size_t>(std::count(help.begin(), help.end(), '\n')) + 1,
            kPluginKeyCount);
}

TEST_F(PluginSettingsTest, AttributesAreSetInOrderByTheNamesOfTheTable) {
  take("algorithm", "lz4");
  take("set", "recomp_algorithm=algo=zstd priority=2");
  take("set", "algorithm_params=priority=2 level=9");
  take("use_dedup", "1");
  take("access_tracking", "0");
  take("writeback_limit", "77");
  Device device(0);
  ASSERT_TRUE(apply_settings(settings_, device));
  ASSERT_TRUE(device.set_disksize(1 << 20));
  EXPECT_EQ(device.algorithm_at(2)->name, "zstd");
  EXPECT_TRUE(device.uses_dedup());
  EXPECT_FALSE(device.tracks_access());
  EXPECT_EQ(device.writeback_limit(), 77U);
}

TEST_F(PluginSettingsTest, WhatIsNoSettingIsRefused) {
  for (const char* text :
       {"", "use_dedup", "=1", "nothing=1", "mm_stat=1", "disksize=1M", "reset=1"})
    EXPECT_THAT(refusal("set", text), HasSubstr("uzram get --list")) << text;
  for (const char* name : {"disksize", "reset", "mm_stat", "no_such"})
    EXPECT_THAT(refusal(name, "1"), HasSubstr("is not a key")) << name;
  take("set", "use_dedup=2");
  EXPECT_THAT(disksize_refusal(), HasSubstr("use_dedup"));
  settings_ = {};
  take("set", "compact=1");
  EXPECT_THAT(disksize_refusal(), HasSubstr("disksize"));
  settings_ = {};
  take("backing_dev", "/no/such/file");
  EXPECT_THAT(disksize_refusal(), HasSubstr("backing_dev"));
}

TEST_F(PluginSettingsTest, ABackingStoreIsOpenedWhenItIsTime) {
  const std::string path = testing::TempDir() + "uzram-plugin-store";
  std::FILE* const file = std::fopen(path.c_str(), "we");
  ASSERT_NE(file, nullptr);
  ASSERT_EQ(std::fseek(file, (1 << 20) - 1, SEEK_SET), 0);
  std::fputc(0, file);
  std::fclose(file);
  take("backing_dev", path);
  Device device(0);
  ASSERT_TRUE(apply_settings(settings_, device, BackingStores::LeaveOut));
  EXPECT_EQ(device.backing(), "");
  ASSERT_TRUE(open_backing_stores(settings_, device));
  EXPECT_EQ(device.backing(), path);
  std::remove(path.c_str());
}

}  // namespace
}  // namespace uzram
