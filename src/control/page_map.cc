// SPDX-License-Identifier: Apache-2.0
#include "control/page_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>

#include "device/device.h"

namespace uzram {

namespace {

constexpr std::array<std::string_view, kPageKindCount> kNames{
    "empty", "same-filled", "packed",       "recompressed", "cluster",
    "huge",  "shared",      "written-back", "lost"};

PageKind kind_of(const PageState& state) {
  if (state.word.state() == SlotState::Lost) return PageKind::Lost;
  if (state.is_written_back) return PageKind::WrittenBack;
  if (state.word.state() == SlotState::Shared) return PageKind::Shared;
  if (state.is_huge()) return PageKind::Huge;
  if (state.cluster_pages != 0) return PageKind::Cluster;
  if (state.is_recompressed()) return PageKind::Recompressed;
  return state.is_same() ? PageKind::Same : PageKind::Packed;
}

void count(PageMap& map, const PageState& state) {
  const std::size_t index = state.page.value / map.cell_pages;
  if (index >= map.cells.size()) return;  // Another device came to be here meanwhile.
  const auto kind = static_cast<std::size_t>(kind_of(state));
  const std::uint64_t idle = state.word.is_idle() ? 1 : 0;
  MapCell& cell = map.cells[index];
  ++cell.pages[kind];
  cell.idle_pages += idle;
  MapTotal& total = map.totals[kind];
  ++total.pages;
  total.idle_pages += idle;
  total.packed_bytes += state.packed_share_bytes;
}

void count_empty(PageMap& map) {
  std::uint64_t left = map.page_count;
  for (MapCell& cell : map.cells) {
    const std::uint64_t here = std::min(left, map.cell_pages);
    std::uint64_t stored = 0;
    for (const std::uint64_t pages : cell.pages) stored += pages;
    cell.pages[0] = here - std::min(here, stored);
    map.totals[0].pages += cell.pages[0];
    left -= here;
  }
}

}  // namespace

std::string_view page_kind_name(PageKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

InputResult<PageMap> make_page_map(const Device& device, std::uint64_t most_cells) {
  if (most_cells == 0 || most_cells > kMostMapCells) {
    return refuse(EINVAL,
                  fmt::format("a map has 1 to {} cells, not {}", kMostMapCells, most_cells));
  }
  PageMap map;
  map.page_count = device.disksize() / kPageBytes;
  const auto refuse_without_disksize = [] {
    return refuse(EINVAL, "the device has no disksize yet, so there is nothing to draw");
  };
  if (map.page_count == 0) return refuse_without_disksize();
  map.cell_pages = std::bit_ceil((map.page_count - 1) / most_cells + 1);
  map.cells.resize((map.page_count - 1) / map.cell_pages + 1);
  for (PageIndex first{0};;) {
    const Result<std::vector<PageState>> states = device.page_states(first, Device::kStatesAtOnce);
    if (!states) return refuse_without_disksize();
    for (const PageState& state : *states) count(map, state);
    if (states->size() < Device::kStatesAtOnce) break;
    first = PageIndex{states->back().page.value + 1};
  }
  count_empty(map);
  return map;
}

nlohmann::json page_map_json(const PageMap& map) {
  nlohmann::json kinds = nlohmann::json::object();
  for (std::size_t kind = 0; kind < kPageKindCount; ++kind) {
    const MapTotal& total = map.totals[kind];
    kinds[std::string(kNames[kind])] = {
        {"pages", total.pages},
        {"idle_pages", total.idle_pages},
        {"packed_bytes", static_cast<std::uint64_t>(std::llround(total.packed_bytes))}};
  }
  nlohmann::json cells = nlohmann::json::array();
  for (std::size_t i = 0; i < map.cells.size(); ++i) {
    const MapCell& cell = map.cells[i];
    nlohmann::json counts = nlohmann::json::object();
    for (std::size_t kind = 1; kind < kPageKindCount; ++kind) {
      if (cell.pages[kind] != 0) counts[std::string(kNames[kind])] = cell.pages[kind];
    }
    if (counts.empty()) continue;
    counts["first_page"] = i * map.cell_pages;
    if (cell.pages[0] != 0) counts[std::string(kNames[0])] = cell.pages[0];
    if (cell.idle_pages != 0) counts["idle_pages"] = cell.idle_pages;
    cells.push_back(std::move(counts));
  }
  return {{"pages", map.page_count},
          {"cell_pages", map.cell_pages},
          {"kinds", std::move(kinds)},
          {"cells", std::move(cells)}};
}

}  // namespace uzram
