// SPDX-License-Identifier: Apache-2.0
#include "codec/zstd.h"

#include <gtest/gtest.h>
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <vector>

#include "codec/page_kinds.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

Bytes page(PageKind kind, std::size_t bytes) {
  Bytes made(bytes);
  PageMaker(4).fill(kind, made);
  return made;
}

std::shared_ptr<const std::string> dictionary(std::size_t bytes) {
  const Bytes text = page(PageKind::Text, bytes);
  return std::make_shared<const std::string>(reinterpret_cast<const char*>(text.data()), bytes);
}

Bytes pack(const CodecParams& params, ConstBytes block) {
  const auto compressor = make_zstd(params).value()->make_compressor().value();
  Bytes out(2 * block.size());
  out.resize(compressor->compress(block, out).value());
  return out;
}

TEST(Zstd, HasTheLevelsOfTheLibrary) {
  EXPECT_EQ(kZstd.level.lowest, ZSTD_minCLevel());
  EXPECT_EQ(kZstd.level.highest, ZSTD_maxCLevel());
  EXPECT_EQ(kZstd.level.standard, ZSTD_defaultCLevel());
}

TEST(Zstd, AbsentLevelIsTheStandardOne) {
  const Bytes block = page(PageKind::Text, kPageBytes);
  EXPECT_EQ(pack({}, block), pack({.level = 3}, block));
  EXPECT_NE(pack({}, block).size(), pack({.level = -5}, block).size());
}

TEST(Zstd, WritesNothingThatADeviceKnows) {
  const Bytes packed = pack({}, page(PageKind::SameByte, kPageBytes));
  EXPECT_EQ(packed.front(), std::byte{0});  // No checksum, no size, no dictionary number.
  ZSTD_frameHeader header;
  ASSERT_EQ(
      ZSTD_getFrameHeader_advanced(&header, packed.data(), packed.size(), ZSTD_f_zstd1_magicless),
      0U);
  EXPECT_EQ(header.frameContentSize, ZSTD_CONTENTSIZE_UNKNOWN);
  EXPECT_EQ(header.checksumFlag, 0U);
  EXPECT_EQ(header.headerSize, 2U);
}

TEST(Zstd, IsTheLibrarysOwnFormatWithoutMagic) {
  const Bytes block = page(PageKind::Records, kPageBytes);
  const Bytes packed = pack({}, block);
  ZSTD_DCtx* const context = ZSTD_createDCtx();
  ZSTD_DCtx_setParameter(context, ZSTD_d_format, ZSTD_f_zstd1_magicless);
  Bytes back(kPageBytes);
  EXPECT_EQ(ZSTD_decompressDCtx(context, back.data(), back.size(), packed.data(), packed.size()),
            kPageBytes);
  ZSTD_freeDCtx(context);
  EXPECT_EQ(back, block);
}

// The static workspace has the size that the library estimates; a context that runs short aborts.
TEST(Zstd, HasRoomForEveryLevelBlockAndDictionary) {
  for (int level = -8; level <= kZstd.level.highest; ++level) {
    for (const std::size_t dictionary_bytes : {0, 500, 20000, 150000}) {
      for (const std::size_t shift : {0, 1, 2, 3, 4, 5, 6}) {
        CodecParams params;
        params.level = level;
        params.block_bytes = kPageBytes << shift;
        if (dictionary_bytes > 0) params.dictionary = dictionary(dictionary_bytes);
        const Bytes packed = pack(params, page(PageKind::Text, params.block_bytes));
        EXPECT_LT(packed.size(), params.block_bytes);
      }
    }
  }
}

TEST(Zstd, ReportsTheMemoryThatItsContextsHave) {
  const auto codec = make_zstd({}).value();
  EXPECT_GT(codec->compressor_bytes(), 16U * 1024);
  EXPECT_LT(codec->compressor_bytes(), 256U * 1024);
  EXPECT_GE(codec->decompressor_bytes(), ZSTD_estimateDCtxSize());
}

TEST(Zstd, RefusesADictionaryThatOnlyClaimsToBeTrained) {
  std::string bytes("\x37\xa4\x30\xec", 4);  // The magic number of trained dictionaries.
  bytes += std::string(1000, 'x');
  CodecParams params;
  params.dictionary = std::make_shared<const std::string>(bytes);
  const auto made = make_zstd(params);
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, EINVAL);
}

// Library versions up to 1.5.5 take some magicless frames for skippable ones and report success.
TEST(Zstd, RefusesSkippableAndAncientFrames) {
  const auto decompressor = make_zstd({}).value()->make_decompressor().value();
  Bytes block(kPageBytes);
  for (const std::uint32_t magic : {0x184d2a50U, 0x184d2a5fU, 0xfd2fb522U, 0xfd2fb527U}) {
    Bytes frame(64);
    std::memcpy(frame.data(), &magic, sizeof(magic));
    EXPECT_EQ(decompressor->decompress(frame, block).error().code, EBADMSG);
  }
}

TEST(Zstd, RefusesASecondFrame) {
  Bytes packed = pack({}, page(PageKind::Text, kPageBytes));
  const Bytes again = packed;
  packed.insert(packed.end(), again.begin(), again.end());
  const auto decompressor = make_zstd({}).value()->make_decompressor().value();
  Bytes block(kPageBytes);
  EXPECT_EQ(decompressor->decompress(packed, block).error().code, EBADMSG);
}

}  // namespace
}  // namespace uzram
