// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_packer.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "cluster/f2fs_checksum.h"
#include "cluster/little_endian.h"
#include "codec/lz4.h"
#include "codec/lz4hc.h"
#include "codec/lzo.h"
#include "codec/lzo_rle.h"
#include "codec/zstd_frame.h"

namespace uzram {
namespace {

constexpr std::size_t kChecksumOffset = 4;
// An encoder may refuse what fits with less than its slack to spare; the rule is checked later.
static_assert(kClusterHeaderBytes + kFitSlackBytes < kPageBytes);

// The most packed bytes with which a cluster is kept.
constexpr std::size_t budget_bytes(std::size_t cluster_bytes) {
  return cluster_bytes - kPageBytes - kClusterHeaderBytes;
}

Result<std::unique_ptr<Codec>> make_cluster_codec(const ClusterOptions& options) {
  CodecParams params{.block_bytes = options.cluster_bytes()};
  switch (options.algorithm) {
    case ClusterAlgorithm::Lzo:
      return make_lzo(params);
    case ClusterAlgorithm::LzoRle:
      return make_lzo_rle(params);
    case ClusterAlgorithm::Lz4:
      if (options.level == 0) return make_lz4(params);
      params.level = options.level;
      return make_lz4hc(params);
    case ClusterAlgorithm::Zstd:
      if (options.level != 0) params.level = options.level;
      return make_zstd_frame(params);
  }
  return fail(EINVAL);
}

}  // namespace

Result<ClusterHeader> read_cluster_header(ConstBytes blocks) {
  if (blocks.size() < kClusterHeaderBytes) return fail(EBADMSG);
  const ClusterHeader header{load_little<std::uint32_t>(blocks, 0),
                             load_little<std::uint32_t>(blocks, kChecksumOffset)};
  if (header.packed_bytes == 0 || header.packed_bytes > blocks.size() - kClusterHeaderBytes)
    return fail(EBADMSG);
  return header;
}

bool is_cluster_checksum_right(ConstBytes blocks) {
  const ClusterHeader header = read_cluster_header(blocks).value();
  return f2fs_checksum(blocks.subspan(kClusterHeaderBytes, header.packed_bytes)) == header.checksum;
}

Result<ClusterPacker> ClusterPacker::make(const ClusterOptions& options) {
  if (!is_valid(options)) return fail(EINVAL);
  const auto codec = make_cluster_codec(options);
  if (!codec) return fail(codec.error().code);
  auto compressor = (*codec)->make_compressor();
  if (!compressor) return fail(compressor.error().code);
  return ClusterPacker(options, *std::move(compressor), (*codec)->compressor_bytes());
}

std::optional<std::size_t> ClusterPacker::pack(ConstBytes cluster, MutableBytes out) noexcept {
  UZ_CHECK(cluster.size() == options_.cluster_bytes());
  UZ_CHECK(out.size() == cluster.size());
  const std::size_t most_bytes = budget_bytes(cluster.size());
  // LZ4 as f2fs calls it ends within the budget, or refuses a little before it. The others are
  // given more room, in which what does not fit into the budget comes out as a whole.
  const bool is_bounded = options_.algorithm == ClusterAlgorithm::Lz4;
  const std::size_t room_bytes = most_bytes + (is_bounded ? 0 : kFitSlackBytes);
  const auto packed_bytes =
      compressor_->compress(cluster, out.subspan(kClusterHeaderBytes, room_bytes));
  if (!packed_bytes || *packed_bytes > most_bytes) return std::nullopt;
  const std::size_t used_bytes = kClusterHeaderBytes + *packed_bytes;
  const std::size_t block_count = bytes_to_pages(used_bytes);
  std::memset(out.data(), 0, kClusterHeaderBytes);
  store_little(out, 0, static_cast<std::uint32_t>(*packed_bytes));
  if (options_.has_checksum)
    store_little(out, kChecksumOffset,
                 f2fs_checksum(out.subspan(kClusterHeaderBytes, *packed_bytes)));
  std::memset(&out[used_bytes], 0, block_count * kPageBytes - used_bytes);
  return block_count;
}

Result<ClusterUnpacker> ClusterUnpacker::make(ClusterAlgorithm algorithm) {
  // Unpacking does not depend on the level; contexts for the largest cluster unpack all.
  const ClusterOptions options{.algorithm = algorithm, .log_pages = kMostClusterLog};
  if (!is_valid(options)) return fail(EINVAL);
  const auto codec = make_cluster_codec(options);
  if (!codec) return fail(codec.error().code);
  auto decompressor = (*codec)->make_decompressor();
  if (!decompressor) return fail(decompressor.error().code);
  return ClusterUnpacker(*std::move(decompressor));
}

Result<void> ClusterUnpacker::unpack(ConstBytes blocks, MutableBytes cluster) noexcept {
  const auto header = read_cluster_header(blocks);
  if (!header) return fail(header.error().code);
  return decompressor_->decompress(blocks.subspan(kClusterHeaderBytes, header->packed_bytes),
                                   cluster);
}

Result<std::size_t> ClusterUnpacker::unpack_front(ConstBytes blocks, MutableBytes cluster,
                                                  std::size_t wanted_bytes) noexcept {
  const auto header = read_cluster_header(blocks);
  if (!header) return fail(header.error().code);
  const ConstBytes packed = blocks.subspan(kClusterHeaderBytes, header->packed_bytes);
  return decompressor_->decompress_front(packed, cluster, wanted_bytes);
}

}  // namespace uzram
