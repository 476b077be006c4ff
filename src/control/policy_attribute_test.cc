// SPDX-License-Identifier: Apache-2.0
// The attributes policy and policy_explain, as scripts read and write them.
#include <gmock/gmock.h>

#include "control/attribute_fixture.h"

namespace uzram {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

class PolicyAttributeTest : public AttributeTest {};

TEST_F(PolicyAttributeTest, IsOffAtFirst) {
  EXPECT_EQ(show("policy"), "off\n");
  EXPECT_EQ(show("policy_explain"), "policy: off; nothing happens by itself. \"on\" starts it.\n");
}

TEST_F(PolicyAttributeTest, ShowsEverySettingAndReadsItBack) {
  ASSERT_EQ(store("policy", "on idle_after=5m cpu_percent=3\n"), "ok");
  const std::string line = show("policy");
  EXPECT_THAT(line, StartsWith("on idle_after=5m "));
  EXPECT_THAT(line, HasSubstr(" cpu_percent=3 "));
  EXPECT_THAT(line, HasSubstr(" bytes_per_day=4G "));
  EXPECT_THAT(line, EndsWith("\n"));
  EXPECT_EQ(store("policy", line), "ok");
  EXPECT_EQ(show("policy"), line);
  EXPECT_EQ(store("policy", "on"), "ok");
  EXPECT_THAT(show("policy"), StartsWith("on idle_after=10m "))
      << "each line starts from the defaults";
}

TEST_F(PolicyAttributeTest, WaitsForTheDisksize) {
  ASSERT_EQ(store("policy", "on"), "ok");
  EXPECT_THAT(show("policy_explain"), HasSubstr("disksize"));
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_THAT(show("policy_explain"), StartsWith("policy: on; "));
  EXPECT_THAT(show("policy_explain"), HasSubstr("off: backing_dev is not set"));
  ASSERT_EQ(store("policy", "off"), "ok");
  EXPECT_THAT(show("policy_explain"), StartsWith("policy: off"));
}

TEST_F(PolicyAttributeTest, IsSwitchedOffByReset) {
  ASSERT_EQ(store("disksize", "1M"), "ok");
  ASSERT_EQ(store("policy", "on"), "ok");
  ASSERT_EQ(store("reset", "1"), "ok");
  EXPECT_EQ(show("policy"), "off\n");
  ASSERT_EQ(store("disksize", "1M"), "ok");
  EXPECT_THAT(show("policy_explain"), StartsWith("policy: off"));
}

TEST_F(PolicyAttributeTest, RefusesWrongWordsAndChangesNothing) {
  for (const char* disksize : {"", "1M"}) {
    if (*disksize != '\0') {
      ASSERT_EQ(store("disksize", disksize), "ok");
    }
    ASSERT_EQ(store("policy", "on idle_after=5m"), "ok");
    const std::string before = show("policy");
    for (const char* words :
         {"yes", "1", "on idle_after", "on idle_after=", "on idle_after=0s", "on idle=5m",
          "off idle_after=5m", "on cluster_after=1m", "on max_pages=lots", "\n", "on \x01=2"}) {
      EXPECT_EQ(store("policy", words), "EINVAL") << words;
      EXPECT_THAT(words_, StartsWith("policy: "));
    }
    EXPECT_EQ(show("policy"), before);
  }
  EXPECT_EQ(store("policy_explain", "on"), "EACCES");
}

}  // namespace
}  // namespace uzram
