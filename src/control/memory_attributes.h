// SPDX-License-Identifier: Apache-2.0
// control/memory_attributes.h: mem_limit, mem_used_max, mem_reserve and compact.
//
// Shapes:  sizes are read as the kernel's memparse reads them.
// Errors:  store_mem_limit, store_mem_used_max -> EINVAL other words. store_mem_reserve -> EINVAL
//          other words or no disksize, ENOMEM and then it is as before. store_compact -> EINVAL
//          no disksize.
// Threads: any.
// Proof:   attribute_table_test.cc, attribute_error_test.cc, attribute_fuzz.cc.
#pragma once

#include <string>
#include <string_view>

#include "control/input_error.h"

namespace uzram {

class Device;

// For refusals of what is no size.
inline constexpr std::string_view kSizeExample =
    "write bytes, or a number with K, M, G, T, P or E, like 512M";

[[nodiscard]] InputResult<void> store_mem_limit(Device& device, std::string_view text);
[[nodiscard]] InputResult<void> store_mem_used_max(Device& device, std::string_view text);
[[nodiscard]] InputResult<std::string> show_mem_reserve(const Device& device);
[[nodiscard]] InputResult<void> store_mem_reserve(Device& device, std::string_view text);
[[nodiscard]] InputResult<void> store_compact(Device& device, std::string_view text);

}  // namespace uzram
