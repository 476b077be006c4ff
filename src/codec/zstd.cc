// SPDX-License-Identifier: Apache-2.0
// Contexts live in workspaces that are sized once for the largest block: a static context never
// allocates, and reports an error where another would.
#include "codec/zstd.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
#include <zstd_errors.h>

#include <cstring>

#include "base/check.h"
#include "codec/settings.h"
#include "codec/zstd_outcome.h"

namespace uzram {
namespace {

// A dictionary that was digested once, in static workspaces: ZSTD_createCDict_advanced of version
// 1.5.4 crashes when it gets no memory.
struct Digested {
  std::shared_ptr<const std::string> bytes;
  Workspace pack_workspace;
  Workspace unpack_workspace;
  const ZSTD_CDict* for_packing = nullptr;    // Inside pack_workspace.
  const ZSTD_DDict* for_unpacking = nullptr;  // Inside unpack_workspace.

  Digested(std::shared_ptr<const std::string> dictionary, ZSTD_compressionParameters parameters)
      : bytes(std::move(dictionary)),
        pack_workspace(ZSTD_estimateCDictSize_advanced(bytes->size(), parameters, ZSTD_dlm_byRef)),
        unpack_workspace(ZSTD_estimateDDictSize(bytes->size(), ZSTD_dlm_byRef)) {}

  bool has_memory() const { return pack_workspace && unpack_workspace; }

  // Returns: whether the library could read the dictionary. Requires: has_memory().
  bool digest(ZSTD_compressionParameters parameters) {
    // The library leaves a field of the digest as it finds it.
    std::memset(pack_workspace.data(), 0, pack_workspace.size());
    for_packing = ZSTD_initStaticCDict(pack_workspace.data(), pack_workspace.size(), bytes->data(),
                                       bytes->size(), ZSTD_dlm_byRef, ZSTD_dct_auto, parameters);
    for_unpacking =
        ZSTD_initStaticDDict(unpack_workspace.data(), unpack_workspace.size(), bytes->data(),
                             bytes->size(), ZSTD_dlm_byRef, ZSTD_dct_auto);
    return for_packing != nullptr && for_unpacking != nullptr;
  }
};

// What all contexts of one codec share.
struct Shared {
  int level = 0;
  ZSTD_compressionParameters parameters = {};
  std::unique_ptr<const Digested> dictionary;
};

std::size_t compressor_workspace_bytes(const Shared& shared) {
  return ZSTD_estimateCCtxSize_usingCParams(shared.parameters);
}

class ZstdCompressor final : public Compressor {
 public:
  ZstdCompressor(std::shared_ptr<const Shared> shared, Workspace workspace)
      : shared_(std::move(shared)),
        workspace_(std::move(workspace)),
        context_(ZSTD_initStaticCCtx(workspace_.data(), workspace_.size())) {
    UZ_CHECK(context_ != nullptr);
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_format, ZSTD_f_zstd1_magicless));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_contentSizeFlag, 0));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_checksumFlag, 0));
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_dictIDFlag, 0));
    // A parameter of zero means "as the level has it", so the level is set as well.
    must(ZSTD_CCtx_setParameter(context_, ZSTD_c_compressionLevel, shared_->level));
    must(ZSTD_CCtx_setCParams(context_, shared_->parameters));
    if (shared_->dictionary) must(ZSTD_CCtx_refCDict(context_, shared_->dictionary->for_packing));
  }

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    const std::size_t outcome =
        ZSTD_compress2(context_, out.data(), out.size(), block.data(), block.size());
    if (!ZSTD_isError(outcome)) return outcome;
    UZ_CHECK(ZSTD_getErrorCode(outcome) == ZSTD_error_dstSize_tooSmall);
    return std::nullopt;
  }

 private:
  const std::shared_ptr<const Shared> shared_;
  Workspace workspace_;
  ZSTD_CCtx* const context_;  // Inside workspace_.
};

class ZstdDecompressor final : public Decompressor {
 public:
  ZstdDecompressor(std::shared_ptr<const Shared> shared, Workspace workspace)
      : shared_(std::move(shared)),
        workspace_(std::move(workspace)),
        context_(ZSTD_initStaticDCtx(workspace_.data(), workspace_.size())) {
    UZ_CHECK(context_ != nullptr);
    must(ZSTD_DCtx_setParameter(context_, ZSTD_d_format, ZSTD_f_zstd1_magicless));
    if (shared_->dictionary) must(ZSTD_DCtx_refDDict(context_, shared_->dictionary->for_unpacking));
  }

  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    // Our frames carry no optional field, so their first byte is zero. Saying so here also keeps
    // the library from taking other input for a skippable or an ancient frame, which it looks for
    // even in data without magic numbers.
    if (packed.empty() || packed.front() != std::byte{0}) return fail(EBADMSG);
    const std::size_t outcome =
        ZSTD_decompressDCtx(context_, block.data(), block.size(), packed.data(), packed.size());
    if (ZSTD_isError(outcome) || outcome != block.size()) return fail(EBADMSG);
    return {};
  }

 private:
  const std::shared_ptr<const Shared> shared_;
  Workspace workspace_;
  ZSTD_DCtx* const context_;  // Inside workspace_.
};

class ZstdCodec final : public Codec {
 public:
  explicit ZstdCodec(std::shared_ptr<const Shared> shared) : shared_(std::move(shared)) {}

  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    Workspace workspace(compressor_workspace_bytes(*shared_));
    if (!workspace) return fail(ENOMEM);
    return make_object<Compressor, ZstdCompressor>(shared_, std::move(workspace));
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    Workspace workspace(ZSTD_estimateDCtxSize());
    if (!workspace) return fail(ENOMEM);
    return make_object<Decompressor, ZstdDecompressor>(shared_, std::move(workspace));
  }
  std::size_t compressor_bytes() const override {
    return sizeof(ZstdCompressor) + compressor_workspace_bytes(*shared_);
  }
  std::size_t decompressor_bytes() const override {
    return sizeof(ZstdDecompressor) + ZSTD_estimateDCtxSize();
  }

 private:
  const std::shared_ptr<const Shared> shared_;
};

// Errors: ENOMEM. EINVAL: it claims to be a trained dictionary, and is none.
Result<std::unique_ptr<const Digested>> digest(const CodecParams& params,
                                               ZSTD_compressionParameters parameters) {
  std::unique_ptr<Digested> digested(new (std::nothrow) Digested(params.dictionary, parameters));
  if (!digested || !digested->has_memory()) return fail(ENOMEM);
  if (!digested->digest(parameters)) return fail(EINVAL);
  return digested;
}

}  // namespace

Result<std::unique_ptr<Codec>> make_zstd(const CodecParams& params) {
  const Result<int> level = settle(params, kZstd);
  if (!level) return fail(level.error().code);
  Shared settled;
  settled.level = *level;
  // As the kernel does, for the block alone: parameters for block and dictionary together pack no
  // better and need up to ten times the memory.
  settled.parameters = ZSTD_getCParams(*level, params.block_bytes, 0);
  if (!dictionary_of(params).empty()) {
    Result<std::unique_ptr<const Digested>> digested = digest(params, settled.parameters);
    if (!digested) return fail(digested.error().code);
    settled.dictionary = *std::move(digested);
  }
  std::shared_ptr<const Shared> shared = make_shared_object<Shared>(std::move(settled));
  if (!shared) return fail(ENOMEM);
  return make_object<Codec, ZstdCodec>(std::move(shared));
}

}  // namespace uzram
