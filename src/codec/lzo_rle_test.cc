// SPDX-License-Identifier: Apache-2.0
// Streams written by hand from the description of the format, and both directions against liblzo2.
#include "codec/lzo_rle.h"

#include <gtest/gtest.h>
#include <lzo/lzo1x.h>

#include <vector>

#include "codec/lzo_stream.h"
#include "codec/page_kinds.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::initializer_list<int> values) {
  Bytes bytes;
  for (const int value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

Bytes bytes_of(std::string_view text) {
  const ConstBytes bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Bytes operator+(Bytes left, const Bytes& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Bytes page(PageKind kind, std::size_t bytes, std::uint64_t seed = 4) {
  Bytes made(bytes);
  PageMaker(seed).fill(kind, made);
  return made;
}

const Bytes kEnd = bytes_of({0x11, 0, 0});
const Bytes kVersion1 = bytes_of({0x11, 1});

// Returns: what the stream unpacks to, if that is `bytes` long.
std::optional<Bytes> unpack(const Bytes& packed, std::size_t bytes) {
  Bytes block(bytes);
  if (!decode_lzo(packed, block)) return std::nullopt;
  return block;
}

Bytes pack(const Bytes& block, LzoVersion version) {
  Bytes out(2 * block.size() + 64);
  LzoEncoder encoder;
  out.resize(encoder.encode(block, out, version).value());
  return out;
}

TEST(LzoStream, FirstByteCountsLiterals) {
  EXPECT_EQ(unpack(bytes_of({17 + 5}) + bytes_of("hello") + kEnd, 5), bytes_of("hello"));
  EXPECT_EQ(unpack(bytes_of({17 + 1}) + bytes_of("h") + kEnd, 1), bytes_of("h"));
}

TEST(LzoStream, LongLiteralRunsHaveExtensionBytes) {
  const Bytes run = page(PageKind::Random, 18 + 255 + 9);
  EXPECT_EQ(unpack(bytes_of({0, 0, 9}) + run + kEnd, run.size()), run);
  const Bytes short_run = page(PageKind::Random, 8);
  EXPECT_EQ(unpack(bytes_of({5}) + short_run + kEnd, 8), short_run);
}

TEST(LzoStream, NearCopyIsFollowedByUpToThreeLiterals) {
  // Five bytes from 5 back, then "xy": 1 00 DDD SS with D = 4 and length 5.
  const Bytes packed =
      bytes_of({17 + 5}) + bytes_of("hello") + bytes_of({0x80 | 4 << 2 | 2, 0}) + bytes_of("xy");
  EXPECT_EQ(unpack(packed + kEnd, 12), bytes_of("hellohelloxy"));
  const Bytes three = bytes_of({17 + 4}) + bytes_of("abcd") + bytes_of({0x40 | 3 << 2, 0});
  EXPECT_EQ(unpack(three + kEnd, 7), bytes_of("abcdabc"));
  const Bytes eight = bytes_of({17 + 4}) + bytes_of("abcd") + bytes_of({0xe0 | 3 << 2, 0});
  EXPECT_EQ(unpack(eight + kEnd, 12), bytes_of("abcdabcdabcd"));
}

TEST(LzoStream, MiddleCopyMayOverlapItself) {
  // 2 + 31 + 255 + 7 bytes from 1 back, then "z": distance field 0, S = 1.
  const Bytes packed =
      bytes_of({17 + 4}) + bytes_of("abca") + bytes_of({0x20, 0, 7, 1, 0}) + bytes_of("z");
  EXPECT_EQ(unpack(packed + kEnd, 4 + 295 + 1), bytes_of("abc" + std::string(296, 'a') + "z"));
}

TEST(LzoStream, FarCopyReachesBeyond16KiB) {
  const Bytes run = page(PageKind::Random, 40000);
  const std::size_t extension = run.size() - 18;
  Bytes packed = bytes_of({0}) + Bytes((extension - 1) / 255) +
                 bytes_of({static_cast<int>((extension - 1) % 255 + 1)}) + run;
  // Four bytes from 16384 + 16384 + 3 back: H = 1, D = 3.
  packed = packed + bytes_of({0x18 | 2, 3 << 2, 0}) + kEnd;
  Bytes expected = run;
  expected.insert(expected.end(), run.end() - 32771, run.end() - 32767);
  EXPECT_EQ(unpack(packed, 40004), expected);
}

TEST(LzoStream, ShortCopiesDependOnTheLiteralsBefore) {
  // After one literal: 2 bytes from H * 4 + D + 1 = 3 back.
  const Bytes two = bytes_of({17 + 4}) + bytes_of("abcd") + bytes_of({0x40 | 3 << 2 | 1, 0}) +
                    bytes_of("x") + bytes_of({2 << 2, 0});
  EXPECT_EQ(unpack(two + kEnd, 10), bytes_of("abcdabcxbc"));
  // After a literal run: 3 bytes from 2049 + 1 back.
  const Bytes run = page(PageKind::Random, 18 + 255 * 8 + 22);
  const Bytes three = bytes_of({0, 0, 0, 0, 0, 0, 0, 0, 0, 22}) + run + bytes_of({1 << 2, 0});
  Bytes expected = run;
  expected.insert(expected.end(), run.end() - 2050, run.end() - 2047);
  EXPECT_EQ(unpack(three + kEnd, expected.size()), expected);
}

TEST(LzoStream, RunsOfZerosCarryElevenBitsAndLiterals) {
  const Bytes longest = kVersion1 + bytes_of({17 + 1, 'A'}) + bytes_of({0x1f, 0xfc, 0xff, 0xff});
  EXPECT_EQ(unpack(longest + kEnd, 2052), bytes_of("A") + Bytes(2051));
  const Bytes shortest =
      kVersion1 + bytes_of({17 + 1, 'A'}) + bytes_of({0x18, 0xfe, 0xff, 0, 'B', 'C'});
  EXPECT_EQ(unpack(shortest + kEnd, 7), bytes_of("A") + Bytes(4) + bytes_of("BC"));
  const Bytes eleven = kVersion1 + bytes_of({17 + 1, 'A'}) + bytes_of({0x1a, 0xfc, 0xff, 5});
  EXPECT_EQ(unpack(eleven + kEnd, 47), bytes_of("A") + Bytes(5 * 8 + 2 + 4));
}

TEST(LzoStream, Version0HasNoRunsOfZeros) {
  const Bytes body = bytes_of({17 + 1, 'A'}) + bytes_of({0x1f, 0xfc, 0xff, 0xff}) + kEnd;
  EXPECT_EQ(unpack(body, 2052), std::nullopt);
  EXPECT_EQ(unpack(bytes_of({0x11, 0}) + body, 2052), std::nullopt);
}

TEST(LzoStream, RefusesWhatIsNoStream) {
  const Bytes good = bytes_of({17 + 5}) + bytes_of("hello") + kEnd;
  EXPECT_EQ(unpack(good + bytes_of({0}), 5), std::nullopt) << "trailing byte";
  EXPECT_EQ(unpack(good, 6), std::nullopt) << "block not filled";
  EXPECT_EQ(unpack(good, 4), std::nullopt) << "block too small";
  EXPECT_EQ(unpack(bytes_of({0x11, 2}) + good, 5), std::nullopt) << "unknown version";
  EXPECT_EQ(unpack(bytes_of({0x40, 0}) + kEnd, 3), std::nullopt) << "copy from before the start";
  EXPECT_EQ(unpack(bytes_of({17 + 4}) + bytes_of("abcd") + bytes_of({0x12, 0, 0}), 4), std::nullopt)
      << "end with another length";
  EXPECT_EQ(unpack(bytes_of({0, 0, 0, 0}), 4), std::nullopt) << "endless length";
  EXPECT_EQ(unpack({}, 4), std::nullopt);
}

TEST(LzoStream, EncoderPacksAPageOfZerosAsRuns) {
  const Bytes expected = kVersion1 + bytes_of({17 + 1, 0}) + bytes_of({0x1f, 0xfc, 0xff, 0xff}) +
                         bytes_of({0x18, 0xfc, 0xff, 0xff}) + kEnd;
  EXPECT_EQ(pack(Bytes(kPageBytes), LzoVersion::ZeroRuns), expected);
}

// Such a copy would spell a run of zeros: see "Version 1" in lzo_rle.cc.
TEST(LzoStream, EncoderAvoidsCopiesThatLookLikeRuns) {
  for (const std::size_t distance : {0x803fU, 0x807fU, 0xbf7fU, 0xbfbfU, 0xbffeU, 0xbfffU}) {
    for (std::size_t length = 255; length <= 270; ++length) {
      Bytes block = page(PageKind::Random, 65536, length);
      const std::size_t to = distance + 100;
      std::memcpy(block.data() + to, block.data() + to - distance, length);
      const Bytes packed = pack(block, LzoVersion::ZeroRuns);
      EXPECT_EQ(unpack(packed, block.size()), block) << distance << ", " << length;
    }
  }
}

TEST(LzoStream, EncoderNeverStartsWithACopy) {
  for (std::size_t bytes = 1; bytes < 100; ++bytes) {
    for (const LzoVersion version : {LzoVersion::Plain, LzoVersion::ZeroRuns}) {
      const Bytes zeros(bytes);
      EXPECT_EQ(unpack(pack(zeros, version), bytes), zeros) << bytes;
    }
  }
}

// One cluster of 64 KiB as Linux 6.12.117 wrote it to f2fs with compress_algorithm=lzo-rle: runs of
// zeros with and without literals, near, middle and far copies. Its content is kernel_cluster().
constexpr std::string_view kKernelStream =
    "1101002a0535af7381d97b679d1de7fb5901f32fb5859f03b1a9eb774d6dd78b89d1633f65d58f93e179"
    "5b87fdbdc71bb9a1d34f15257f231149cb97ad0db7ab18fcff79037265636f72641efdff05011bfcff00"
    "2afc00ec0218fdff04041bfcff002afd00021ffdff04091bfcff002afd00031ffdff04101bfcff002afc"
    "00ec1218fdff04191bfcff002afd00051ffdff04241bfcff002afd00061ffdff04311bfcff002afd0007"
    "1ffdff04401bfcff002afd00081ffdff04511bfcff002afc00ec3218fcff04ec352afd000a1ffdff0418"
    "1bfcff002afd000b1ffdff042f1bfcff002afd000c1ffdff04481bfcff002afd000d1ffcff04ec5d2afd"
    "000e1ffdff041f1bfcff002afd000f1ffdff043e1bfcff002afc00ec6218fdff045f1bfcff002afd0011"
    "1ffdff04211bfcff002afd00121ffdff04461bfcff002afd00131ffcff04ec3d2afd00141ffdff04351b"
    "fcff002afd00151ffdff04601bfcff002afd00161ffdff042c1bfcff002afd00171ffdff045b1bfcff00"
    "2afc00ec6a18fdff042b1bfcff002afc00eca218fdff045e1bfcff002afd001a1ffdff04321bfcff002a"
    "fd001b1ffcff04ec9d2afd001c1ffdff04411bfcff002afd001d1ffcff04ec152afd001e1ffdff04581b"
    "fcff002afc00ec8218fdff04361bfcff002afd00201ffcff04ec552afc00ec7a18fdff04591bfcff002a"
    "fd00221ffdff043d1bfcff002afd00231ffcff04ec052afc00ecf218fcff04eccd2afd00251ffdff0456"
    "1bfcff002afd00261ffdff04421bfcff002afd00271ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1f"
    "fcffff1ffcffff1ffcffff1ffcff05002a5a9c54822640d0d65244ac8adea8e89eca6c8412169080e6c2"
    "14dc1acef898ae3a3cb4a206e030f632e40caabe4848beaa0ce432f630e006a2b43c3a1ffcffff1ffcff"
    "ff1ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1dfcffb818000000e200711000"
    "000000000000000000000000000000000000000000000000000000000000da2048000200000000000000"
    "000000000000000000000000001ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1ffcffff1f"
    "fcffb908656e64206f6620706167651dfcff3e0002000000000000000000000000000000000000000011"
    "0000";

Bytes from_hex(std::string_view digits) {
  const auto value = [](char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; };
  Bytes bytes;
  for (std::size_t i = 0; i < digits.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(value(digits[i]) * 16 + value(digits[i + 1])));
  return bytes;
}

Bytes kernel_cluster() {
  Bytes cluster(65536);
  for (std::size_t i = 0; i < 60; ++i) {
    cluster[i] = cluster[40000 + i] = static_cast<std::byte>(i * i * 37 + i * 11 + 5);
    cluster[20000 + i] = cluster[41000 + i] = static_cast<std::byte>(i * i * 59 + i * 7 + 90);
  }
  for (std::size_t i = 0; i < 40; ++i) {
    std::byte* const record = cluster.data() + 1024 + 64 * i;
    record[0] = static_cast<std::byte>(i * i % 97);
    std::memcpy(record + 8, "record", 6);
    record[20] = static_cast<std::byte>(i);
  }
  std::memcpy(cluster.data() + 65000, "end of page", 11);
  return cluster;
}

TEST(LzoStream, ReadsWhatTheKernelWrote) {
  EXPECT_EQ(unpack(from_hex(kKernelStream), 65536), kernel_cluster());
}

TEST(LzoStream, PacksTheKernelsClusterNoWorse) {
  EXPECT_LE(pack(kernel_cluster(), LzoVersion::ZeroRuns).size(), kKernelStream.size() / 2);
}

class WithLibrary : public testing::TestWithParam<PageKind> {};

TEST_P(WithLibrary, LibraryReadsOurPlainStreams) {
  for (std::size_t shift = 0; shift <= 8; ++shift) {
    const Bytes block = page(GetParam(), kPageBytes << shift);
    const Bytes packed = pack(block, LzoVersion::Plain);
    Bytes back(block.size());
    lzo_uint back_bytes = back.size();
    ASSERT_EQ(lzo1x_decompress_safe(reinterpret_cast<const lzo_byte*>(packed.data()), packed.size(),
                                    reinterpret_cast<lzo_byte*>(back.data()), &back_bytes, nullptr),
              LZO_E_OK);
    ASSERT_EQ(back_bytes, block.size());
    EXPECT_EQ(back, block);
    EXPECT_EQ(unpack(packed, block.size()), block);
  }
}

using LibraryEncoder = int (*)(const lzo_byte*, lzo_uint, lzo_byte*, lzo_uint*, void*);

void expect_we_read(LibraryEncoder encode, std::size_t memory_bytes, const Bytes& block) {
  Bytes memory(memory_bytes);
  Bytes packed(2 * block.size());
  lzo_uint packed_bytes = 0;
  ASSERT_EQ(encode(reinterpret_cast<const lzo_byte*>(block.data()), block.size(),
                   reinterpret_cast<lzo_byte*>(packed.data()), &packed_bytes, memory.data()),
            LZO_E_OK);
  packed.resize(packed_bytes);
  EXPECT_EQ(unpack(packed, block.size()), block);
}

TEST_P(WithLibrary, WeReadTheLibrarysStreams) {
  for (std::size_t shift = 0; shift <= 5; ++shift) {
    const Bytes block = page(GetParam(), kPageBytes << shift);
    expect_we_read(lzo1x_1_compress, LZO1X_1_MEM_COMPRESS, block);
    expect_we_read(lzo1x_1_15_compress, LZO1X_1_15_MEM_COMPRESS, block);
    expect_we_read(lzo1x_999_compress, LZO1X_999_MEM_COMPRESS, block);
  }
}

INSTANTIATE_TEST_SUITE_P(PageKinds, WithLibrary, testing::ValuesIn(kPageKinds));

}  // namespace
}  // namespace uzram
