// SPDX-License-Identifier: Apache-2.0
// codec/lz4.h: LZ4 blocks, through liblz4.
//
// What:   packed data is a bare LZ4 block, as zram and f2fs store it. The level is LZ4's
//         acceleration: higher is faster and packs less.
// Shapes: only the last 64 KiB of a dictionary are used; that is as far as LZ4 looks back.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_lz4(const CodecParams& params);

inline constexpr CodecInfo kLz4 = {.id = CodecId::Lz4,
                                   .name = "lz4",
                                   .level = {.lowest = 1, .highest = 65537, .standard = 1},
                                   .takes_dictionary = true,
                                   .takes_window_bits = false,
                                   .make = make_lz4};

// Unpacking is the same for lz4 and lz4hc. An empty dictionary means that there is none.
// Returns: nullptr without memory. `owner` keeps the dictionary alive.
[[nodiscard]] Result<std::unique_ptr<Decompressor>> make_lz4_decompressor(
    std::shared_ptr<const std::string> owner);
[[nodiscard]] std::size_t lz4_decompressor_bytes();

// The part of a dictionary that LZ4 can reach.
[[nodiscard]] std::string_view lz4_reachable(std::string_view dictionary);

}  // namespace uzram
