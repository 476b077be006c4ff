// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_packer.h: one cluster of pages into fewer blocks and back, exactly as f2fs does.
//
// What:    the blocks of a packed cluster are one after the other: a header (length, checksum, four
//          reserved words, all little-endian), the packed bytes, zeros. Not here: the rule that the
//          last, partial cluster of a file stays raw (its owner knows where the file ends), and
//          where the blocks lie.
// Shapes:  a cluster is 4 to 256 pages and packs into 1 block to one less than it has pages: what
//          does not save a block stays raw. Packed bytes are a bare LZO1X stream or LZ4 block, or a
//          whole zstd frame.
// Errors:  make -> EINVAL for options out of their limits, ENOMEM. unpack -> EBADMSG: any other
//          bytes; "does not save a block" is an outcome of pack, not an error.
// Threads: a packer or an unpacker belongs to one thread at a time.
// Memory:  make allocates; pack and unpack never do.
// Proof:   cluster_packer_test.cc; tests/f2fs reads clusters of the kernel and compares with its
//          own; f2fs_image_fuzz.cc.
// Source:  Linux, Documentation/filesystems/f2fs.rst, "Compression implementation".
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/units.h"
#include "cluster/cluster_options.h"
#include "codec/codec.h"

namespace uzram {

inline constexpr std::size_t kClusterHeaderBytes = 24;

struct ClusterHeader {
  std::uint32_t packed_bytes = 0;  // Behind the header.
  std::uint32_t checksum = 0;      // Of the packed bytes; 0 where the file has none.
};

// Requires: `blocks` are the blocks of one packed cluster.
// Errors: EBADMSG: it claims no bytes, or more than there are.
[[nodiscard]] Result<ClusterHeader> read_cluster_header(ConstBytes blocks);

// Requires: read_cluster_header accepts `blocks`.
[[nodiscard]] bool is_cluster_checksum_right(ConstBytes blocks);

class ClusterPacker {
 public:
  [[nodiscard]] static Result<ClusterPacker> make(const ClusterOptions& options);

  // Returns: how many whole blocks at the front of `out` now hold the cluster; nullopt: it saves no
  // block. All of `out` may be overwritten whatever the outcome.
  // Requires: both have ClusterOptions::cluster_bytes(), and do not overlap.
  [[nodiscard]] std::optional<std::size_t> pack(ConstBytes cluster, MutableBytes out) noexcept;

  [[nodiscard]] const ClusterOptions& options() const { return options_; }
  // Working memory, for reports.
  [[nodiscard]] std::size_t memory_bytes() const { return memory_bytes_; }

 private:
  ClusterPacker(const ClusterOptions& options, std::unique_ptr<Compressor> compressor,
                std::size_t memory_bytes)
      : options_(options), memory_bytes_(memory_bytes), compressor_(std::move(compressor)) {}

  ClusterOptions options_;
  std::size_t memory_bytes_;
  std::unique_ptr<Compressor> compressor_;
};

class ClusterUnpacker {
 public:
  [[nodiscard]] static Result<ClusterUnpacker> make(ClusterAlgorithm algorithm);

  // Fills `cluster` with what the packed `blocks` hold; the checksum is not looked at.
  // Requires: `cluster` is 4 to 256 pages; `blocks` are whole blocks, any bytes.
  // Errors: EBADMSG: `blocks` hold no cluster of this size; the content is then unspecified.
  [[nodiscard]] Result<void> unpack(ConstBytes blocks, MutableBytes cluster) noexcept;
  // The same for at least the first `wanted_bytes`; less work where the algorithm allows it.
  // Returns: how many bytes at the front are there; what is behind them is unspecified.
  // Requires: 0 < wanted_bytes <= cluster.size().
  [[nodiscard]] Result<std::size_t> unpack_front(ConstBytes blocks, MutableBytes cluster,
                                                 std::size_t wanted_bytes) noexcept;

 private:
  explicit ClusterUnpacker(std::unique_ptr<Decompressor> decompressor)
      : decompressor_(std::move(decompressor)) {}

  std::unique_ptr<Decompressor> decompressor_;
};

}  // namespace uzram
