// SPDX-License-Identifier: Apache-2.0
// codec/lzo_rle.h: LZO1X with runs of zeros, the kernel's lzo-rle; no library has it.
//
// What:   packed data is the stream that the kernel's lzo-rle writes and reads, in zram and in
// f2fs.
//         No level, no dictionary. lzo_rle.cc explains the format.
// Source: Linux, Documentation/staging/lzo.rst.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_lzo_rle(const CodecParams& params);

inline constexpr CodecInfo kLzoRle = {.id = CodecId::LzoRle,
                                      .name = "lzo-rle",
                                      .level = {},
                                      .takes_dictionary = false,
                                      .takes_window_bits = false,
                                      .make = make_lzo_rle};

}  // namespace uzram
