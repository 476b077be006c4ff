// SPDX-License-Identifier: Apache-2.0
#include "codec/lzo.h"

#include <lzo/lzo1x.h>

#include <cstring>

#include "codec/settings.h"

namespace uzram {
namespace {

// The most that the library's encoder writes; it does not check the room itself.
constexpr std::size_t worst_case_bytes(std::size_t block_bytes) {
  return block_bytes + block_bytes / 16 + 64 + 3;
}

const lzo_byte* lzo_pointer(ConstBytes bytes) {
  return reinterpret_cast<const lzo_byte*>(bytes.data());
}
lzo_byte* lzo_pointer(MutableBytes bytes) { return reinterpret_cast<lzo_byte*>(bytes.data()); }

class LzoCompressor final : public Compressor {
 public:
  explicit LzoCompressor(std::size_t block_bytes)
      : tables_(LZO1X_1_MEM_COMPRESS), scratch_(worst_case_bytes(block_bytes)) {}

  bool has_memory() const { return tables_ && scratch_; }

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    const bool is_roomy = out.size() >= worst_case_bytes(block.size());
    const MutableBytes target = is_roomy ? out : MutableBytes(scratch_.data(), scratch_.size());
    lzo_uint packed_bytes = 0;
    lzo1x_1_compress(lzo_pointer(block), block.size(), lzo_pointer(target), &packed_bytes,
                     tables_.data());
    if (packed_bytes > out.size()) return std::nullopt;
    if (!is_roomy) std::memcpy(out.data(), scratch_.data(), packed_bytes);
    return packed_bytes;
  }

 private:
  Workspace tables_;
  Workspace scratch_;
};

class LzoDecompressor final : public Decompressor {
 public:
  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    lzo_uint unpacked_bytes = block.size();
    const int outcome = lzo1x_decompress_safe(lzo_pointer(packed), packed.size(),
                                              lzo_pointer(block), &unpacked_bytes, nullptr);
    if (outcome != LZO_E_OK || unpacked_bytes != block.size()) return fail(EBADMSG);
    return {};
  }
};

class LzoCodec final : public Codec {
 public:
  explicit LzoCodec(std::size_t block_bytes) : block_bytes_(block_bytes) {}

  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    std::unique_ptr<LzoCompressor> made(new (std::nothrow) LzoCompressor(block_bytes_));
    if (!made || !made->has_memory()) return fail(ENOMEM);
    return made;
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    return make_object<Decompressor, LzoDecompressor>();
  }
  std::size_t compressor_bytes() const override {
    return sizeof(LzoCompressor) + LZO1X_1_MEM_COMPRESS + worst_case_bytes(block_bytes_);
  }
  std::size_t decompressor_bytes() const override { return sizeof(LzoDecompressor); }

 private:
  const std::size_t block_bytes_;
};

}  // namespace

Result<std::unique_ptr<Codec>> make_lzo(const CodecParams& params) {
  if (const Result<int> level = settle(params, kLzo); !level) return fail(level.error().code);
  if (lzo_init() != LZO_E_OK) return fail(EINVAL);
  return make_object<Codec, LzoCodec>(params.block_bytes);
}

}  // namespace uzram
