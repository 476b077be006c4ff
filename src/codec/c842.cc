// SPDX-License-Identifier: Apache-2.0
// The 842 format: 8, 4 or 2 bytes at a time.
//
// The problem. IBM wanted memory compression in a processor: one group of eight bytes per clock,
// which leaves no time to search for long matches and no room for a Huffman table. So 842 looks
// only for values of 8, 4 and 2 bytes, at their natural alignment, in the recent past, and says for
// each group with one opcode of five bits how it is put together. Bits run from high to low; there
// are no byte boundaries.
//
// An index is not a distance. For each width there is a ring of the last values of that width (256
// of 8 bytes, 512 of 4, 256 of 2: 2048, 2048 and 512 bytes), and the index is a place in the ring.
// The ring is the output itself: place i holds the value that was written last to an address that
// is i * width beyond a multiple of the ring's size. What counts as written are the groups before
// the current one.
//
// The opcodes 0x00 to 0x18 look like a list of 25 templates, but they are two digits to the base of
// five, one for each half of the group:
//
//     way 0   D4       32 bits of data                    way 3   I2 I2    two indexes of 8 bits
//     way 1   D2 I2    16 bits of data, index of 8 bits   way 4   I4       one index of 9 bits
//     way 2   I2 D2    index of 8 bits, 16 bits of data
//
//     opcode = 5 * way(bytes 0..3) + way(bytes 4..7)
//
// Hence 0x00 is eight bytes of data, and 0x0b (I2 D2, D2 I2) has a D4 in the middle that belongs to
// both halves. The rest:
//
//     0x19  I8           index of 8 bits, for the whole group
//     0x1b  repeat       6 bits N: the last group N + 1 times more
//     0x1c  zeros        a group of zeros
//     0x1d  short data   3 bits N, then N bytes: fewer than eight, at the end (software only)
//     0x1e  end          then 32 bits of CRC-32 of the whole block, then zeros up to 8 bytes
//
// 0x1a and 0x1f mean nothing and make a stream bad. Packed data carries a check sum, so, unlike the
// other codecs, a damaged block is always found out, up to chance.
#include "codec/c842.h"

#include "codec/c842_format.h"
#include "codec/settings.h"

namespace uzram {
namespace {

constexpr std::uint32_t kPolynomial = 0x04c11db7;
constexpr std::size_t kSlices = 8;

// table[n][b]: what byte b does to the check sum when n more bytes follow.
using CheckTables = std::array<std::array<std::uint32_t, 256>, kSlices>;

constexpr CheckTables make_check_tables() {
  CheckTables tables = {};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t sum = byte << 24;
    for (int bit = 0; bit < 8; ++bit)
      sum = (sum & 0x80000000U) != 0 ? (sum << 1) ^ kPolynomial : sum << 1;
    tables[0][byte] = sum;
  }
  for (std::size_t slice = 1; slice < kSlices; ++slice) {
    for (std::size_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t before = tables[slice - 1][byte];
      tables[slice][byte] = (before << 8) ^ tables[0][before >> 24];
    }
  }
  return tables;
}

constexpr CheckTables kCheckTables = make_check_tables();

constexpr std::uint32_t byte_at(ConstBytes bytes, std::size_t index) {
  return std::to_integer<std::uint32_t>(bytes[index]);
}

class C842Compressor final : public Compressor {
 public:
  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    return encoder_.encode(block, out);
  }

 private:
  C842Encoder encoder_;
};

class C842Decompressor final : public Decompressor {
 public:
  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    return decode_c842(packed, block);
  }
};

class C842Codec final : public Codec {
 public:
  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    return make_object<Compressor, C842Compressor>();
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    return make_object<Decompressor, C842Decompressor>();
  }
  std::size_t compressor_bytes() const override { return sizeof(C842Compressor); }
  std::size_t decompressor_bytes() const override { return sizeof(C842Decompressor); }
};

}  // namespace

std::uint32_t c842::check_sum(ConstBytes bytes) {
  std::uint32_t sum = 0;
  for (; bytes.size() >= kSlices; bytes = bytes.subspan(kSlices)) {
    std::uint32_t next = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::uint32_t mixed = byte_at(bytes, i) ^ ((sum >> (24 - 8 * i)) & 0xff);
      next ^= kCheckTables[kSlices - 1 - i][mixed];
    }
    for (std::size_t i = 4; i < kSlices; ++i)
      next ^= kCheckTables[kSlices - 1 - i][byte_at(bytes, i)];
    sum = next;
  }
  for (const std::byte byte : bytes)
    sum = (sum << 8) ^ kCheckTables[0][(sum >> 24) ^ std::to_integer<std::uint32_t>(byte)];
  return sum;
}

Result<std::unique_ptr<Codec>> make_c842(const CodecParams& params) {
  if (const Result<int> level = settle(params, kC842); !level) return fail(level.error().code);
  return make_object<Codec, C842Codec>();
}

}  // namespace uzram
