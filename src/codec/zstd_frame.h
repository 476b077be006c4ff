// SPDX-License-Identifier: Apache-2.0
// codec/zstd_frame.h: Zstandard in whole frames, as f2fs stores clusters.
//
// What:   packed data is one frame of a writer that streams: the magic number, no content size, no
//         checksum, and an empty last block where the data fills its blocks. `zstd -d` reads it.
//         Not in the table of codecs: a device's pages go without all of that (zstd.h).
// Shapes: levels 1 to 22, no dictionary. With the same library version, the bytes are the kernel's.
// Proof:  zstd_frame_test.cc.
// Source: RFC 8878. Linux, fs/f2fs: its calls of the zstd interface.
#pragma once

#include "codec/codec.h"

namespace uzram {

inline constexpr int kZstdFrameStandardLevel = 1;

// Errors: as CodecInfo::make.
[[nodiscard]] Result<std::unique_ptr<Codec>> make_zstd_frame(const CodecParams& params);

}  // namespace uzram
