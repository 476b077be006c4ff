// SPDX-License-Identifier: Apache-2.0
// control/attribute_fixture.h: a device whose attributes tests read and write in short words.
//
// Shapes: show() answers the text or the errno's name; store() answers "ok" or the errno's name.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "control/attribute_table.h"
#include "device/device.h"

namespace uzram {

class AttributeTest : public testing::Test {
 protected:
  std::string show(std::string_view name) {
    const InputResult<std::string> text = show_attribute(device_, name);
    return text ? *text : errno_name(text.error().code);
  }
  std::string store(std::string_view name, std::string_view text) {
    const InputResult<void> outcome = store_attribute(device_, name, text);
    if (outcome) return "ok";
    words_ = outcome.error().text;
    EXPECT_FALSE(words_.empty()) << name;
    EXPECT_EQ(words_.find('\n'), std::string::npos) << words_;
    return errno_name(outcome.error().code);
  }
  // One number of mm_stat, counted from 1 as the manual does.
  std::uint64_t mm_stat(int column) {
    std::string text = show("mm_stat");
    std::size_t position = 0;
    std::uint64_t value = 0;
    for (int i = 0; i < column; ++i) {
      std::size_t used = 0;
      value = std::stoull(text.substr(position), &used);
      position += used;
    }
    return value;
  }
  void write_pages(std::uint64_t first, std::uint64_t count, std::byte seed) {
    std::vector<std::byte> bytes(count * kPageBytes);
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<std::byte>((i % 61) ^ std::to_integer<std::size_t>(seed));
    }
    ASSERT_TRUE(device_.write(first * kPageBytes, bytes));
  }

  Device device_{0};
  std::string words_;  // Of the last store() that was refused.
};

}  // namespace uzram
