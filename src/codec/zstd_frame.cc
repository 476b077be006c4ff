// SPDX-License-Identifier: Apache-2.0
#include "codec/zstd_frame.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <array>
#include <cstring>

#include "base/check.h"
#include "codec/settings.h"
#include "codec/zstd.h"
#include "codec/zstd_outcome.h"

namespace uzram {
namespace {

class ZstdFrameCompressor final : public Compressor {
 public:
  ZstdFrameCompressor(int level, ZSTD_compressionParameters parameters, Workspace workspace)
      : workspace_(std::move(workspace)),
        context_(ZSTD_initStaticCStream(workspace_.data(), workspace_.size())) {
    UZ_CHECK(context_ != nullptr);
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 0));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, level));
    must(ZSTD_CCtx_setCParams(context_, parameters));
  }

  // As who streams does it: all input first, then the end, so that the size stays unknown.
  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    must(ZSTD_CCtx_reset(context_, ZSTD_reset_session_only));
    ZSTD_outBuffer packed{out.data(), out.size(), 0};
    ZSTD_inBuffer input{block.data(), block.size(), 0};
    must(ZSTD_compressStream2(context_, &packed, &input, ZSTD_e_continue));
    if (input.pos != input.size) return std::nullopt;
    const std::size_t left = ZSTD_compressStream2(context_, &packed, &input, ZSTD_e_end);
    must(left);
    if (left != 0) return std::nullopt;
    return packed.pos;
  }

 private:
  Workspace workspace_;
  ZSTD_CCtx* const context_;  // Inside workspace_.
};

class ZstdFrameDecompressor final : public Decompressor {
 public:
  explicit ZstdFrameDecompressor(Workspace workspace)
      : workspace_(std::move(workspace)),
        context_(ZSTD_initStaticDCtx(workspace_.data(), workspace_.size())) {
    UZ_CHECK(context_ != nullptr);
  }

  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    // The library would also take skippable and ancient frames.
    constexpr std::array kMagic = {std::byte{0x28}, std::byte{0xb5}, std::byte{0x2f},
                                   std::byte{0xfd}};
    if (packed.size() < kMagic.size() ||
        std::memcmp(packed.data(), kMagic.data(), kMagic.size()) != 0) {
      return fail(EBADMSG);
    }
    const std::size_t outcome =
        ZSTD_decompressDCtx(context_, block.data(), block.size(), packed.data(), packed.size());
    if (ZSTD_isError(outcome) || outcome != block.size()) return fail(EBADMSG);
    return {};
  }

 private:
  Workspace workspace_;
  ZSTD_DCtx* const context_;  // Inside workspace_.
};

class ZstdFrameCodec final : public Codec {
 public:
  ZstdFrameCodec(int level, std::size_t block_bytes)
      : level_(level), parameters_(ZSTD_getCParams(level, block_bytes, 0)) {}

  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    Workspace workspace(ZSTD_estimateCStreamSize_usingCParams(parameters_));
    if (!workspace) return fail(ENOMEM);
    return make_object<Compressor, ZstdFrameCompressor>(level_, parameters_, std::move(workspace));
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    Workspace workspace(ZSTD_estimateDCtxSize());
    if (!workspace) return fail(ENOMEM);
    return make_object<Decompressor, ZstdFrameDecompressor>(std::move(workspace));
  }
  std::size_t compressor_bytes() const override {
    return sizeof(ZstdFrameCompressor) + ZSTD_estimateCStreamSize_usingCParams(parameters_);
  }
  std::size_t decompressor_bytes() const override {
    return sizeof(ZstdFrameDecompressor) + ZSTD_estimateDCtxSize();
  }

 private:
  const int level_;
  const ZSTD_compressionParameters parameters_;
};

}  // namespace

Result<std::unique_ptr<Codec>> make_zstd_frame(const CodecParams& params) {
  const Result<int> asked = settle(params, kZstd);
  if (!asked) return fail(asked.error().code);
  const int level = params.level.value_or(kZstdFrameStandardLevel);
  if (level < 1 || !dictionary_of(params).empty()) return fail(EINVAL);
  return make_object<Codec, ZstdFrameCodec>(level, params.block_bytes);
}

}  // namespace uzram
