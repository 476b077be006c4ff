// SPDX-License-Identifier: Apache-2.0
// app/map_view.h: the pages of a device drawn with letters, and what the letters mean.
//
// What:    texts only. Not here: counting (control/page_map.h), asking the daemon and looking at
//          the terminal (commands/map.cc).
// Shapes:  a map is the JSON object of control/page_map.h with its device's name. The drawing has a
//          headline, rows of cells with the place on the disk in front, and a line for each kind of
//          page that there is; it ends in a newline. A cell shows what most of its stored pages
//          are; a small letter when most of those that can be idle are.
// Proof:   map_view_test.cc (golden texts).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace uzram {

struct MapStyle {
  std::size_t width = 64;  // Cells in a row.
  bool has_colour = false;
};

// More rows than fit a screen are not drawn.
inline constexpr std::size_t kMostMapRows = 16;

[[nodiscard]] std::string draw_map(const nlohmann::json& map, MapStyle style);

}  // namespace uzram
