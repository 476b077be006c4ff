// SPDX-License-Identifier: Apache-2.0
// codec/zstd.h: Zstandard, through libzstd.
//
// What:   packed data is one frame without the magic number, the content size, the checksum and the
//         dictionary's number: a device knows all of them, and on a page they cost 0.4 % and more.
//         `zstd -d --format=...` does not read that; ZSTD_d_format = ZSTD_f_zstd1_magicless does.
// Shapes: a dictionary is taken by reference and digested once, for all threads. One that starts
// with
//         zstd's dictionary magic must be a whole trained dictionary (else EINVAL); anything else
//         is raw content, which on pages packs better.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_zstd(const CodecParams& params);

inline constexpr CodecInfo kZstd = {
    .id = CodecId::Zstd,
    .name = "zstd",
    .level = {.lowest = -131072, .highest = 22, .standard = 3},  // zstd_test.cc asks the library.
    .takes_dictionary = true,
    .takes_window_bits = false,
    .make = make_zstd};

}  // namespace uzram
