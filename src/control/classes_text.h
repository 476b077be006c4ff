// SPDX-License-Identifier: Apache-2.0
// control/classes_text.h: how full the pool's size classes are, as zsmalloc's debug file has it.
//
// What:   one line for each class that holds objects, and a total. The columns are the kernel's;
//         what zsmalloc calls a zspage is a span here.
// Shapes: class, size, spans by fullness (10% to 90%, 99%, 100%), obj_allocated, obj_used,
//         pages_used, pages_per_zspage, freeable.
// Units:  size in bytes; pages of 4096 bytes.
// Proof:  classes_text_test.cc.
// Source: /sys/kernel/debug/zsmalloc/*/classes of Linux 6.4 and later.
#pragma once

#include <string>

#include "control/input_error.h"

namespace uzram {

class Device;

// Errors: EINVAL no disksize.
[[nodiscard]] InputResult<std::string> show_classes(const Device& device);

}  // namespace uzram
