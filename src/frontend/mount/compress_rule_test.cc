// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/compress_rule.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

constexpr CompressFlag kUnset = CompressFlag::Unset;
constexpr CompressFlag kCompress = CompressFlag::Compress;
constexpr CompressFlag kDoNot = CompressFlag::DoNot;

TEST(HasExtension, LooksAtTheEndWhateverTheCase) {
  EXPECT_TRUE(has_extension("a.log", "log"));
  EXPECT_TRUE(has_extension("a.b.LOG", "log"));
  EXPECT_TRUE(has_extension("a.tar.gz", "tar.gz"));
  EXPECT_FALSE(has_extension("a.log.1", "log"));
  EXPECT_FALSE(has_extension("alog", "log"));
  EXPECT_FALSE(has_extension(".log", "log")) << "that is a name, as for f2fs";
  EXPECT_FALSE(has_extension("", "log"));
  EXPECT_TRUE(has_extension("anything", "*"));
}

TEST(CompressRuleTest, CompressesEverythingUnlessToldOtherwise) {
  const CompressRule rule;
  EXPECT_TRUE(rule.wants("a", kUnset, kUnset));
  EXPECT_FALSE(rule.wants("a", kDoNot, kUnset));
  EXPECT_FALSE(rule.wants("a", kUnset, kDoNot));
}

TEST(CompressRuleTest, CompressesListedExtensionsOnly) {
  const CompressRule rule{{"log", "txt"}, {}};
  EXPECT_TRUE(rule.wants("a.txt", kUnset, kUnset));
  EXPECT_FALSE(rule.wants("a.jpg", kUnset, kUnset));
}

TEST(CompressRuleTest, ExtensionsBeatTheFlagOfTheDirectory) {
  const CompressRule rule{{"log"}, {"jpg"}};
  EXPECT_TRUE(rule.wants("a.log", kDoNot, kUnset));
  EXPECT_FALSE(rule.wants("a.jpg", kCompress, kUnset));
  EXPECT_TRUE(rule.wants("a", kCompress, kUnset));
  const CompressRule everything{{"*"}, {}};
  EXPECT_TRUE(everything.wants("a", kDoNot, kUnset)) << "as for f2fs";
}

TEST(CompressRuleTest, TheFlagOfTheFileBeatsExtensions) {
  const CompressRule rule{{"log"}, {"jpg"}};
  EXPECT_FALSE(rule.wants("a.log", kCompress, kDoNot));
  EXPECT_TRUE(rule.wants("a.jpg", kDoNot, kCompress));
}

TEST(CompressRuleTest, ExceptionsBeatTheStar) {
  const CompressRule rule{{"*"}, {"jpg"}};
  EXPECT_TRUE(rule.wants("a.log", kUnset, kUnset));
  EXPECT_FALSE(rule.wants("a.jpg", kUnset, kUnset));
}

}  // namespace
}  // namespace uzram
