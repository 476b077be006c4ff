// SPDX-License-Identifier: Apache-2.0
// LZO1X, and what the kernel added to it.
//
// The problem. A page of memory is packed while a program waits, so an encoder has a few
// microseconds. LZO spends them on one look per position, and writes whole bytes only: the decoder
// never shifts bits. The price is a format in which the same byte means different things in
// different places.
//
// The stream is a list of instructions. Each is a copy from earlier output (length, distance), and
// each names, in two spare bits S, how many literals (0 to 3) follow it:
//
//     LLL DDD SS    HHHHHHHH   near:   3 to 8 bytes from up to 2 KiB back    2 bytes
//     001 LLLLL     LE16       middle: from up to 16 KiB back                3 and extensions
//     0001 H LLL    LE16       far:    from 16 KiB to 48 KiB back            3 and extensions
//     0000 LLLL                after an instruction with S = 0: 4 literals or more
//     0000 DD SS    HHHHHHHH   after 1 to 3 literals: 2 bytes from up to 1 KiB back
//     0000 DD SS    HHHHHHHH   after 4 literals or more: 3 bytes from 2 to 3 KiB back
//
// A near copy is any byte from 64 on: its three highest bits are the length less one, so at least
// 2. A length field of zero in the others says that the length goes on in extension bytes: each
// zero byte adds 255, the first other one adds itself and ends it. The two low bits of the LE16 are
// S, the others the distance. A far copy of three bytes with distance field zero ends the stream:
// 11 00 00. The first byte of a stream is special, since nothing can be copied yet: from 18 on, it
// counts literals (byte - 17).
//
// Version 1. Memory is full of zeros, and a copy of zeros still reads what it copies. So a stream
// may start with byte 17, which cannot start a plain one of five bytes or more, and a version; in
// version 1 the far copy with the largest distance, 0xbfff, is no copy but a run of zeros:
//
//     0001 1 LLL  111111SS 11111111  XXXXXXXX    (X << 3 | L) + 4 zeros
//
// The decoder sees the opcode before it knows whether extension bytes or the distance come next. An
// extension byte of 252 to 255 followed by a distance whose low byte is 255 looks the same; so an
// encoder must avoid far copies of 261 to 264 bytes at such distances. It also never writes a real
// copy at 0xbfff.
//
// What our encoder does that the kernel's does not: short runs of zeros (4 to 32) are first looked
// up like any other word, since a near copy costs two bytes where a run costs four; and matches are
// extended backwards over pending literals. Neither decoder can tell.
#include "codec/lzo_rle.h"

#include "codec/lzo_stream.h"
#include "codec/settings.h"

namespace uzram {
namespace {

class LzoRleCompressor final : public Compressor {
 public:
  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    return encoder_.encode(block, out, LzoVersion::ZeroRuns);
  }

 private:
  LzoEncoder encoder_;
};

class LzoRleDecompressor final : public Decompressor {
 public:
  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    return decode_lzo(packed, block);
  }
  Result<std::size_t> decompress_front(ConstBytes packed, MutableBytes block,
                                       std::size_t wanted_bytes) noexcept override {
    return decode_lzo_front(packed, block, wanted_bytes);
  }
};

class LzoRleCodec final : public Codec {
 public:
  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    return make_object<Compressor, LzoRleCompressor>();
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    return make_object<Decompressor, LzoRleDecompressor>();
  }
  std::size_t compressor_bytes() const override { return sizeof(LzoRleCompressor); }
  std::size_t decompressor_bytes() const override { return sizeof(LzoRleDecompressor); }
};

}  // namespace

Result<std::unique_ptr<Codec>> make_lzo_rle(const CodecParams& params) {
  if (const Result<int> level = settle(params, kLzoRle); !level) return fail(level.error().code);
  return make_object<Codec, LzoRleCodec>();
}

}  // namespace uzram
