// SPDX-License-Identifier: Apache-2.0
// What a store promises with every algorithm of the table, at every edge of its parameters.
#include <gtest/gtest.h>

#include <vector>

#include "codec/codec_rows.h"
#include "store/store.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

std::vector<Page> one_page_of_each_kind() {
  std::vector<Page> pages;
  for (std::uint64_t seed = 0; seed < 3; ++seed)
    for (const PageKind kind : kPageKinds) pages.push_back(page_of(kind, seed));
  pages.push_back(filled_page(0x0123456789abcdef));
  for (std::size_t bytes = 3600; bytes < 4096; bytes += 31)
    pages.push_back(page_with_random_bytes(bytes, bytes));
  return pages;
}

void expect_pages(Store& store, const std::vector<Page>& pages) {
  for (std::size_t i = 0; i < pages.size(); ++i) {
    ASSERT_EQ(read_page_of(store, i), pages[i]) << "page " << i;
    Page part;
    ASSERT_EQ(code_of(store.read_part({i}, 100, MutableBytes(part).first(3000))), 0);
    ASSERT_TRUE(std::equal(part.begin(), part.begin() + 3000, pages[i].begin() + 100));
  }
}

void keeps_pages(const StoreConfig& config) {
  const auto store = make_store(config);
  ASSERT_NE(store, nullptr);
  std::vector<Page> pages = one_page_of_each_kind();
  for (std::size_t i = 0; i < pages.size(); ++i) ASSERT_EQ(code_of(store->write({i}, pages[i])), 0);
  expect_pages(*store, pages);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const Page patch = page_of(PageKind::Text, i + 100);
    std::copy_n(patch.begin(), 700, pages[i].begin() + 1234);
    ASSERT_EQ(code_of(store->write_part({i}, 1234, ConstBytes(patch).first(700))), 0);
  }
  std::rotate(pages.begin(), pages.begin() + 1, pages.end());
  for (std::size_t i = 0; i + 5 < pages.size(); ++i)
    ASSERT_EQ(code_of(store->write({i}, pages[i])), 0);
  for (std::size_t i = pages.size() - 5; i < pages.size(); ++i) {
    store->free({i}, 1);
    pages[i] = Page{};
  }
  store->compact();
  expect_pages(*store, pages);
  store->check_invariants();
  const StoreSums sums = store->sums();
  const auto again = reopen(*store);
  expect_pages(*again, pages);
  again->check_invariants();
  EXPECT_EQ(again->sums(), sums);
}

class StoreWithCodec : public testing::TestWithParam<CodecInfo> {
 protected:
  static StoreConfig config() { return config_of(GetParam().name, 128); }
};

class StoreWithLevels : public StoreWithCodec {};
class StoreWithWindows : public StoreWithCodec {};
class StoreWithDictionary : public StoreWithCodec {};

std::vector<CodecInfo> rows_with_levels() {
  std::vector<CodecInfo> rows = every_row();
  std::erase_if(rows, [](const CodecInfo& row) { return row.level.lowest == row.level.highest; });
  return rows;
}

std::vector<CodecInfo> rows_with_windows() {
  std::vector<CodecInfo> rows = every_row();
  std::erase_if(rows, [](const CodecInfo& row) { return !row.takes_window_bits; });
  return rows;
}

TEST_P(StoreWithCodec, KeepsPages) { keeps_pages(config()); }

TEST_P(StoreWithCodec, KeepsPagesWithoutChecks) {
  StoreConfig config = StoreWithCodec::config();
  config.has_page_checks = false;
  keeps_pages(config);
}

TEST_P(StoreWithLevels, KeepsPagesAtBothEnds) {
  for (const int level : {GetParam().level.lowest, GetParam().level.highest}) {
    StoreConfig config = StoreWithCodec::config();
    config.codecs[0].params.level = level;
    keeps_pages(config);
  }
}

TEST_P(StoreWithWindows, KeepsPages) {
  for (const int bits : {-15, -10, -9, -8}) {
    StoreConfig config = StoreWithCodec::config();
    config.codecs[0].params.window_bits = bits;
    keeps_pages(config);
  }
}

TEST_P(StoreWithCodec, PacksTextAndFindsDamageInIt) {
  const auto store = make_store(config());
  ASSERT_EQ(code_of(store->write({3}, page_of(PageKind::Text, 1))), 0);
  ASSERT_EQ(store->word_of({3}).state(), SlotState::Packed);
  EXPECT_LT(store->word_of({3}).packed_bytes(), kPageBytes * 3 / 4);
  const ArenaView view(*store);
  Page out;
  for (std::size_t i = 0; i < store->word_of({3}).packed_bytes(); i += 5) {
    view.object(3)[i] ^= std::byte{0x80};
    ASSERT_EQ(code_of(store->read({3}, out)), EIO) << "byte " << i;
    view.object(3)[i] ^= std::byte{0x80};
  }
  EXPECT_EQ(read_page_of(*store, 3), page_of(PageKind::Text, 1));
}

TEST_P(StoreWithDictionary, PacksSmallerWithIt) {
  StoreConfig config = StoreWithCodec::config();
  std::string dictionary(20'000, '\0');
  PageMaker(1).fill(PageKind::Text, std::as_writable_bytes(std::span(dictionary)));
  const Page page = page_of(PageKind::Text, 1);  // The dictionary's first page.
  const auto without = make_store(config);
  config.codecs[0].params.dictionary = std::make_shared<const std::string>(dictionary);
  const auto with = make_store(config);
  ASSERT_EQ(code_of(without->write({0}, page)), 0);
  ASSERT_EQ(code_of(with->write({0}, page)), 0);
  EXPECT_LT(with->word_of({0}).packed_bytes(), without->word_of({0}).packed_bytes());
  EXPECT_EQ(read_page_of(*with, 0), page);
  EXPECT_EQ(read_page_of(*reopen(*with), 0), page) << "the arena holds the dictionary";
  keeps_pages(config);
}

INSTANTIATE_TEST_SUITE_P(Codecs, StoreWithCodec, testing::ValuesIn(every_row()), row_name);
INSTANTIATE_TEST_SUITE_P(Codecs, StoreWithLevels, testing::ValuesIn(rows_with_levels()), row_name);
INSTANTIATE_TEST_SUITE_P(Codecs, StoreWithWindows, testing::ValuesIn(rows_with_windows()),
                         row_name);
INSTANTIATE_TEST_SUITE_P(Codecs, StoreWithDictionary, testing::ValuesIn(rows_with_dictionary()),
                         row_name);

}  // namespace
}  // namespace uzram
