// SPDX-License-Identifier: Apache-2.0
// Any bytes as packed data, for every codec.
// Input: codec, block size, packed data (see fuzz_input.h).
#include <algorithm>
#include <vector>

#include "codec/fuzz_input.h"
#include "codec/lzo_stream.h"

namespace {

using namespace uzram;
using Bytes = std::vector<std::byte>;

// What unpacked must also survive the way there and back.
void check_round_trip(FuzzPair& pair, const Bytes& block) {
  Bytes out(2 * block.size() + 1024);
  const auto packed_bytes = pair.compressor->compress(block, out);
  UZ_CHECK(packed_bytes.has_value());
  out.resize(*packed_bytes);
  Bytes back(block.size());
  UZ_CHECK(pair.decompressor->decompress(out, back).has_value());
  UZ_CHECK(back == block);
}

// Whether the last instruction is a far copy of three bytes from nowhere, whatever its literals.
bool has_plain_end(const Bytes& packed) {
  const ConstBytes end = ConstBytes(packed).last(std::min<std::size_t>(packed.size(), 3));
  return end.size() == 3 && end[0] == std::byte{0x11} && end[1] < std::byte{4} &&
         end[2] == std::byte{0};
}

// Our decoder of LZO streams and the library's must agree on plain streams. But the library takes
// any length in the instruction that ends a stream; we, as the kernel, take one.
void compare_with_library(const Bytes& packed, const Bytes& block, bool is_sound) {
  if (!packed.empty() && packed.front() == std::byte{lzo::kVersionMark}) return;
  Bytes ours(block.size());
  const bool is_ours_sound = decode_lzo(packed, ours).has_value();
  UZ_CHECK(is_ours_sound == (is_sound && has_plain_end(packed)));
  UZ_CHECK(!is_ours_sound || ours == block);
}

// The front of what unpacks as a whole is the same; any bytes are safe to try.
void check_front(FuzzPair& pair, const Bytes& packed, const Bytes& block, bool is_sound) {
  Bytes front(block.size());
  const std::size_t wanted_bytes = 1 + packed.size() * 7 % front.size();
  const auto ready = pair.decompressor->decompress_front(packed, front, wanted_bytes);
  UZ_CHECK(ready || ready.error().code == EBADMSG);
  UZ_CHECK(!ready || (*ready >= wanted_bytes && *ready <= front.size()));
  if (!is_sound) return;
  UZ_CHECK(ready.has_value());
  UZ_CHECK(std::equal(block.begin(), block.begin() + static_cast<std::ptrdiff_t>(*ready),
                      front.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kFuzzHeaderBytes) return 0;
  const CodecInfo& row = fuzz_row(data[0]);
  FuzzPair& pair = fuzz_pair(row, fuzz_has_dictionary(row, data[1]));
  // Both buffers end where the heap's guard bytes begin.
  const ConstBytes rest = std::as_bytes(std::span(data, size).subspan(kFuzzHeaderBytes));
  const Bytes packed(rest.begin(), rest.end());
  Bytes block(fuzz_block_bytes(data[1]));
  const Result<void> outcome = pair.decompressor->decompress(packed, block);
  UZ_CHECK(outcome || outcome.error().code == EBADMSG);
  if (row.id == CodecId::Lzo) compare_with_library(packed, block, outcome.has_value());
  check_front(pair, packed, block, outcome.has_value());
  if (outcome) check_round_trip(pair, block);
  return 0;
}
