// SPDX-License-Identifier: Apache-2.0
// codec/dictionary_cost.h: what a dictionary costs beside the contexts that use it.
//
// What:    the bytes themselves, and what the algorithm makes of them once for all contexts. Not
//          here: copies inside contexts, which compressor_bytes and decompressor_bytes count.
// Proof:   dictionary_cost_test.cc.
#pragma once

#include "codec/codec.h"

namespace uzram {

// 0 without a dictionary.
[[nodiscard]] std::size_t dictionary_bytes(const CodecInfo& codec, const CodecParams& params);

}  // namespace uzram
