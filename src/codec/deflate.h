// SPDX-License-Identifier: Apache-2.0
// codec/deflate.h: raw deflate (RFC 1951, no wrapper), through libdeflate.
//
// What:   levels are zlib's -1 (6) to 9, and the library's own 10 to 12.
// Shapes: the library's window is 32 KiB always. window_bits is checked (8 to 15, of either sign:
// the
//         sign chooses zlib's wrapper, which is never written here) and then changes nothing. On a
//         block no longer than the window asked for, that makes no difference; on a longer one,
//         matches may reach further back than asked: it packs better, any inflate with a 32 KiB
//         window reads it, one with the smaller window may not. Memory stays the same.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_deflate(const CodecParams& params);

inline constexpr CodecInfo kDeflate = {.id = CodecId::Deflate,
                                       .name = "deflate",
                                       .level = {.lowest = -1, .highest = 12, .standard = -1},
                                       .takes_dictionary = false,
                                       .takes_window_bits = true,
                                       .make = make_deflate};

}  // namespace uzram
