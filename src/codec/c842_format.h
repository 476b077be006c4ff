// SPDX-License-Identifier: Apache-2.0
// codec/c842_format.h: the words of an 842 stream, its encoder and its decoder (see c842.cc).
//
// Shapes: any block length; short data covers what is left of the last group of 8 bytes.
// Units:  *_bits are bits, the rest are bytes or groups of 8 bytes.
// Memory: neither direction allocates.
// Proof:  c842_test.cc, decompress_fuzz.cc, roundtrip_fuzz.cc.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

namespace c842 {

inline constexpr std::size_t kGroupBytes = 8;
inline constexpr int kOpcodeBits = 5;

// Opcodes below this are 5 * (way of the first half) + (way of the second half).
inline constexpr unsigned kHalfWays = 5;
inline constexpr unsigned kWholeIndex = 0x19;
inline constexpr unsigned kRepeat = 0x1b;
inline constexpr unsigned kZeros = 0x1c;
inline constexpr unsigned kShortData = 0x1d;
inline constexpr unsigned kEnd = 0x1e;

inline constexpr int kRepeatBits = 6;
inline constexpr std::size_t kMostRepeats = 64;
inline constexpr int kShortDataBits = 3;
inline constexpr int kCheckBits = 32;
inline constexpr std::size_t kPaddingBytes = 8;

// An index names a place in the ring of the last 2^bits values of its width.
template <std::size_t kBytes>
inline constexpr int kIndexBits = kBytes == 4 ? 9 : 8;
template <std::size_t kBytes>
inline constexpr std::size_t kRingBytes = kBytes << kIndexBits<kBytes>;

// CRC-32 with polynomial 0x04c11db7, high bit first, starting from zero, not inverted.
[[nodiscard]] std::uint32_t check_sum(ConstBytes bytes);

}  // namespace c842

class C842Encoder {
 public:
  // As Compressor::compress, but for blocks of any length up to 2^30.
  [[nodiscard]] std::optional<std::size_t> encode(ConstBytes block, MutableBytes out) noexcept;

 private:
  friend class C842Pass;

  static constexpr int kWideTableBits = 10;
  static constexpr int kMiddleTableBits = 11;
  static constexpr int kNarrowTableBits = 10;

  // Where values of 8, 4 and 2 bytes were seen last, counted from the start of all blocks ever
  // encoded, so that the tables need not be cleared for every block.
  std::array<std::uint32_t, 1U << kWideTableBits> wide_ = {};
  std::array<std::uint32_t, 1U << kMiddleTableBits> middle_ = {};
  std::array<std::uint32_t, 1U << kNarrowTableBits> narrow_ = {};
  std::uint32_t base_ = 1;
};

// As Decompressor::decompress, but for blocks of any length.
[[nodiscard]] Result<void> decode_c842(ConstBytes packed, MutableBytes block) noexcept;

}  // namespace uzram
