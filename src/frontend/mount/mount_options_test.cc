// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/mount_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace uzram {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal_of(std::string_view words) {
  MountOptions options;
  if (const auto read = read_mount_options(words, options); !read) return read.error();
  const auto checked = check_mount_options(options);
  return checked ? "" : checked.error();
}

TEST(MountOptionsTest, ReadsF2fsWords) {
  MountOptions options;
  ASSERT_TRUE(
      read_mount_options("compress_algorithm=zstd:3,compress_log_size=4,compress_chksum", options));
  ASSERT_TRUE(
      read_mount_options("compress_extension=log,compress_extension=txt,"
                         "nocompress_extension=jpg,compress_mode=user",
                         options));
  ASSERT_TRUE(read_mount_options("allow_other,ro,compress_cache,", options));
  EXPECT_EQ(options.cluster, (ClusterOptions{ClusterAlgorithm::Zstd, 3, 4, true}));
  EXPECT_THAT(options.rule.compress, ElementsAre("log", "txt"));
  EXPECT_THAT(options.rule.do_not, ElementsAre("jpg"));
  EXPECT_TRUE(options.is_user_mode && options.allows_other && options.is_read_only);
  EXPECT_EQ(options.cache_bytes, MountOptions::kCompressCacheBytes);
  EXPECT_TRUE(check_mount_options(options));
  ASSERT_TRUE(read_mount_options("rw,compress_mode=fs", options));
  EXPECT_FALSE(options.is_user_mode || options.is_read_only);
}

TEST(MountOptionsTest, RefusesWhatF2fsRefuses) {
  EXPECT_THAT(refusal_of("compress_algorithm=gzip"), HasSubstr("'gzip' is none of lzo"));
  EXPECT_THAT(refusal_of("compress_algorithm=zstd:23"), HasSubstr("zstd:22"));
  EXPECT_THAT(refusal_of("compress_log_size=1"), HasSubstr("must be 2 to 8"));
  EXPECT_THAT(refusal_of("compress_log_size=9"), HasSubstr("must be 2 to 8"));
  EXPECT_THAT(refusal_of("compress_log_size=2x"), HasSubstr("must be 2 to 8"));
  EXPECT_THAT(refusal_of("compress_mode=all"), HasSubstr("fs or user"));
  EXPECT_THAT(refusal_of("compress_extension=eightchr"), HasSubstr("1 to 7 characters"));
  EXPECT_THAT(refusal_of("compress_extension="), HasSubstr("1 to 7 characters"));
  EXPECT_THAT(refusal_of("compress_extension=so,nocompress_extension=so"),
              HasSubstr("the same extension 'so' cannot be in both"));
}

TEST(MountOptionsTest, TakesSixteenExtensions) {
  std::string words;
  for (int i = 0; i < 16; ++i) words += "compress_extension=e" + std::to_string(i) + ",";
  EXPECT_EQ(refusal_of(words), "");
  EXPECT_EQ(refusal_of(words + "compress_extension=e3"), "") << "once more does not count";
  EXPECT_THAT(refusal_of(words + "compress_extension=more"), HasSubstr("at most 16 times"));
}

TEST(MountOptionsTest, TakesTheStarForEverythingOrNothing) {
  EXPECT_EQ(refusal_of("compress_extension=*,nocompress_extension=jpg"), "");
  EXPECT_EQ(refusal_of("nocompress_extension=*"), "");
  EXPECT_THAT(refusal_of("nocompress_extension=*,compress_extension=a"), HasSubstr("nothing"));
}

TEST(MountOptionsTest, NamesAWordThatItDoesNotKnowOnOneLine) {
  EXPECT_THAT(refusal_of("discard"), HasSubstr("'discard' is none of"));
  EXPECT_THAT(refusal_of("a\nb"), HasSubstr("'a\\x0ab'"));
  EXPECT_THAT(refusal_of("ro=1"), HasSubstr("takes no value"));
}

}  // namespace
}  // namespace uzram
