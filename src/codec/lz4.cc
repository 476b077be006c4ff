// SPDX-License-Identifier: Apache-2.0
#include "codec/lz4.h"

#include <lz4.h>

#include <climits>

#include "base/check.h"
#include "codec/settings.h"

namespace uzram {
namespace {

constexpr std::size_t kReachBytes = 64 * 1024;

std::optional<std::size_t> packed_or_nothing(int packed_bytes) {
  if (packed_bytes <= 0) return std::nullopt;
  return static_cast<std::size_t>(packed_bytes);
}

int clamp_to_int(std::size_t bytes) { return bytes > INT_MAX ? INT_MAX : static_cast<int>(bytes); }

class Lz4Compressor final : public Compressor {
 public:
  explicit Lz4Compressor(int acceleration) : acceleration_(acceleration) {}

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    return packed_or_nothing(LZ4_compress_fast_extState(
        &state_, char_pointer(block), char_pointer(out), static_cast<int>(block.size()),
        clamp_to_int(out.size()), acceleration_));
  }

 private:
  const int acceleration_;
  LZ4_stream_t state_;
};

// Hashing the dictionary costs more than packing a page, so it is done once: every call starts from
// a copy of the stream into which it was loaded.
struct Lz4Dictionary {
  std::shared_ptr<const std::string> owner;
  LZ4_stream_t stream;

  explicit Lz4Dictionary(std::shared_ptr<const std::string> dictionary)
      : owner(std::move(dictionary)) {
    const std::string_view bytes = lz4_reachable(*owner);
    UZ_CHECK(LZ4_initStream(&stream, sizeof(stream)) != nullptr);
    LZ4_loadDict(&stream, bytes.data(), static_cast<int>(bytes.size()));
  }
};

class Lz4DictionaryCompressor final : public Compressor {
 public:
  Lz4DictionaryCompressor(int acceleration, std::shared_ptr<const Lz4Dictionary> prepared)
      : acceleration_(acceleration), prepared_(std::move(prepared)) {}

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    stream_ = prepared_->stream;
    return packed_or_nothing(LZ4_compress_fast_continue(
        &stream_, char_pointer(block), char_pointer(out), static_cast<int>(block.size()),
        clamp_to_int(out.size()), acceleration_));
  }

 private:
  const int acceleration_;
  const std::shared_ptr<const Lz4Dictionary> prepared_;
  LZ4_stream_t stream_;
};

Result<void> exactly(int unpacked_bytes, MutableBytes block) {
  if (unpacked_bytes < 0 || static_cast<std::size_t>(unpacked_bytes) != block.size())
    return fail(EBADMSG);
  return {};
}

class PlainDecompressor final : public Decompressor {
 public:
  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    if (packed.size() > INT_MAX) return fail(EBADMSG);
    return exactly(
        LZ4_decompress_safe(char_pointer(packed), char_pointer(block),
                            static_cast<int>(packed.size()), static_cast<int>(block.size())),
        block);
  }

  Result<std::size_t> decompress_front(ConstBytes packed, MutableBytes block,
                                       std::size_t wanted_bytes) noexcept override {
    if (wanted_bytes == block.size())
      return Decompressor::decompress_front(packed, block, wanted_bytes);
    if (packed.size() > INT_MAX) return fail(EBADMSG);
    const int unpacked_bytes = LZ4_decompress_safe_partial(
        char_pointer(packed), char_pointer(block), static_cast<int>(packed.size()),
        static_cast<int>(wanted_bytes), static_cast<int>(block.size()));
    if (unpacked_bytes < 0 || static_cast<std::size_t>(unpacked_bytes) < wanted_bytes)
      return fail(EBADMSG);
    return static_cast<std::size_t>(unpacked_bytes);
  }
};

class DictionaryDecompressor final : public Decompressor {
 public:
  explicit DictionaryDecompressor(std::shared_ptr<const std::string> owner)
      : owner_(std::move(owner)), dictionary_(lz4_reachable(*owner_)) {}

  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    if (packed.size() > INT_MAX) return fail(EBADMSG);
    return exactly(LZ4_decompress_safe_usingDict(char_pointer(packed), char_pointer(block),
                                                 static_cast<int>(packed.size()),
                                                 static_cast<int>(block.size()), dictionary_.data(),
                                                 static_cast<int>(dictionary_.size())),
                   block);
  }

 private:
  const std::shared_ptr<const std::string> owner_;
  const std::string_view dictionary_;
};

class Lz4Codec final : public Codec {
 public:
  Lz4Codec(int acceleration, std::shared_ptr<const Lz4Dictionary> prepared)
      : acceleration_(acceleration), prepared_(std::move(prepared)) {}

  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    if (prepared_)
      return make_object<Compressor, Lz4DictionaryCompressor>(acceleration_, prepared_);
    return make_object<Compressor, Lz4Compressor>(acceleration_);
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    return make_lz4_decompressor(prepared_ ? prepared_->owner : nullptr);
  }
  std::size_t compressor_bytes() const override {
    return prepared_ ? sizeof(Lz4DictionaryCompressor) : sizeof(Lz4Compressor);
  }
  std::size_t decompressor_bytes() const override { return lz4_decompressor_bytes(); }

 private:
  const int acceleration_;
  const std::shared_ptr<const Lz4Dictionary> prepared_;
};

}  // namespace

std::string_view lz4_reachable(std::string_view dictionary) {
  return dictionary.substr(dictionary.size() - std::min(dictionary.size(), kReachBytes));
}

Result<std::unique_ptr<Decompressor>> make_lz4_decompressor(
    std::shared_ptr<const std::string> owner) {
  if (owner) return make_object<Decompressor, DictionaryDecompressor>(std::move(owner));
  return make_object<Decompressor, PlainDecompressor>();
}

std::size_t lz4_decompressor_bytes() { return sizeof(DictionaryDecompressor); }

Result<std::unique_ptr<Codec>> make_lz4(const CodecParams& params) {
  const Result<int> level = settle(params, kLz4);
  if (!level) return fail(level.error().code);
  std::shared_ptr<const Lz4Dictionary> prepared;
  if (!dictionary_of(params).empty()) {
    prepared = make_shared_object<Lz4Dictionary>(params.dictionary);
    if (!prepared) return fail(ENOMEM);
  }
  return make_object<Codec, Lz4Codec>(*level, std::move(prepared));
}

}  // namespace uzram
