// SPDX-License-Identifier: Apache-2.0
// codec/c842.h: the 842 format, as the kernel's software implementation reads and writes it.
//
// What:   packed data ends with the check sum that the kernel adds, and is padded to 8 bytes. No
//         level, no dictionary. c842.cc explains the format.
// Errors: decompress -> EBADMSG also when the check sum does not match.
// Source: the description of the format at the head of Linux, lib/842/842.h.
#pragma once

#include "codec/codec.h"

namespace uzram {

[[nodiscard]] Result<std::unique_ptr<Codec>> make_c842(const CodecParams& params);

inline constexpr CodecInfo kC842 = {.id = CodecId::C842,
                                    .name = "842",
                                    .level = {},
                                    .takes_dictionary = false,
                                    .takes_window_bits = false,
                                    .make = make_c842};

}  // namespace uzram
