// SPDX-License-Identifier: Apache-2.0
#include "control/bounded_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

namespace uzram {
namespace {

constexpr std::size_t kManyValues = 1000;

int code_of(std::string_view text, std::size_t most_values = kManyValues) {
  const auto json = parse_bounded_json(text, most_values);
  return json ? 0 : json.error().code;
}

std::string nested(const std::string& open, const std::string& close, std::size_t depth) {
  std::string text;
  for (std::size_t i = 0; i < depth; ++i) text += open;
  for (std::size_t i = 0; i < depth; ++i) text += close;
  return text;
}

TEST(BoundedJson, ReadsWhatIsWithinBounds) {
  const auto json = parse_bounded_json(R"({"op": "list", "set": [["a", "b"]]})", kManyValues);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["set"][0][1], "b");
  EXPECT_EQ(code_of(nested("[", "]", kMostJsonDepth)), 0);
}

TEST(BoundedJson, RefusesWhatIsTooDeep) {
  for (const std::size_t depth : {kMostJsonDepth + 1, std::size_t{9000}, std::size_t{1'000'000}}) {
    EXPECT_EQ(code_of(nested("[", "]", depth)), E2BIG);
    EXPECT_EQ(code_of(nested("[", "", depth)), E2BIG);
    EXPECT_EQ(code_of(nested("{\"a\":", "}", depth)), E2BIG);
    EXPECT_EQ(code_of(nested("[{\"a\":", "}]", depth)), E2BIG);
  }
}

TEST(BoundedJson, IsNotMisledByTextsAndEscapes) {
  EXPECT_EQ(code_of(nested("[\"]]]]\",", "]", kMostJsonDepth + 1)), E2BIG);
  EXPECT_EQ(code_of(nested("[\"\\\"]\",", "]", kMostJsonDepth + 1)), E2BIG);
  EXPECT_EQ(code_of(R"({"a": "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[,,,,\"[[[[[["})"), 0);
  EXPECT_EQ(code_of(std::string(100, ']') + nested("[", "]", kMostJsonDepth + 1)), E2BIG);
}

TEST(BoundedJson, RefusesTooManyValues) {
  std::string text = "[0";
  for (int i = 0; i < 5; ++i) text += ",0";
  text += ']';
  EXPECT_EQ(code_of(text, 7), 0);
  EXPECT_EQ(code_of(text, 6), E2BIG);
}

TEST(BoundedJson, RefusesWhatIsNoJson) {
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("\xff"), std::string("\"\xc0\xaf\""),
        std::string(1'000'000, '9') + "e9", std::string("1e999"), std::string("\0", 1),
        std::string("\"abc"), std::string("\"\\")}) {
    EXPECT_EQ(code_of(text), EBADMSG) << text.substr(0, 20);
  }
}

}  // namespace
}  // namespace uzram
