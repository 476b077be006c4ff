// SPDX-License-Identifier: Apache-2.0
// app/stat_view.h: a device's numbers in words: ratio, memory saved, total cost, rates.
//
// What:    texts only. Not here: asking the daemon and drawing on a terminal (commands/stat.cc).
// Shapes:  a device is the JSON object of control/device_json.h. A block has several lines and ends
//          in a newline; a line is "zram0 key=value ..." without one, for logs and scripts.
// Units:   keys that end in _bytes are bytes, in _per_s per second; ratio is stored to whole cost.
// Proof:   stat_view_test.cc.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace uzram {

// Per second, between two looks at the same device.
struct StatRates {
  double reads = 0;
  double read_bytes = 0;
  double writes = 0;
  double write_bytes = 0;
  double discards = 0;
};

// Requires: seconds > 0. Counters that fell (a reset in between) give 0.
[[nodiscard]] StatRates rates_between(const nlohmann::json& before, const nlohmann::json& now,
                                      double seconds);

[[nodiscard]] std::string stat_block(const nlohmann::json& device);
[[nodiscard]] std::string stat_block(const nlohmann::json& device, const StatRates& rates);
[[nodiscard]] std::string stat_line(const nlohmann::json& device, const StatRates& rates);

}  // namespace uzram
