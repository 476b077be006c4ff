// SPDX-License-Identifier: Apache-2.0
#include "codec/deflate.h"

#include <libdeflate.h>

#include <cstdlib>

#include "codec/settings.h"

namespace uzram {
namespace {

constexpr int kDefaultLevel = 6;

struct FreeCompressor {
  void operator()(libdeflate_compressor* handle) const { libdeflate_free_compressor(handle); }
};
struct FreeDecompressor {
  void operator()(libdeflate_decompressor* handle) const { libdeflate_free_decompressor(handle); }
};
using CompressorHandle = std::unique_ptr<libdeflate_compressor, FreeCompressor>;
using DecompressorHandle = std::unique_ptr<libdeflate_decompressor, FreeDecompressor>;

class DeflateCompressor final : public Compressor {
 public:
  explicit DeflateCompressor(CompressorHandle handle) : handle_(std::move(handle)) {}

  std::optional<std::size_t> compress(ConstBytes block, MutableBytes out) noexcept override {
    const std::size_t packed_bytes = libdeflate_deflate_compress(
        handle_.get(), block.data(), block.size(), out.data(), out.size());
    if (packed_bytes == 0) return std::nullopt;
    return packed_bytes;
  }

 private:
  const CompressorHandle handle_;
};

class DeflateDecompressor final : public Decompressor {
 public:
  explicit DeflateDecompressor(DecompressorHandle handle) : handle_(std::move(handle)) {}

  Result<void> decompress(ConstBytes packed, MutableBytes block) noexcept override {
    std::size_t read_bytes = 0;
    // Without a place for the size unpacked, the library insists on filling `block` exactly.
    const libdeflate_result outcome =
        libdeflate_deflate_decompress_ex(handle_.get(), packed.data(), packed.size(), block.data(),
                                         block.size(), &read_bytes, nullptr);
    if (outcome != LIBDEFLATE_SUCCESS || read_bytes != packed.size()) return fail(EBADMSG);
    return {};
  }

 private:
  const DecompressorHandle handle_;
};

// What the library allocates; it does not tell. deflate_test.cc holds these against its
// allocations.
constexpr std::size_t kDecompressorBytes = 12 * 1024;

std::size_t library_compressor_bytes(int level) {
  if (level == 0) return 6 * 1024;
  if (level == 1) return 200 * 1024;
  if (level < 10) return 656 * 1024;
  return 8800 * 1024;
}

class DeflateCodec final : public Codec {
 public:
  explicit DeflateCodec(int level) : level_(level) {}

  Result<std::unique_ptr<Compressor>> make_compressor() const override {
    CompressorHandle handle(libdeflate_alloc_compressor(level_));
    if (!handle) return fail(ENOMEM);
    return make_object<Compressor, DeflateCompressor>(std::move(handle));
  }
  Result<std::unique_ptr<Decompressor>> make_decompressor() const override {
    DecompressorHandle handle(libdeflate_alloc_decompressor());
    if (!handle) return fail(ENOMEM);
    return make_object<Decompressor, DeflateDecompressor>(std::move(handle));
  }
  std::size_t compressor_bytes() const override {
    return sizeof(DeflateCompressor) + library_compressor_bytes(level_);
  }
  std::size_t decompressor_bytes() const override {
    return sizeof(DeflateDecompressor) + kDecompressorBytes;
  }

 private:
  const int level_;
};

bool is_window(int window_bits) {
  return (window_bits >= 8 && window_bits <= 15) || (window_bits <= -8 && window_bits >= -15);
}

}  // namespace

Result<std::unique_ptr<Codec>> make_deflate(const CodecParams& params) {
  const Result<int> level = settle(params, kDeflate);
  if (!level) return fail(level.error().code);
  if (params.window_bits && !is_window(*params.window_bits)) return fail(EINVAL);
  return make_object<Codec, DeflateCodec>(*level == -1 ? kDefaultLevel : *level);
}

}  // namespace uzram
