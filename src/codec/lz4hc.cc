// SPDX-License-Identifier: Apache-2.0
#include "codec/lz4hc.h"

#include <lz4hc.h>

#include <algorithm>
#include <climits>

#include "base/check.h"
#include "codec/lz4.h"
#include "codec/settings.h"

namespace uzram {
namespace {

// From level 10 on, the library's optimal parser allocates 64 KiB in every call, which a compressor
// must not do; it packs pages 0.3 % better, in four times the time.
constexpr int kStrongestLevel = 9;
static_assert(kStrongestLevel == LZ4HC_CLEVEL_OPT_MIN - 1);

std::optional<std::size_t> pack(LZ4_streamHC_t& stream, ConstBytes block, MutableBytes out) {
  const int room_bytes = static_cast<int>(std::min<std::size_t>(out.size(), INT_MAX));
  const int packed_bytes = LZ4_compress_HC_continue(&stream, char_pointer(block), char_pointer(out),
                                                    static_cast<int>(block.size()), room_bytes);
  if (packed_bytes <= 0) return std::nullopt;
  return static_cast<std::size_t>(packed_bytes);
}

// The fast reset keeps the 256 KiB of tables as they are, and only moves on the base against which
// positions count; the one-shot call of the library would clear them for every page.
class Lz4hcCompressor final : public Compressor {
 public:
  explicit Lz4hcCompressor(int level) : level_(level) {
    UZ_CHECK(LZ4_initStreamHC(&stream_, sizeof(stream_)) != nullptr);
  }

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    LZ4_resetStreamHC_fast(&stream_, level_);
    return pack(stream_, block, out);
  }

 private:
  const int level_;
  LZ4_streamHC_t stream_;
};

struct Lz4hcDictionary {
  std::shared_ptr<const std::string> owner;
  LZ4_streamHC_t stream;

  Lz4hcDictionary(int level, std::shared_ptr<const std::string> dictionary)
      : owner(std::move(dictionary)) {
    const std::string_view bytes = lz4_reachable(*owner);
    UZ_CHECK(LZ4_initStreamHC(&stream, sizeof(stream)) != nullptr);
    LZ4_resetStreamHC_fast(&stream, level);
    LZ4_loadDictHC(&stream, bytes.data(), static_cast<int>(bytes.size()));
  }
};

// The library can share a loaded dictionary without a copy only when it is linked statically, so
// every call starts from a copy of the loaded stream.
class Lz4hcDictionaryCompressor final : public Compressor {
 public:
  explicit Lz4hcDictionaryCompressor(std::shared_ptr<const Lz4hcDictionary> prepared)
      : prepared_(std::move(prepared)) {}

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    stream_ = prepared_->stream;
    return pack(stream_, block, out);
  }

 private:
  const std::shared_ptr<const Lz4hcDictionary> prepared_;
  LZ4_streamHC_t stream_;
};

class Lz4hcCodec final : public Codec {
 public:
  Lz4hcCodec(int level, std::shared_ptr<const Lz4hcDictionary> prepared)
      : level_(level), prepared_(std::move(prepared)) {}

  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    if (prepared_) return make_object<Compressor, Lz4hcDictionaryCompressor>(prepared_);
    return make_object<Compressor, Lz4hcCompressor>(level_);
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    return make_lz4_decompressor(prepared_ ? prepared_->owner : nullptr);
  }
  std::size_t compressor_bytes() const override {
    return prepared_ ? sizeof(Lz4hcDictionaryCompressor) : sizeof(Lz4hcCompressor);
  }
  std::size_t decompressor_bytes() const override { return lz4_decompressor_bytes(); }

 private:
  const int level_;
  const std::shared_ptr<const Lz4hcDictionary> prepared_;
};

}  // namespace

Result<std::unique_ptr<Codec>> make_lz4hc(const CodecParams& params) {
  const Result<int> asked = settle(params, kLz4hc);
  if (!asked) return fail(asked.error().code);
  const int level = std::min(*asked, kStrongestLevel);
  std::shared_ptr<const Lz4hcDictionary> prepared;
  if (!dictionary_of(params).empty()) {
    prepared = make_shared_object<Lz4hcDictionary>(level, params.dictionary);
    if (!prepared) return fail(ENOMEM);
  }
  return make_object<Codec, Lz4hcCodec>(level, std::move(prepared));
}

}  // namespace uzram
