// SPDX-License-Identifier: Apache-2.0
#include "codec/dictionary_cost.h"

#define ZSTD_STATIC_LINKING_ONLY
#include <lz4.h>
#include <lz4hc.h>
#include <zstd.h>

#include "codec/settings.h"

namespace uzram {
namespace {

// The parameters are those that make_zstd digests with.
std::size_t digested_bytes(const CodecParams& params, int level, std::size_t bytes) {
  return ZSTD_estimateCDictSize_advanced(bytes, ZSTD_getCParams(level, params.block_bytes, 0),
                                         ZSTD_dlm_byRef) +
         ZSTD_estimateDDictSize(bytes, ZSTD_dlm_byRef);
}

}  // namespace

std::size_t dictionary_bytes(const CodecInfo& codec, const CodecParams& params) {
  const std::size_t bytes = dictionary_of(params).size();
  if (bytes == 0) return 0;
  switch (codec.id) {
    case CodecId::Lz4:
      return bytes + sizeof(LZ4_stream_t);
    case CodecId::Lz4hc:
      return bytes + sizeof(LZ4_streamHC_t);
    case CodecId::Zstd:
      return bytes + digested_bytes(params, params.level.value_or(codec.level.standard), bytes);
    default:
      return bytes;
  }
}

}  // namespace uzram
