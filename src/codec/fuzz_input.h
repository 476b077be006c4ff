// SPDX-License-Identifier: Apache-2.0
// codec/fuzz_input.h: how the bytes of a fuzzer's input choose a codec and a block size.
#pragma once

#include <array>
#include <map>
#include <memory>

#include "base/check.h"
#include "codec/codec.h"

namespace uzram {

inline constexpr std::size_t kFuzzHeaderBytes = 2;

// Both contexts of one codec, made once.
struct FuzzPair {
  std::unique_ptr<Codec> codec;
  std::unique_ptr<Compressor> compressor;
  std::unique_ptr<Decompressor> decompressor;
};

// First byte: the row of the table.
inline const CodecInfo& fuzz_row(std::uint8_t choice) {
  return all_codecs()[choice % all_codecs().size()];
}

// Second byte: the block size, mostly a small one, and in the highest bit whether there is a
// dictionary.
inline std::size_t fuzz_block_bytes(std::uint8_t choice) {
  constexpr std::array<int, 16> kShifts = {0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 3, 4, 5, 6, 8};
  return kPageBytes << kShifts[choice % kShifts.size()];
}
inline bool fuzz_has_dictionary(const CodecInfo& row, std::uint8_t choice) {
  return row.takes_dictionary && (choice & 0x80U) != 0;
}

inline std::shared_ptr<const std::string> fuzz_dictionary() {
  std::string bytes;
  while (bytes.size() < 10000) bytes += "page " + std::to_string(bytes.size()) + " of memory\n";
  return std::make_shared<const std::string>(bytes);
}

inline FuzzPair& fuzz_pair(const CodecInfo& row, bool has_dictionary) {
  static std::map<std::pair<CodecId, bool>, FuzzPair> pairs;
  FuzzPair& pair = pairs[{row.id, has_dictionary}];
  if (!pair.codec) {
    CodecParams params;
    params.block_bytes = kMaxBlockBytes;
    if (has_dictionary) params.dictionary = fuzz_dictionary();
    pair.codec = row.make(params).value();
    pair.compressor = pair.codec->make_compressor().value();
    pair.decompressor = pair.codec->make_decompressor().value();
  }
  return pair;
}

}  // namespace uzram
