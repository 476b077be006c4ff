// SPDX-License-Identifier: Apache-2.0
// codec/memory_words.h: unaligned words in byte buffers, for our own encoders and decoders.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

namespace uzram {

// In the machine's byte order.
template <typename Word>
[[nodiscard]] inline Word load_word(const std::uint8_t* from) {
  Word word;
  std::memcpy(&word, from, sizeof(word));
  return word;
}

template <typename Word>
inline void store_word(std::uint8_t* to, Word word) {
  std::memcpy(to, &word, sizeof(word));
}

template <typename Word>
[[nodiscard]] constexpr Word swap_bytes(Word word) {
  if constexpr (sizeof(Word) == 2) return __builtin_bswap16(word);
  if constexpr (sizeof(Word) == 4) return __builtin_bswap32(word);
  if constexpr (sizeof(Word) == 8) return __builtin_bswap64(word);
}

template <typename Word>
[[nodiscard]] inline Word load_little_endian(const std::uint8_t* from) {
  const Word word = load_word<Word>(from);
  return std::endian::native == std::endian::little ? word : swap_bytes(word);
}

template <typename Word>
[[nodiscard]] inline Word load_big_endian(const std::uint8_t* from) {
  const Word word = load_word<Word>(from);
  return std::endian::native == std::endian::big ? word : swap_bytes(word);
}

template <typename Word>
inline void store_big_endian(std::uint8_t* to, Word word) {
  store_word(to, std::endian::native == std::endian::big ? word : swap_bytes(word));
}

// Returns: how many bytes from the lowest address on are zero in a word that load_word loaded.
// Requires: word != 0.
[[nodiscard]] inline std::size_t leading_zero_bytes(std::uint64_t word) {
  const int zero_bits =
      std::endian::native == std::endian::little ? std::countr_zero(word) : std::countl_zero(word);
  return static_cast<std::size_t>(zero_bits) / 8;
}

}  // namespace uzram
