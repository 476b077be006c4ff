// SPDX-License-Identifier: Apache-2.0
// base/kernel_file.h: short texts of the kernel (/proc, /sys, cgroups), read without allocating.
//
// What:    the serving path may ask how much memory there is, and must not take any for that.
// Threads: any.
// Proof:   swap_hazards_test.cc in app/; tests/e2e/memory_limit_test.py.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace uzram {

// Returns: what of the file fits into `buffer`; empty when it cannot be read.
[[nodiscard]] std::string_view read_kernel_file(const char* path, std::span<char> buffer) noexcept;

// The number at the start of `text`, blanks before it left out.
[[nodiscard]] std::optional<std::uint64_t> leading_number(std::string_view text) noexcept;

// The number behind `key` ("MemAvailable:", "inactive_file ") at the start of a line.
[[nodiscard]] std::optional<std::uint64_t> number_after(std::string_view text,
                                                        std::string_view key) noexcept;

}  // namespace uzram
