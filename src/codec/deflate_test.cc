// SPDX-License-Identifier: Apache-2.0
#include "codec/deflate.h"

#include <gtest/gtest.h>
#include <malloc.h>
#include <zlib.h>

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

Bytes pack(const CodecParams& params, ConstBytes block) {
  const auto compressor = make_deflate(params).value()->make_compressor().value();
  Bytes out(2 * block.size());
  out.resize(compressor->compress(block, out).value());
  return out;
}

z_stream stream_over(ConstBytes in, MutableBytes out) {
  z_stream stream = {};
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(in.data()));
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  return stream;
}

// zlib is what the kernel has. The output goes out in pieces, so that copies from further back need
// the window. Returns: zlib's outcome; Z_STREAM_END is success.
int zlib_unpack(ConstBytes packed, MutableBytes block, int window_bits) {
  constexpr uInt kPieceBytes = 256;
  z_stream stream = stream_over(packed, block);
  EXPECT_EQ(inflateInit2(&stream, -window_bits), Z_OK);
  int outcome = Z_OK;
  while (outcome == Z_OK && stream.total_out <= block.size() - kPieceBytes) {
    stream.avail_out = kPieceBytes;
    outcome = inflate(&stream, Z_NO_FLUSH);
  }
  if (outcome == Z_OK) {
    stream.avail_out = 0;
    outcome = inflate(&stream, Z_FINISH);
  }
  inflateEnd(&stream);
  return outcome;
}

Bytes zlib_pack(ConstBytes block, int window_bits) {
  Bytes packed(2 * block.size());
  z_stream stream = stream_over(block, packed);
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, -window_bits, 8, Z_DEFAULT_STRATEGY), Z_OK);
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

TEST(Deflate, IsReadByZlibWithAWindowOfTheBlockSize) {
  const Bytes block = page(PageKind::FarCopies, kPageBytes);
  Bytes back(kPageBytes);
  EXPECT_EQ(zlib_unpack(pack({}, block), back, 12), Z_STREAM_END);
  EXPECT_EQ(back, block);
}

TEST(Deflate, ReadsWhatZlibWrites) {
  const auto decompressor = make_deflate({}).value()->make_decompressor().value();
  for (const PageKind kind : kPageKinds) {
    const Bytes block = page(kind, kPageBytes);
    Bytes back(kPageBytes);
    ASSERT_TRUE(decompressor->decompress(zlib_pack(block, 11), back));
    EXPECT_EQ(back, block);
  }
}

TEST(Deflate, ReachesBackFurtherThanTheWindowAskedForOnLargerBlocks) {
  CodecParams params;
  params.window_bits = 9;
  params.block_bytes = 16 * kPageBytes;
  Bytes block = page(PageKind::Random, params.block_bytes);
  std::memcpy(block.data() + 8192, block.data(), 4096);
  const Bytes packed = pack(params, block);
  EXPECT_LT(packed.size(), block.size() - 3000);
  Bytes back(block.size());
  EXPECT_EQ(zlib_unpack(packed, back, 9), Z_DATA_ERROR);
  EXPECT_EQ(zlib_unpack(packed, back, 15), Z_STREAM_END);
}

TEST(Deflate, TakesMinusOneForLevelSix) {
  const Bytes block = page(PageKind::Records, kPageBytes);
  EXPECT_EQ(pack({.level = -1}, block), pack({.level = 6}, block));
  EXPECT_EQ(pack({}, block), pack({.level = 6}, block));
}

TEST(Deflate, RefusesTrailingBytes) {
  Bytes packed = pack({}, page(PageKind::Text, kPageBytes));
  packed.push_back(std::byte{0});
  Bytes block(kPageBytes);
  const auto decompressor = make_deflate({}).value()->make_decompressor().value();
  EXPECT_EQ(decompressor->decompress(packed, block).error().code, EBADMSG);
}

// The library does not tell what it allocates, so the report has a table; this keeps it true.
TEST(Deflate, ReportsTheMemoryThatItsContextsHave) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(__clang__)
  GTEST_SKIP() << "the allocator's statistics may be a sanitizer's";
#endif
  const auto in_use = [] {
    const struct mallinfo2 now = mallinfo2();
    return now.uordblks + now.hblkhd;
  };
  for (int level = 0; level <= kDeflate.level.highest; ++level) {
    const auto codec = make_deflate({.level = level}).value();
    const std::size_t before = in_use();
    const auto compressor = codec->make_compressor().value();
    const std::size_t between = in_use();
    const auto decompressor = codec->make_decompressor().value();
    const auto real = static_cast<double>(between - before);
    EXPECT_NEAR(static_cast<double>(codec->compressor_bytes()), real, real * 0.1 + 512) << level;
    EXPECT_NEAR(static_cast<double>(codec->decompressor_bytes()),
                static_cast<double>(in_use() - between), 1500);
  }
}

}  // namespace
}  // namespace uzram
