// SPDX-License-Identifier: Apache-2.0
#include "control/path_words.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

namespace uzram {
namespace {

using ::testing::HasSubstr;

std::string here(const std::string& name) {
  return (std::filesystem::current_path() / name).string();
}

TEST(PathWords, MakesARelativeStoreAbsolute) {
  EXPECT_EQ(with_absolute_paths("backing_dev", "a.img"), here("a.img"));
  EXPECT_EQ(with_absolute_paths("backing_dev", "nbd"), here("nbd"));
  EXPECT_EQ(with_absolute_paths("backing_dev", "a folder/a.img"), here("a folder/a.img"));
}

TEST(PathWords, LeavesWhatIsNoRelativePath) {
  for (const char* text : {"/dev/sdb", "nbd://host/x", "nbd+unix:///?socket=/a", "nbds://host", ""})
    EXPECT_EQ(with_absolute_paths("backing_dev", text), text);
  EXPECT_EQ(with_absolute_paths("comp_algorithm", "lz4"), "lz4");
}

TEST(PathWords, MakesRelativeDictionariesAbsolute) {
  EXPECT_EQ(with_absolute_paths("algorithm_params", "algo=zstd dict=words level=3"),
            "algo=zstd dict=" + here("words") + " level=3");
  EXPECT_EQ(with_absolute_paths("algorithm_params", "dict=\"two words\""),
            "dict=\"" + here("two words") + "\"");
  EXPECT_EQ(with_absolute_paths("algorithm_params", "  level=3   dict=/a "),
            "  level=3   dict=/a ");
  EXPECT_EQ(with_absolute_paths("algorithm_params", "dict= level"), "dict= level");
}

TEST(PathWords, RefusesWhatIsStillRelative) {
  EXPECT_TRUE(check_absolute("backing_dev", "/a").has_value());
  EXPECT_TRUE(check_absolute("backing_dev", "").has_value());
  const auto refused = check_absolute("backing_dev", "data.img");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, EINVAL);
  EXPECT_THAT(refused.error().text, HasSubstr("from / on"));
}

}  // namespace
}  // namespace uzram
