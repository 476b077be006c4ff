// SPDX-License-Identifier: Apache-2.0
// app/device_list.h: `uzram list`: devices in columns, zramctl's ones first.
//
// What:    which columns there are, how they are filled and laid out. Not here: asking the daemon
//          (commands/list.cc).
// Shapes:  a device is the JSON object of control/device_json.h with "mountpoint" and "streams"
//          added. Numbers are right-aligned; no line ends in blanks.
// Errors:  read_columns -> EINVAL in words.
// Proof:   device_list_test.cc.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "control/input_error.h"

namespace uzram {

struct ListColumn {
  std::string_view name;
  std::string_view summary;
  bool is_right_aligned;
  // `in_bytes` asks for plain numbers.
  std::string (*text)(const nlohmann::json& device, bool in_bytes);
};

[[nodiscard]] const std::vector<ListColumn>& all_list_columns();
// The columns that zramctl prints when it is not asked for others.
[[nodiscard]] std::vector<ListColumn> standard_list_columns();
// "NAME,DATA,TOTAL", in either case.
[[nodiscard]] InputResult<std::vector<ListColumn>> read_columns(std::string_view text);

struct ListStyle {
  bool in_bytes = false;
  bool has_headings = true;
};

[[nodiscard]] std::string format_list(const nlohmann::json& devices,
                                      const std::vector<ListColumn>& columns, ListStyle style);

}  // namespace uzram
