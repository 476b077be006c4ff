// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/tree_listing.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "control/attribute_table.h"
#include "device/device.h"

namespace uzram {
namespace {

constexpr std::size_t kLineBytes = 8;

// The pages that are stored; `list` of an attribute has no other way to know them.
std::set<std::uint64_t> stored_pages;

std::string line_of(std::uint64_t page) { return fmt::format("{:7}\n", page); }

InputResult<TextPart> list_stored(const Device& device, PageIndex first, std::size_t most_lines) {
  if (!device.is_initialised()) return refuse(EINVAL, "no disksize");
  TextPart part;
  auto page = stored_pages.lower_bound(first.value);
  for (std::size_t i = 0; i < most_lines && page != stored_pages.end(); ++i, ++page) {
    part.text += line_of(*page);
  }
  if (page != stored_pages.end()) part.next = PageIndex{*page};
  return part;
}

class TreeListingTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(device_.set_disksize(std::uint64_t{4} << 30)); }
  void TearDown() override { stored_pages.clear(); }
  static void store(std::uint64_t first, std::uint64_t count, std::uint64_t step = 1) {
    for (std::uint64_t i = 0; i < count; ++i) stored_pages.insert(first + i * step);
  }
  static std::string whole() {
    std::string text;
    for (const std::uint64_t page : stored_pages) text += line_of(page);
    return text;
  }
  std::string text_at(std::uint64_t offset, std::size_t bytes) {
    std::string text(bytes, '?');
    const auto done = listing_.read(offset, std::as_writable_bytes(std::span(text)));
    EXPECT_TRUE(done);
    return text.substr(0, done.value_or(0));
  }
  // From the start to the end, so many bytes at a time.
  std::string in_pieces(std::size_t bytes) {
    std::string text;
    for (std::string piece; !(piece = text_at(text.size(), bytes)).empty();) text += piece;
    return text;
  }

  Device device_{0};
  const Attribute attribute_{"lines", 0400, "", nullptr, nullptr, false, list_stored, kLineBytes};
  TreeListing listing_{device_, attribute_};
};

TEST_F(TreeListingTest, IsTheSameInPiecesOfAnySize) {
  store(3, 1000, 2);
  const std::string text = whole();
  for (const std::size_t bytes : {1, 3, 7, 8, 9, 15, 16, 17, 1000, 4096, 7999, 8000, 8001}) {
    EXPECT_EQ(in_pieces(bytes), text) << bytes;
  }
}

TEST_F(TreeListingTest, OfNothingIsEmpty) {
  EXPECT_EQ(in_pieces(100), "");
  EXPECT_EQ(text_at(17, 100), "");
}

TEST_F(TreeListingTest, IsReadFromAnyOffset) {
  store(0, 3 * TreeListing::kMarkLines, 5);
  const std::string text = whole();
  std::mt19937_64 random(7);
  for (int i = 0; i < 300; ++i) {
    const std::uint64_t offset = random() % (text.size() + 100);
    const std::size_t bytes = random() % 5000;
    const std::string expected = offset < text.size() ? text.substr(offset, bytes) : "";
    ASSERT_EQ(text_at(offset, bytes), expected) << offset << " " << bytes;
  }
  EXPECT_EQ(text_at(text.size(), 10), "");
  EXPECT_EQ(text_at(~std::uint64_t{0}, 10), "");
  EXPECT_EQ(text_at(text.size() - 1, 10), "\n");
}

TEST_F(TreeListingTest, LosesAndRepeatsNothingWhenPagesFurtherUpComeAndGo) {
  store(1000, 100);
  std::string text = text_at(0, 50 * kLineBytes);
  store(0, 500);
  text += text_at(text.size(), 10 * kLineBytes);
  stored_pages.erase(stored_pages.begin(), stored_pages.find(1030));
  text += text_at(text.size(), 1000 * kLineBytes);
  store(1000, 30);
  stored_pages.erase(stored_pages.begin(), stored_pages.find(1000));
  EXPECT_EQ(text, whole());
}

TEST_F(TreeListingTest, EndsALineAsItBeganIt) {
  store(1000, 3);
  EXPECT_EQ(text_at(0, 12), "   1000\n   1");
  stored_pages.erase(1001);
  EXPECT_EQ(text_at(12, 2), "00");
  EXPECT_EQ(text_at(14, 100), "1\n   1002\n") << "that page is gone, its line is whole";
}

TEST_F(TreeListingTest, BeginsAnewAtTheStart) {
  store(0, 10);
  in_pieces(100);
  store(100, 10);
  EXPECT_EQ(text_at(80, 100), "") << "whoever was told of the end stays there";
  EXPECT_EQ(in_pieces(100), whole());
}

TEST_F(TreeListingTest, ReadersSeeEveryPageThatWasThereAllTheTime) {
  std::mt19937_64 random(testing::UnitTest::GetInstance()->random_seed());
  for (int round = 0; round < 50; ++round) {
    stored_pages.clear();
    for (int i = 0; i < 400; ++i) stored_pages.insert(random() % 1000);
    std::set<std::uint64_t> always = stored_pages;
    std::string text;
    for (std::string piece; !(piece = text_at(text.size(), 1 + random() % 200)).empty();) {
      text += piece;
      for (int i = 0; i < 10; ++i) stored_pages.insert(random() % 1000);
      for (int i = 0; i < 10; ++i) {
        const std::uint64_t gone = random() % 1000;
        stored_pages.erase(gone);
        always.erase(gone);
      }
    }
    ASSERT_EQ(text.size() % kLineBytes, 0U);
    std::uint64_t last = 0;
    for (std::size_t at = 0; at < text.size(); at += kLineBytes) {
      const std::string line = text.substr(at, kLineBytes);
      const std::uint64_t page = std::stoull(line);
      ASSERT_EQ(line, line_of(page)) << "seed " << testing::UnitTest::GetInstance()->random_seed();
      ASSERT_TRUE(at == 0 || page > last) << line;
      last = page;
      always.erase(page);
    }
    ASSERT_TRUE(always.empty()) << "seed " << testing::UnitTest::GetInstance()->random_seed();
  }
}

TEST_F(TreeListingTest, HandsErrorsOn) {
  store(0, 10);
  EXPECT_EQ(text_at(0, 8), line_of(0));
  ASSERT_TRUE(device_.reset());
  std::array<std::byte, 8> out{};
  EXPECT_EQ(listing_.read(0, out).error().code, EINVAL);
}

}  // namespace
}  // namespace uzram
