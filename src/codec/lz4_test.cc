// SPDX-License-Identifier: Apache-2.0
#include "codec/lz4.h"

#include <gtest/gtest.h>
#include <lz4.h>
#include <lz4hc.h>

#include <vector>

#include "codec/lz4hc.h"
#include "codec/page_kinds.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

Bytes page(PageKind kind, std::size_t bytes = kPageBytes) {
  Bytes made(bytes);
  PageMaker(4).fill(kind, made);
  return made;
}

const char* chars(const Bytes& bytes) { return reinterpret_cast<const char*>(bytes.data()); }
char* chars(Bytes& bytes) { return reinterpret_cast<char*>(bytes.data()); }

Bytes pack(const CodecInfo& row, const CodecParams& params, ConstBytes block) {
  const auto compressor = row.make(params).value()->make_compressor().value();
  Bytes out(2 * block.size());
  out.resize(compressor->compress(block, out).value());
  return out;
}

TEST(Lz4, IsTheBareBlockOfTheLibrary) {
  for (const PageKind kind : kPageKinds) {
    const Bytes block = page(kind);
    Bytes expected(2 * kPageBytes);
    const int bytes = LZ4_compress_default(chars(block), chars(expected), kPageBytes,
                                           static_cast<int>(expected.size()));
    expected.resize(static_cast<std::size_t>(bytes));
    EXPECT_EQ(pack(kLz4, {}, block), expected);
  }
}

TEST(Lz4, TakesTheLevelForAcceleration) {
  const Bytes block = page(PageKind::Records);
  EXPECT_LT(pack(kLz4, {.level = 1}, block).size(), pack(kLz4, {.level = 60}, block).size());
}

TEST(Lz4, UsesOnlyTheLast64KiBOfADictionary) {
  const Bytes text = page(PageKind::Text, 65536);
  CodecParams short_one;
  short_one.dictionary = std::make_shared<const std::string>(chars(text), text.size());
  CodecParams long_one;
  long_one.dictionary =
      std::make_shared<const std::string>(std::string(5000, 'z') + *short_one.dictionary);
  const Bytes block = page(PageKind::HalfRandom);
  for (const CodecInfo& row : {kLz4, kLz4hc})
    EXPECT_EQ(pack(row, short_one, block), pack(row, long_one, block)) << row.name;
}

TEST(Lz4hc, PacksBetterThanLz4IntoTheSameFormat) {
  const Bytes block = page(PageKind::Records);
  const Bytes packed = pack(kLz4hc, {}, block);
  EXPECT_LT(packed.size(), pack(kLz4, {}, block).size());
  Bytes back(kPageBytes);
  const auto decompressor = make_lz4({}).value()->make_decompressor().value();
  ASSERT_TRUE(decompressor->decompress(packed, back));
  EXPECT_EQ(back, block);
}

TEST(Lz4hc, PacksAsTheLibraryDoesWithAFreshState) {
  for (const int level : {3, 6, 9}) {
    for (const PageKind kind : kPageKinds) {
      const Bytes block = page(kind);
      Bytes expected(2 * kPageBytes);
      const int bytes = LZ4_compress_HC(chars(block), chars(expected), kPageBytes,
                                        static_cast<int>(expected.size()), level);
      expected.resize(static_cast<std::size_t>(bytes));
      EXPECT_EQ(pack(kLz4hc, {.level = level}, block), expected) << level;
    }
  }
}

TEST(Lz4hc, PacksAboveLevelNineAsForNine) {
  const Bytes block = page(PageKind::Records);
  EXPECT_EQ(pack(kLz4hc, {.level = 16}, block), pack(kLz4hc, {.level = 9}, block));
}

}  // namespace
}  // namespace uzram
