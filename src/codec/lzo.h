// SPDX-License-Identifier: Apache-2.0
// codec/lzo.h: LZO1X, through liblzo2.
//
// What:   packed data is a bare LZO1X stream, as zram's lzo and f2fs store it. No level, no
//         dictionary. The run-length variant is lzo_rle.h.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_lzo(const CodecParams& params);

inline constexpr CodecInfo kLzo = {.id = CodecId::Lzo,
                                   .name = "lzo",
                                   .level = {},
                                   .takes_dictionary = false,
                                   .takes_window_bits = false,
                                   .make = make_lzo};

}  // namespace uzram
