// SPDX-License-Identifier: Apache-2.0
// codec/cluster_codec.h: several pages packed as one, so that any page can be had without
// unpacking those behind it.
//
// What:    zstd over 2 to 32 pages. Every kClusterBlockPages pages end a block: with the packed
//          bytes up to there, all pages so far can be unpacked. Blocks see what came before, so the
//          ends cost no ratio. Not here: which pages, checks, where the bytes live (store/).
// Shapes:  packed cluster = 1 byte page count | 1 byte zero | 3 bytes end of each block but the
//          last, from the start of the packed cluster | one zstd frame without magic number.
// Units:   bytes, numbers little-endian.
// Errors:  make -> EINVAL for a level that zstd does not have, ENOMEM. start, unpack_until ->
//          EBADMSG for bytes that are no packed cluster; any bytes are safe to pass.
// Threads: an object belongs to one thread at a time.
// Memory:  made once; compress and unpacking allocate nothing.
// Source:  zstd 1.5 (streaming with ZSTD_e_flush, stable output buffer).
// Proof:   cluster_codec_test.cc, cluster_fuzz.cc.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

inline constexpr std::size_t kClusterBlockPages = 4;
inline constexpr std::size_t kClusterMostPages = 32;
// Enough for any packed cluster that compress returns.
constexpr std::size_t cluster_room_bytes(std::size_t page_count) { return page_count * kPageBytes; }

class ClusterCompressor {
 public:
  // most_pages: the largest cluster that will be asked for, at most kClusterMostPages.
  static Result<std::unique_ptr<ClusterCompressor>> make(int level, std::size_t most_pages);
  virtual ~ClusterCompressor() = default;
  // Requires: 2 to most_pages whole pages. Returns: the bytes used, nullopt when they do not fit.
  [[nodiscard]] virtual std::optional<std::size_t> compress(ConstBytes pages,
                                                            MutableBytes out) noexcept = 0;
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
};

// Unpacks a cluster from its front, as far as asked, and goes on from there when asked for more.
class ClusterDecompressor {
 public:
  static Result<std::unique_ptr<ClusterDecompressor>> make();
  virtual ~ClusterDecompressor() = default;
  // Begins with another cluster. `packed` and `pages` are used until the next start.
  // Returns: how many pages it has, at most pages.size() / kPageBytes.
  [[nodiscard]] virtual Result<std::size_t> start(ConstBytes packed,
                                                  MutableBytes pages) noexcept = 0;
  // Makes pages [0, n) there for some n > number. Returns: n. Errors: also for a number that the
  // cluster does not have. After an error only start helps.
  [[nodiscard]] virtual Result<std::size_t> unpack_through(std::size_t number) noexcept = 0;
  [[nodiscard]] virtual std::size_t memory_bytes() const = 0;
};

}  // namespace uzram
