// SPDX-License-Identifier: Apache-2.0
// Streams written by hand, bit by bit, from the description of the format.
#include <gtest/gtest.h>

#include <vector>

#include "codec/c842_format.h"
#include "codec/page_kinds.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

Bytes bytes_of(std::string_view text) {
  const ConstBytes bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// A stream as a list of fields.
class Bits {
 public:
  Bits& put(std::uint64_t value, int bits) {
    for (int bit = bits - 1; bit >= 0; --bit) bits_.push_back((value >> bit & 1) != 0);
    return *this;
  }
  Bits& op(unsigned opcode) { return put(opcode, 5); }
  Bits& text(std::string_view characters) {
    for (const char character : characters) put(static_cast<unsigned char>(character), 8);
    return *this;
  }
  // The end, the check sum of what the stream unpacks to, and padding to 8 bytes.
  Bytes end(const Bytes& block) {
    op(0x1e).put(c842::check_sum(block), 32);
    while (bits_.size() % 64 != 0) bits_.push_back(false);
    Bytes bytes(bits_.size() / 8);
    for (std::size_t i = 0; i < bits_.size(); ++i)
      if (bits_[i]) bytes[i / 8] |= std::byte(0x80 >> i % 8);
    return bytes;
  }

 private:
  std::vector<bool> bits_;
};

std::optional<Bytes> unpack(const Bytes& packed, std::size_t bytes) {
  Bytes block(bytes);
  if (!decode_c842(packed, block)) return std::nullopt;
  return block;
}

Bytes pack(const Bytes& block) {
  Bytes out(2 * block.size() + 64);
  C842Encoder encoder;
  out.resize(encoder.encode(block, out).value());
  return out;
}

void expect_reads(Bits stream, const Bytes& block) {
  EXPECT_EQ(unpack(stream.end(block), block.size()), block);
}

// Eight bytes of data that give the rings something to point at.
Bits after_abcdefgh() { return Bits().op(0).text("abcdefgh"); }

TEST(C842, CheckSumIsCrc32OfPosixWithoutTheFinalInversion) {
  EXPECT_EQ(c842::check_sum(bytes_of("123456789")), 0x765e7680U ^ 0xffffffffU);
  EXPECT_EQ(c842::check_sum(Bytes(4096)), 0U);
  EXPECT_EQ(c842::check_sum({}), 0U);
}

TEST(C842, BitsRunFromHighToLow) {
  // 11100 zeros, 11110 end, 32 bits of check sum, padding.
  const Bytes packed = Bits().op(0x1c).end(Bytes(8));
  ASSERT_EQ(packed.size(), 8U);
  EXPECT_EQ(packed[0], std::byte{0xe7});
  EXPECT_EQ(packed[1], std::byte{0x80});
  EXPECT_EQ(unpack(packed, 8), Bytes(8));
}

TEST(C842, Template0x00IsData) { expect_reads(after_abcdefgh(), bytes_of("abcdefgh")); }

TEST(C842, EveryWayOfAHalfStandsInEitherHalf) {
  struct Way {
    unsigned digit;
    std::string_view result;
    Bits (*put)(Bits);
  };
  const std::array<Way, 5> ways = {{
      {0, "WXYZ", [](Bits bits) { return bits.text("WXYZ"); }},
      {1, "WXcd", [](Bits bits) { return bits.text("WX").put(1, 8); }},
      {2, "ghYZ", [](Bits bits) { return bits.put(3, 8).text("YZ"); }},
      {3, "efab", [](Bits bits) { return bits.put(2, 8).put(0, 8); }},
      {4, "efgh", [](Bits bits) { return bits.put(1, 9); }},
  }};
  for (const Way& first : ways) {
    for (const Way& second : ways) {
      const Bits stream =
          second.put(first.put(after_abcdefgh().op(5 * first.digit + second.digit)));
      expect_reads(stream,
                   bytes_of("abcdefgh" + std::string(first.result) + std::string(second.result)));
    }
  }
}

// The kernel's table spells these three opcodes as D4 D2 I2, I2 D4 I2 and I4 D4.
TEST(C842, OpcodesAreTheTemplatesOfTheTable) {
  expect_reads(after_abcdefgh().op(0x01).text("1234").text("56").put(2, 8),
               bytes_of("abcdefgh123456ef"));
  expect_reads(after_abcdefgh().op(0x0b).put(0, 8).text("1234").put(3, 8),
               bytes_of("abcdefghab1234gh"));
  expect_reads(after_abcdefgh().op(0x14).put(0, 9).text("1234"), bytes_of("abcdefghabcd1234"));
}

TEST(C842, WholeIndexRepeatAndZeros) {
  expect_reads(after_abcdefgh().op(0x1c).op(0x19).put(0, 8),
               bytes_of(std::string_view("abcdefgh\0\0\0\0\0\0\0\0abcdefgh", 24)));
  expect_reads(after_abcdefgh().op(0x1b).put(2, 6), bytes_of("abcdefghabcdefghabcdefghabcdefgh"));
}

TEST(C842, ShortDataIsTheLastOfABlock) {
  expect_reads(after_abcdefgh().op(0x1d).put(3, 3).text("xyz"), bytes_of("abcdefghxyz"));
  const Bytes more = bytes_of("abcdefghxyzabcdefgh");
  EXPECT_EQ(unpack(after_abcdefgh().op(0x1d).put(3, 3).text("xyz").op(0x19).put(0, 8).end(more),
                   more.size()),
            std::nullopt);
}

// After 2056 bytes, place 0 of the ring of groups is byte 2048, and place 1 still byte 8.
TEST(C842, IndexesArePlacesInARingNotDistances) {
  Bits stream;
  Bytes block(2056);
  for (std::size_t i = 0; i < block.size(); ++i) block[i] = static_cast<std::byte>(i / 8 * 3 + i);
  for (std::size_t group = 0; group < block.size(); group += 8) {
    stream.op(0);
    for (std::size_t i = 0; i < 8; ++i)
      stream.put(std::to_integer<std::uint64_t>(block[group + i]), 8);
  }
  Bytes expected = block;
  expected.insert(expected.end(), block.begin() + 2048, block.end());
  expect_reads(Bits(stream).op(0x19).put(0, 8), expected);
  expected.resize(block.size());
  expected.insert(expected.end(), block.begin() + 8, block.begin() + 16);
  expect_reads(Bits(stream).op(0x19).put(1, 8), expected);
  // The ring of pairs is 512 bytes: 2056 is 8 beyond four rings, so place 4 is byte 1544.
  expected.resize(block.size());
  expected.insert(expected.end(), block.begin() + 1544, block.begin() + 1546);
  const Bytes data = bytes_of("123456");
  expected.insert(expected.end(), data.begin(), data.end());
  expect_reads(Bits(stream).op(0x0a).put(4, 8).text("123456"), expected);
}

TEST(C842, RefusesWhatIsNoStream) {
  const Bytes block = bytes_of("abcdefgh");
  Bytes good = after_abcdefgh().end(block);
  EXPECT_EQ(unpack(Bits().op(0x19).put(0, 8).end(block), 8), std::nullopt) << "index into nothing";
  EXPECT_EQ(unpack(after_abcdefgh().op(0x19).put(1, 8).end(block), 16), std::nullopt);
  EXPECT_EQ(unpack(Bits().op(0x1b).put(0, 6).end(block), 8), std::nullopt) << "repeat of nothing";
  EXPECT_EQ(unpack(after_abcdefgh().op(0x1a).end(block), 8), std::nullopt);
  EXPECT_EQ(unpack(after_abcdefgh().op(0x1f).end(block), 8), std::nullopt);
  EXPECT_EQ(unpack(after_abcdefgh().op(0x1d).put(0, 3).end(block), 8), std::nullopt);
  EXPECT_EQ(unpack(good, 16), std::nullopt) << "block not filled";
  EXPECT_EQ(unpack(after_abcdefgh().op(0x1c).end(block), 8), std::nullopt) << "block too small";
  good[2] ^= std::byte{1};
  EXPECT_EQ(unpack(good, 8), std::nullopt) << "check sum";
  EXPECT_EQ(unpack({}, 8), std::nullopt);
}

TEST(C842, EncoderPacksAPageOfZerosAsOneGroupAndRepeats) {
  Bits expected;
  expected.op(0x1c);
  for (int i = 0; i < 7; ++i) expected.op(0x1b).put(63, 6);
  expected.op(0x1b).put(62, 6);
  EXPECT_EQ(pack(Bytes(4096)), expected.end(Bytes(4096)));
}

TEST(C842, EncoderTakesTheCheapestWayForEachHalf) {
  const Bytes block = bytes_of("abcdefghefgh12cdefab34gh");
  EXPECT_EQ(pack(block), Bits()
                             .op(0)
                             .text("abcdefgh")
                             .op(5 * 4 + 1)
                             .put(1, 9)
                             .text("12")
                             .put(1, 8)
                             .op(5 * 3 + 1)
                             .put(4, 8)
                             .put(0, 8)
                             .text("34")
                             .put(5, 8)
                             .end(block));
}

TEST(C842, BringsBlocksOfAnyLengthBack) {
  for (const PageKind kind : kPageKinds) {
    for (std::size_t bytes = 1; bytes < 700; bytes += 1 + bytes / 8) {
      Bytes block(bytes);
      PageMaker(bytes).fill(kind, block);
      EXPECT_EQ(unpack(pack(block), bytes), block) << bytes;
    }
  }
}

}  // namespace
}  // namespace uzram
