// SPDX-License-Identifier: Apache-2.0
// Any bytes as a packed cluster, unpacked in any order; and any content there and back.
// Input: direction and level (one byte); which pages are asked for (four bytes); then the packed
// cluster, or the page count (one byte) and content, which is repeated until the pages are full.
#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "base/check.h"
#include "codec/cluster_codec.h"

namespace {

using namespace uzram;
using Bytes = std::vector<std::byte>;

constexpr std::size_t kAskCount = 4;
constexpr std::size_t kHeaderBytes = 1 + kAskCount;

ClusterCompressor& compressor_of(std::uint8_t choice) {
  constexpr std::array<int, 8> kLevels = {1, 3, -1, -50, 5, 9, 15, 19};
  static std::map<int, std::unique_ptr<ClusterCompressor>> compressors;
  const int level = kLevels[choice / 2 % kLevels.size()];
  std::unique_ptr<ClusterCompressor>& compressor = compressors[level];
  if (!compressor) compressor = ClusterCompressor::make(level, kClusterMostPages).value();
  return *compressor;
}

ClusterDecompressor& decompressor() {
  static const std::unique_ptr<ClusterDecompressor> made = ClusterDecompressor::make().value();
  return *made;
}

// Asks for the pages that `asks` says. Returns: how many pages are there in the end.
std::size_t unpack(ConstBytes packed, ConstBytes asks, Bytes& pages) {
  const Result<std::size_t> started = decompressor().start(packed, pages);
  UZ_CHECK(started || started.error().code == EBADMSG);
  if (!started) return 0;
  UZ_CHECK(*started >= 2 && *started * kPageBytes <= pages.size());
  std::size_t ready = 0;
  bool has_failed = false;
  for (const std::byte ask : asks) {
    const auto number = std::to_integer<std::size_t>(ask) % (*started + 1);
    const Result<std::size_t> more = decompressor().unpack_through(number);
    UZ_CHECK(more || more.error().code == EBADMSG);
    UZ_CHECK(!more || (*more > number && *more <= *started));
    has_failed = has_failed || !more;
    if (more && !has_failed) ready = std::max(ready, *more);
  }
  return ready;
}

Bytes fill_pages(std::size_t page_count, ConstBytes content) {
  Bytes pages(page_count * kPageBytes);
  for (std::size_t at = 0; at < pages.size() && !content.empty();) {
    const std::size_t bytes = std::min(content.size(), pages.size() - at);
    std::copy_n(content.begin(), bytes, pages.begin() + static_cast<std::ptrdiff_t>(at));
    // A gap of zeros that grows puts the repeats at many distances.
    at += bytes + at / 512;
  }
  return pages;
}

void round_trip(ClusterCompressor& compressor, ConstBytes asks, ConstBytes rest) {
  if (rest.empty()) return;
  const std::size_t page_count = 2 + std::to_integer<std::size_t>(rest[0]) % 31;
  const Bytes pages = fill_pages(page_count, rest.subspan(1));
  Bytes packed(2 * pages.size());
  const auto packed_bytes = compressor.compress(pages, packed);
  UZ_CHECK(packed_bytes.has_value());
  // Both buffers end where the heap's guard bytes begin.
  packed.resize(*packed_bytes);
  packed.shrink_to_fit();
  Bytes out(pages.size());
  const std::size_t ready = unpack(packed, asks, out);
  UZ_CHECK(std::memcmp(out.data(), pages.data(), ready * kPageBytes) == 0);
  const std::array<std::byte, 1> last = {static_cast<std::byte>(page_count - 1)};
  UZ_CHECK(unpack(packed, last, out) == page_count);
  UZ_CHECK(out == pages);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < kHeaderBytes) return 0;
  const ConstBytes input = std::as_bytes(std::span(data, size));
  const ConstBytes asks = input.subspan(1, kAskCount);
  const ConstBytes rest = input.subspan(kHeaderBytes);
  if (data[0] % 2 != 0) {
    round_trip(compressor_of(data[0]), asks, rest);
  } else {
    const Bytes packed(rest.begin(), rest.end());
    Bytes pages(kClusterMostPages * kPageBytes);
    static_cast<void>(unpack(packed, asks, pages));
  }
  return 0;
}
