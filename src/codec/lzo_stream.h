// SPDX-License-Identifier: Apache-2.0
// codec/lzo_stream.h: the words of an LZO1X stream, its encoder and its decoder (see lzo_rle.cc).
//
// What:    versions 0 (plain LZO1X) and 1 (with runs of zeros) of the bitstream.
// Units:   distances and lengths are in bytes.
// Threads: an LzoEncoder belongs to one thread; decode_lzo keeps nothing.
// Memory:  neither allocates.
// Proof:   lzo_rle_test.cc, decompress_fuzz.cc, roundtrip_fuzz.cc.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

enum class LzoVersion : std::uint8_t { Plain = 0, ZeroRuns = 1 };

namespace lzo {

// A stream of version 1 or later starts with this byte and the version.
inline constexpr std::uint8_t kVersionMark = 17;
inline constexpr std::size_t kShortestVersionedBytes = 5;

// A first byte above this is that many literals more than none.
inline constexpr std::size_t kFirstLiteralsBase = 17;
inline constexpr std::size_t kLongestFirstLiterals = 255 - kFirstLiteralsBase;

// Opcodes by their lowest value. Below kFar, the meaning depends on the literals just before.
inline constexpr std::uint8_t kFar = 16;     // 0001HLLL, LE16
inline constexpr std::uint8_t kMiddle = 32;  // 001LLLLL, LE16
inline constexpr std::uint8_t kNear = 64;    // LLLDDDSS, one byte: three bits of length - 1

inline constexpr std::size_t kNearDistance = 2048;
inline constexpr std::size_t kNearLength = 8;
inline constexpr std::size_t kMiddleDistance = 16384;
inline constexpr std::size_t kMiddleLength = 33;  // The longest without extension bytes.
inline constexpr std::size_t kFarLength = 9;
inline constexpr std::size_t kFarDistance = 0xbfff;

inline constexpr std::size_t kShortestLiteralRun = 4;
inline constexpr std::size_t kLiteralRunLength = 18;

// Version 1 takes the far opcode with distance kFarDistance for a run of zeros.
inline constexpr std::uint8_t kZeroRun = 0x18;
inline constexpr std::uint16_t kZeroRunDistanceField = 0xfffc;
inline constexpr std::size_t kShortestZeroRun = 4;
inline constexpr std::size_t kLongestZeroRun = kShortestZeroRun + 0x7ff;

// Far copies of these lengths spell, with some distances, what a decoder takes for a run of zeros.
inline constexpr std::size_t kAmbiguousDistanceBits = 0x803f;
inline constexpr std::size_t kAmbiguousLengthLowest = 261;
inline constexpr std::size_t kAmbiguousLengthHighest = 264;

}  // namespace lzo

class LzoEncoder {
 public:
  // As Compressor::compress.
  // Requires: block.size() <= 2^30.
  [[nodiscard]] std::optional<std::size_t> encode(ConstBytes block, MutableBytes out,
                                                  LzoVersion version) noexcept;

  static constexpr int kTableBits = 13;

 private:
  template <typename Entry>
  std::optional<std::size_t> encode_with(ConstBytes block, MutableBytes out,
                                         LzoVersion version) noexcept;

  // Where each hashed word of four bytes was seen last in the block: entries of two bytes for
  // blocks up to 64 KiB, of four for larger ones.
  alignas(64) std::array<std::byte, sizeof(std::uint32_t) << kTableBits> table_;
};

// As Decompressor::decompress, for both versions.
[[nodiscard]] Result<void> decode_lzo(ConstBytes packed, MutableBytes block) noexcept;
// As Decompressor::decompress_front.
[[nodiscard]] Result<std::size_t> decode_lzo_front(ConstBytes packed, MutableBytes block,
                                                   std::size_t wanted_bytes) noexcept;

}  // namespace uzram
