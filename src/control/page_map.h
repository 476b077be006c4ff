// SPDX-License-Identifier: Apache-2.0
// control/page_map.h: what the pages of a device are, stretch by stretch and in all.
//
// What:    counts for a map of a device: `uzram map` draws it, the socket hands it out as JSON. Not
//          here: single pages (block_state.h), drawing (app/map_view.h).
// Shapes:  the device is cut into cells of as many pages, a power of two; the last may be shorter.
//          Every page is of exactly one kind.
// Units:   pages, unless a name says bytes.
// Memory:  in proportion to the cells, whatever the size of the device.
// Threads: any. Pages may change meanwhile: each counts as it was at its own moment.
// Proof:   page_map_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>
#include <vector>

#include "control/input_error.h"

namespace uzram {

class Device;

// Of several that fit a page, it is the last.
enum class PageKind : std::uint8_t {
  Empty,
  Same,          // One pattern, nothing in the pool.
  Packed,        // Alone, by the device's algorithm.
  Recompressed,  // Alone, by another one.
  Cluster,       // With its neighbours.
  Huge,          // Did not shrink.
  Shared,        // The same content as others, however that is stored.
  WrittenBack,
  Lost,  // Damaged: reads fail.
};
inline constexpr std::size_t kPageKindCount = 9;
// As JSON and the legend have it: "same-filled".
[[nodiscard]] std::string_view page_kind_name(PageKind kind);

struct MapCell {
  std::array<std::uint64_t, kPageKindCount> pages{};
  std::uint64_t idle_pages = 0;
};

struct MapTotal {
  std::uint64_t pages = 0;
  std::uint64_t idle_pages = 0;
  // What they take of compr_data_size; what several pages share counts in equal parts.
  double packed_bytes = 0;
};

struct PageMap {
  std::uint64_t page_count = 0;
  std::uint64_t cell_pages = 0;
  std::vector<MapCell> cells;
  std::array<MapTotal, kPageKindCount> totals{};
};

inline constexpr std::uint64_t kMostMapCells = 65536;

// Errors: EINVAL not 1 to kMostMapCells cells, or no disksize.
[[nodiscard]] InputResult<PageMap> make_page_map(const Device& device, std::uint64_t most_cells);

// {"pages", "cell_pages", "kinds": {"packed": {"pages", "idle_pages", "packed_bytes"}, ...},
//  "cells": [{"first_page", "packed": 3, ..., "idle_pages"}, ...]}; cells that hold nothing are
// left out, and so are zeros.
[[nodiscard]] nlohmann::json page_map_json(const PageMap& map);

}  // namespace uzram
