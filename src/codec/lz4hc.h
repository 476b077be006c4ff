// SPDX-License-Identifier: Apache-2.0
// codec/lz4hc.h: LZ4 blocks from the slower, stronger encoder of liblz4.
//
// What:   packed data and unpacking are those of lz4. Levels are the kernel's, 3 to 16; those above
//         9 pack as 9 does, because the library allocates memory in every call for them.
// Shapes: only the last 64 KiB of a dictionary are used.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_lz4hc(const CodecParams& params);

inline constexpr CodecInfo kLz4hc = {.id = CodecId::Lz4hc,
                                     .name = "lz4hc",
                                     .level = {.lowest = 3, .highest = 16, .standard = 9},
                                     .takes_dictionary = true,
                                     .takes_window_bits = false,
                                     .make = make_lz4hc};

}  // namespace uzram
