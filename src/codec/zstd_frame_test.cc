// SPDX-License-Identifier: Apache-2.0
#include "codec/zstd_frame.h"

#include <gtest/gtest.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <vector>

#include "codec/page_kinds.h"

namespace uzram {
namespace {

using FrameBytes = std::vector<std::byte>;

constexpr std::size_t kSmallBytes = kPageBytes << 2;

FrameBytes block_of(PageKind kind, std::size_t bytes) {
  FrameBytes made(bytes);
  PageMaker(7).fill(kind, made);
  return made;
}

FrameBytes pack_frame(int level, ConstBytes block) {
  const auto compressor = make_zstd_frame({.level = level, .block_bytes = block.size()})
                              .value()
                              ->make_compressor()
                              .value();
  FrameBytes out(2 * block.size());
  out.resize(compressor->compress(block, out).value());
  return out;
}

TEST(ZstdFrame, IsAPlainFrameOfUnknownSize) {
  const FrameBytes packed = pack_frame(1, block_of(PageKind::Text, kSmallBytes));
  ZSTD_frameHeader header;
  ASSERT_EQ(ZSTD_getFrameHeader(&header, packed.data(), packed.size()), 0U);
  EXPECT_EQ(header.frameContentSize, ZSTD_CONTENTSIZE_UNKNOWN);
  EXPECT_EQ(header.checksumFlag, 0U);
  EXPECT_EQ(header.windowSize, kSmallBytes);
  const FrameBytes end(packed.end() - 3, packed.end());
  EXPECT_EQ(end, (FrameBytes{std::byte{1}, std::byte{0}, std::byte{0}})) << "an empty last block";
}

TEST(ZstdFrame, ReadsWhatItWritesAndWhatTheLibraryWritesAtOnce) {
  const auto decompressor =
      make_zstd_frame({.block_bytes = kMaxBlockBytes}).value()->make_decompressor().value();
  for (const std::size_t bytes : {kSmallBytes, kPageBytes << 6, kMaxBlockBytes}) {
    for (const PageKind kind : kPageKinds) {
      const FrameBytes block = block_of(kind, bytes);
      FrameBytes unpacked(bytes);
      ASSERT_TRUE(decompressor->decompress(pack_frame(3, block), unpacked));
      EXPECT_EQ(unpacked, block);
      FrameBytes at_once(2 * bytes);
      at_once.resize(ZSTD_compress(at_once.data(), at_once.size(), block.data(), block.size(), 5));
      ASSERT_TRUE(decompressor->decompress(at_once, unpacked));
      EXPECT_EQ(unpacked, block);
    }
  }
}

TEST(ZstdFrame, FitsExactlyOrNotAtAll) {
  const FrameBytes block = block_of(PageKind::Text, kSmallBytes);
  const FrameBytes packed = pack_frame(1, block);
  const auto compressor =
      make_zstd_frame({.level = 1, .block_bytes = kSmallBytes}).value()->make_compressor().value();
  FrameBytes out(packed.size());
  EXPECT_EQ(compressor->compress(block, out), packed.size());
  EXPECT_EQ(out, packed);
  for (std::size_t room = 0; room < packed.size(); room += 7) {
    EXPECT_EQ(compressor->compress(block, MutableBytes(out).first(room)), std::nullopt);
  }
  EXPECT_EQ(compressor->compress(block, out), packed.size()) << "a failure leaves nothing behind";
}

TEST(ZstdFrame, RefusesWhatIsNoFrameOfThisSize) {
  const FrameBytes block = block_of(PageKind::Text, kSmallBytes);
  const auto decompressor =
      make_zstd_frame({.block_bytes = kMaxBlockBytes}).value()->make_decompressor().value();
  FrameBytes packed = pack_frame(1, block);
  FrameBytes larger(2 * kSmallBytes);
  FrameBytes smaller(kPageBytes);
  EXPECT_EQ(decompressor->decompress(packed, larger).error().code, EBADMSG);
  EXPECT_EQ(decompressor->decompress(packed, smaller).error().code, EBADMSG);
  FrameBytes exact(kSmallBytes);
  for (std::size_t bytes = 0; bytes < packed.size(); bytes += 11)
    EXPECT_FALSE(decompressor->decompress(ConstBytes(packed).first(bytes), exact));
  packed.front() ^= std::byte{1};
  EXPECT_EQ(decompressor->decompress(packed, exact).error().code, EBADMSG);
  const FrameBytes skippable = {std::byte{0x50}, std::byte{0x2a}, std::byte{0x4d}, std::byte{0x18},
                                std::byte{0},    std::byte{0},    std::byte{0},    std::byte{0}};
  EXPECT_EQ(decompressor->decompress(skippable, exact).error().code, EBADMSG);
}

TEST(ZstdFrame, TakesTheLevelsOfTheKernel) {
  for (const int level : {1, 22}) EXPECT_TRUE(make_zstd_frame({.level = level}));
  for (const int level : {-1, 0, 23})
    EXPECT_EQ(make_zstd_frame({.level = level}).error().code, EINVAL) << level;
  const auto dictionary = std::make_shared<const std::string>("some words");
  EXPECT_EQ(make_zstd_frame({.dictionary = dictionary}).error().code, EINVAL);
}

}  // namespace
}  // namespace uzram
