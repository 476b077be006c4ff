// SPDX-License-Identifier: Apache-2.0
// control/device_json.h: a device as JSON, from the attribute table and the list of statistics.
//
// Shapes: device_json: {"name", "id", "block_path", "is_disk_missing", "initialised",
//         "algorithm", "disksize", "streams", "stats": {...}}; attributes_json:
//         {"<readable attribute>": "<text without the last newline>", ...}. Numbers are numbers.
// Proof:  request_test.cc.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "device/device_stats.h"

namespace uzram {

class Device;

[[nodiscard]] std::string device_name(const Device& device);  // "zram0"
[[nodiscard]] nlohmann::json device_json(const Device& device);
// {"orig_data_size": 0, ..., "total_bytes": 0}
[[nodiscard]] nlohmann::json stats_json(const DeviceStats& stats);
// What show() of each readable attribute answers, but for those of debugfs, which are long.
[[nodiscard]] nlohmann::json attributes_json(const Device& device);
// Name, mode in octal, summary of each attribute.
[[nodiscard]] nlohmann::json attribute_list_json();

}  // namespace uzram
