// SPDX-License-Identifier: Apache-2.0
// control/background_attributes.h: idle and recompress, which do something to pages that were
// stored before.
//
// What:    their texts, and from texts to the device's requests. Not here: what is done to pages
//          (store/), which algorithms are configured (algorithm_attributes.h).
// Shapes:  as the kernel's, where its versions differ as docs/attributes.md says; `cluster` and
//          `level` of recompress are ours.
// Errors:  store_idle -> EINVAL neither "all" nor seconds, seconds without access tracking, no
//          disksize. store_recompress -> EINVAL a key without a value, a value that the key does
//          not take, a priority or an algorithm that is not configured, no disksize; ERANGE a
//          number beyond its type; ENOMEM, ENOSPC, and then what was done by then stays.
// Threads: any. Both block while they work; recompress waits for another one.
// Proof:   background_attributes_test.cc, attribute_fuzz.cc.
#pragma once

#include <string_view>

#include "control/input_error.h"

namespace uzram {

class Device;

[[nodiscard]] InputResult<void> store_idle(Device& device, std::string_view text);
[[nodiscard]] InputResult<void> store_recompress(Device& device, std::string_view text);

}  // namespace uzram
