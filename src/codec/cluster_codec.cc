// SPDX-License-Identifier: Apache-2.0
#include "codec/cluster_codec.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <algorithm>

#include "base/check.h"
#include "codec/settings.h"
#include "codec/zstd_outcome.h"

namespace uzram {
namespace {

constexpr std::size_t kFixedBytes = 2;
constexpr std::size_t kEndBytes = 3;

constexpr std::size_t block_count_of(std::size_t page_count) {
  return (page_count + kClusterBlockPages - 1) / kClusterBlockPages;
}
constexpr std::size_t header_bytes_of(std::size_t page_count) {
  return kFixedBytes + (block_count_of(page_count) - 1) * kEndBytes;
}

void store_end(std::byte* place, std::size_t end) {
  for (std::size_t i = 0; i < kEndBytes; ++i) place[i] = static_cast<std::byte>(end >> (8 * i));
}
std::size_t load_end(const std::byte* place) {
  std::size_t end = 0;
  for (std::size_t i = 0; i < kEndBytes; ++i) end |= static_cast<std::size_t>(place[i]) << (8 * i);
  return end;
}

class ZstdClusterCompressor final : public ClusterCompressor {
 public:
  ZstdClusterCompressor(int level, std::size_t most_pages, Workspace workspace)
      : most_bytes_(most_pages * kPageBytes),
        workspace_(std::move(workspace)),
        context_(ZSTD_initStaticCCtx(workspace_.data(), workspace_.size())) {
    UZ_CHECK(context_ != nullptr);
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_format, ZSTD_f_zstd1_magicless));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 0));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_dictIDFlag, 0));
    // Both buffers hold everything and stay where they are: nothing is copied.
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_stableInBuffer, 1));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_stableOutBuffer, 1));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level));
    must(ZSTD_CCtx_setCParams(context_, parameters_for(level, most_bytes_)));
  }

  static ZSTD_compressionParameters parameters_for(int level, std::size_t bytes) {
    return ZSTD_getCParams(level, bytes, 0);
  }
  static std::size_t workspace_bytes(int level, std::size_t bytes) {
    return ZSTD_estimateCStreamSize_usingCParams(parameters_for(level, bytes));
  }

  std::optional<std::size_t> compress(ConstBytes pages, MutableBytes out) noexcept override {
    UZ_DCHECK(pages.size() % kPageBytes == 0 && pages.size() <= most_bytes_);
    const std::size_t page_count = pages.size() / kPageBytes;
    const std::size_t header_bytes = header_bytes_of(page_count);
    if (out.size() <= header_bytes) return std::nullopt;
    out[0] = static_cast<std::byte>(page_count);
    out[1] = std::byte{0};
    must(ZSTD_CCtx_reset(context_, ZSTD_reset_session_only));
    must(ZSTD_CCtx_setPledgedSrcSize(context_, pages.size()));
    ZSTD_outBuffer packed{out.data() + header_bytes, out.size() - header_bytes, 0};
    ZSTD_inBuffer input{pages.data(), 0, 0};
    for (std::size_t block = 0; block < block_count_of(page_count); ++block) {
      const bool is_last = block + 1 == block_count_of(page_count);
      input.size = std::min(pages.size(), (block + 1) * kClusterBlockPages * kPageBytes);
      const std::size_t left =
          ZSTD_compressStream2(context_, &packed, &input, is_last ? ZSTD_e_end : ZSTD_e_flush);
      if (ZSTD_isError(left) || left != 0) return std::nullopt;
      if (!is_last) store_end(&out[kFixedBytes + block * kEndBytes], header_bytes + packed.pos);
    }
    return header_bytes + packed.pos;
  }

  std::size_t memory_bytes() const override { return sizeof *this + workspace_.size(); }

 private:
  const std::size_t most_bytes_;
  Workspace workspace_;
  ZSTD_CCtx* const context_;  // Inside workspace_.
};

class ZstdClusterDecompressor final : public ClusterDecompressor {
 public:
  explicit ZstdClusterDecompressor(Workspace workspace)
      : workspace_(std::move(workspace)),
        context_(ZSTD_initStaticDCtx(workspace_.data(), workspace_.size())) {
    UZ_CHECK(context_ != nullptr);
    must(ZSTD_DCtx_setParameter(context_, ZSTD_d_format, ZSTD_f_zstd1_magicless));
    must(ZSTD_DCtx_setParameter(context_, ZSTD_d_stableOutBuffer, 1));
  }

  Result<std::size_t> start(ConstBytes packed, MutableBytes pages) noexcept override {
    page_count_ = 0;
    if (packed.size() <= kFixedBytes || packed[1] != std::byte{0}) return fail(EBADMSG);
    const auto page_count = std::to_integer<std::size_t>(packed[0]);
    if (page_count < 2 || page_count > kClusterMostPages ||
        page_count * kPageBytes > pages.size() || packed.size() <= header_bytes_of(page_count)) {
      return fail(EBADMSG);
    }
    must(ZSTD_DCtx_reset(context_, ZSTD_reset_session_only));
    page_count_ = page_count;
    packed_ = packed;
    input_ = {packed.data(), 0, header_bytes_of(page_count)};
    output_ = {pages.data(), page_count * kPageBytes, 0};
    return page_count;
  }

  Result<std::size_t> unpack_through(std::size_t number) noexcept override {
    if (number >= page_count_) return fail(EBADMSG);
    const std::size_t wanted_bytes = (number + 1) * kPageBytes;
    std::size_t block = output_.pos / (kClusterBlockPages * kPageBytes);
    while (output_.pos < wanted_bytes) {
      input_.size = end_of_block(block);
      const std::size_t expected_bytes =
          std::min(output_.size, (block + 1) * kClusterBlockPages * kPageBytes);
      if (input_.size < input_.pos || input_.size > packed_.size()) return fail(EBADMSG);
      // One call may stop early although there is more input: it returns when it has given
      // something.
      while (output_.pos < expected_bytes && input_.pos < input_.size) {
        const std::size_t before = output_.pos + input_.pos;
        if (ZSTD_isError(ZSTD_decompressStream(context_, &output_, &input_))) return fail(EBADMSG);
        if (output_.pos + input_.pos == before) return fail(EBADMSG);
      }
      if (output_.pos != expected_bytes) return fail(EBADMSG);
      ++block;
    }
    return output_.pos / kPageBytes;
  }

  // The rest of the workspace is room that a stable output buffer leaves untouched.
  std::size_t memory_bytes() const override { return sizeof *this + ZSTD_estimateDCtxSize(); }

 private:
  [[nodiscard]] std::size_t end_of_block(std::size_t block) const {
    if (block + 1 >= block_count_of(page_count_)) return packed_.size();
    return load_end(&packed_[kFixedBytes + block * kEndBytes]);
  }

  Workspace workspace_;
  ZSTD_DCtx* const context_;  // Inside workspace_.
  std::size_t page_count_ = 0;
  ConstBytes packed_;
  ZSTD_inBuffer input_{};
  ZSTD_outBuffer output_{};
};

}  // namespace

Result<std::unique_ptr<ClusterCompressor>> ClusterCompressor::make(int level,
                                                                   std::size_t most_pages) {
  if (level < ZSTD_minCLevel() || level > ZSTD_maxCLevel() || level == 0) return fail(EINVAL);
  if (most_pages < 2 || most_pages > kClusterMostPages) return fail(EINVAL);
  Workspace workspace(ZstdClusterCompressor::workspace_bytes(level, most_pages * kPageBytes));
  if (!workspace) return fail(ENOMEM);
  return make_object<ClusterCompressor, ZstdClusterCompressor>(level, most_pages,
                                                               std::move(workspace));
}

Result<std::unique_ptr<ClusterDecompressor>> ClusterDecompressor::make() {
  Workspace workspace(ZSTD_estimateDStreamSize(kClusterMostPages * kPageBytes));
  if (!workspace) return fail(ENOMEM);
  return make_object<ClusterDecompressor, ZstdClusterDecompressor>(std::move(workspace));
}

}  // namespace uzram
