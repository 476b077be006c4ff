// SPDX-License-Identifier: Apache-2.0
// Any content, for every codec, into any room. Input: codec, block size, room (two bytes), content,
// which is repeated until the block is full.
#include <algorithm>
#include <vector>

#include "codec/fuzz_input.h"

namespace {

using namespace uzram;
using Bytes = std::vector<std::byte>;

Bytes fill_block(ConstBytes content, std::size_t block_bytes) {
  Bytes block(block_bytes);
  for (std::size_t at = 0; at < block_bytes && !content.empty();) {
    const std::size_t bytes = std::min(content.size(), block_bytes - at);
    std::copy_n(content.begin(), bytes, block.begin() + static_cast<std::ptrdiff_t>(at));
    // A gap of zeros that grows puts the repeats at many distances.
    at += bytes + at / 512;
  }
  return block;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kRoomFieldBytes = 2;
  if (size < kFuzzHeaderBytes + kRoomFieldBytes) return 0;
  const CodecInfo& row = fuzz_row(data[0]);
  FuzzPair& pair = fuzz_pair(row, fuzz_has_dictionary(row, data[1]));
  const ConstBytes rest = std::as_bytes(std::span(data, size).subspan(kFuzzHeaderBytes));
  const Bytes block = fill_block(rest.subspan(kRoomFieldBytes), fuzz_block_bytes(data[1]));
  Bytes ample(2 * block.size() + 1024);
  const auto ample_bytes = pair.compressor->compress(block, ample);
  UZ_CHECK(ample_bytes.has_value());
  const std::size_t room_bytes = data[2] | std::size_t{data[3]} << 8;
  Bytes tight(room_bytes);
  const auto tight_bytes = pair.compressor->compress(block, tight);
  UZ_CHECK(!tight_bytes || *tight_bytes <= room_bytes);
  UZ_CHECK(tight_bytes || room_bytes < *ample_bytes + kFitSlackBytes);
  for (const auto& [bytes, count] :
       {std::pair(&ample, ample_bytes), std::pair(&tight, tight_bytes)}) {
    if (!count) continue;
    const Bytes packed(bytes->begin(), bytes->begin() + static_cast<std::ptrdiff_t>(*count));
    Bytes back(block.size());
    UZ_CHECK(pair.decompressor->decompress(packed, back).has_value());
    UZ_CHECK(back == block);
  }
  return 0;
}
