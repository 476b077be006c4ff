// SPDX-License-Identifier: Apache-2.0
// control/stat_text.h: the statistics files, column by column.
//
// What:   mm_stat (with two more columns where pages are deduplicated), io_stat, debug_stat and
//         stat as the kernel prints them, total_stat as we do; and the one list of numbers with
//         their names from which JSON is made. Not here: how they are counted (device/).
// Shapes: every text ends in a newline. Columns are right-aligned to eight characters and never
//         truncated.
// Units:  docs of DeviceStats; names that end in _size, _total, _limit, _max or _bytes are bytes.
// Proof:  stat_text_test.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "device/device_stats.h"

namespace uzram {

// The columns of deduplication are there only when it is on, as in the kernels that have it: other
// readers find exactly the kernel's.
[[nodiscard]] std::string format_mm_stat(const DeviceStats& stats, bool uses_dedup);
[[nodiscard]] std::string format_io_stat(const DeviceStats& stats);
[[nodiscard]] std::string format_bd_stat(const DeviceStats& stats);
[[nodiscard]] std::string format_debug_stat(const DeviceStats& stats);
// The block layer's seventeen columns; nothing is ever merged.
[[nodiscard]] std::string format_block_stat(const DeviceStats& stats);
// What the device costs, part by part and in all: one "name value" per line.
[[nodiscard]] std::string format_total_stat(const DeviceStats& stats);

struct StatField {
  std::string_view name;
  std::uint64_t DeviceStats::*value;
};

// Every number of DeviceStats under its kernel name where it has one.
[[nodiscard]] std::span<const StatField> stat_fields();

}  // namespace uzram
