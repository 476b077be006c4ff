// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>

#include "codec/c842.h"
#include "codec/codec.h"
#include "codec/deflate.h"
#include "codec/lz4.h"
#include "codec/lz4hc.h"
#include "codec/lzo.h"
#include "codec/lzo_rle.h"
#include "codec/settings.h"
#include "codec/zstd.h"

namespace uzram {
namespace {

constexpr std::array kCodecs = {kLzoRle, kLzo, kLz4, kLz4hc, kZstd, kDeflate, kC842};

constexpr bool rows_are_unique() {
  for (std::size_t i = 0; i < kCodecs.size(); ++i) {
    for (std::size_t j = i + 1; j < kCodecs.size(); ++j) {
      if (kCodecs[i].id == kCodecs[j].id || kCodecs[i].name == kCodecs[j].name) return false;
    }
  }
  return true;
}

constexpr bool levels_are_sane() {
  for (const CodecInfo& row : kCodecs) {
    if (row.level.standard < row.level.lowest || row.level.standard > row.level.highest)
      return false;
  }
  return true;
}

static_assert(rows_are_unique());
static_assert(levels_are_sane());

constexpr bool is_block(std::size_t bytes) {
  return std::has_single_bit(bytes) && bytes >= kPageBytes && bytes <= kMaxBlockBytes;
}

}  // namespace

std::span<const CodecInfo> all_codecs() { return kCodecs; }

const CodecInfo* find_codec(std::string_view name) {
  for (const CodecInfo& row : kCodecs) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

const CodecInfo* find_codec(CodecId id) {
  for (const CodecInfo& row : kCodecs) {
    if (row.id == id) return &row;
  }
  return nullptr;
}

Result<int> settle(const CodecParams& params, const CodecInfo& row) {
  if (!is_block(params.block_bytes)) return fail(EINVAL);
  if (params.window_bits && !row.takes_window_bits) return fail(EINVAL);
  if (!dictionary_of(params).empty() && !row.takes_dictionary) return fail(EINVAL);
  if (!params.level) return row.level.standard;
  const bool takes_level = row.level.lowest != 0 || row.level.highest != 0;
  if (!takes_level || *params.level < row.level.lowest || *params.level > row.level.highest)
    return fail(EINVAL);
  return *params.level;
}

std::string_view dictionary_of(const CodecParams& params) {
  return params.dictionary ? std::string_view(*params.dictionary) : std::string_view();
}

Result<std::size_t> Decompressor::decompress_front(ConstBytes packed, MutableBytes block,
                                                   std::size_t /*wanted_bytes*/) noexcept {
  if (auto done = decompress(packed, block); !done) return fail(done.error().code);
  return block.size();
}

}  // namespace uzram
