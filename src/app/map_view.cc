// SPDX-License-Identifier: Apache-2.0
#include "app/map_view.h"

#include <fmt/format.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string_view>
#include <vector>

#include "base/printable_text.h"
#include "base/units.h"
#include "control/size_text.h"

namespace uzram {

namespace {

using Json = nlohmann::json;

struct Kind {
  std::string_view name;  // As page_map_json has it.
  char letter;
  std::string_view colour;  // Of a terminal: the number in front of the m.
  bool can_be_idle;
};

// In the order of the legend.
constexpr std::array kKinds{
    Kind{"empty", '.', "90", false},   Kind{"same-filled", 'S', "34", false},
    Kind{"packed", 'P', "32", true},   Kind{"recompressed", 'R', "36", true},
    Kind{"cluster", 'C', "35", true},  Kind{"huge", 'H', "31", true},
    Kind{"shared", 'D', "33", true},   Kind{"written-back", 'W', "94", false},
    Kind{"lost", '!', "41;97", false},
};

struct Cell {
  const Kind* kind = kKinds.data();
  bool is_idle = false;
};

std::uint64_t number(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  return found == object.end() ? 0 : found->get<std::uint64_t>();
}

Cell cell_of(const Json& counts) {
  Cell cell;
  std::uint64_t most = 0;
  std::uint64_t can_be_idle = 0;
  for (const Kind& kind : kKinds) {
    if (&kind == kKinds.data()) continue;  // Only a cell without anything is empty.
    const std::uint64_t pages = number(counts, kind.name);
    if (kind.can_be_idle) can_be_idle += pages;
    if (pages <= most) continue;
    most = pages;
    cell.kind = &kind;
  }
  cell.is_idle = cell.kind->can_be_idle && number(counts, "idle_pages") * 2 > can_be_idle;
  return cell;
}

// The map leaves cells out that hold nothing.
std::vector<Cell> all_cells(const Json& map) {
  const std::uint64_t cell_pages = number(map, "cell_pages");
  std::vector<Cell> cells((number(map, "pages") - 1) / cell_pages + 1);
  for (const Json& counts : map.at("cells")) {
    const std::uint64_t index = number(counts, "first_page") / cell_pages;
    if (index < cells.size()) cells[index] = cell_of(counts);
  }
  return cells;
}

char letter_of(const Cell& cell) {
  const char letter = cell.kind->letter;
  return cell.is_idle ? static_cast<char>(letter - 'A' + 'a') : letter;
}

std::string paint(std::string_view text, const Cell& cell) {
  return fmt::format("\x1b[{}{}m{}\x1b[0m", cell.is_idle ? "2;" : "", cell.kind->colour, text);
}

// Cells that look alike are painted at once.
std::string row_text(const Cell* begin, const Cell* end, bool has_colour) {
  std::string row;
  while (begin != end) {
    const Cell& first = *begin;
    std::string run;
    for (; begin != end && letter_of(*begin) == letter_of(first); ++begin) run += letter_of(first);
    row += has_colour ? paint(run, first) : run;
  }
  return row;
}

std::string legend_line(const Kind& kind, const Json& total, bool has_colour) {
  const std::uint64_t pages = number(total, "pages");
  const std::string letter(1, kind.letter);
  std::string line =
      fmt::format("  {} {:<13}{:>10} pages {:>6}", has_colour ? paint(letter, Cell{&kind}) : letter,
                  kind.name, pages, short_size(pages * kPageBytes));
  const std::uint64_t packed_bytes = number(total, "packed_bytes");
  if (packed_bytes != 0) line += fmt::format(" in {:>6}", short_size(packed_bytes));
  const std::uint64_t idle_pages = number(total, "idle_pages");
  if (idle_pages != 0) {
    line += fmt::format(", {:.0f} % idle",
                        100.0 * static_cast<double>(idle_pages) / static_cast<double>(pages));
  }
  return line + "\n";
}

}  // namespace

std::string draw_map(const Json& map, MapStyle style) {
  const std::uint64_t cell_bytes = number(map, "cell_pages") * kPageBytes;
  std::string text = fmt::format("{} {}, {} ({} pages) to a letter\n",
                                 printable(map.at("device").get<std::string>()),
                                 short_size(number(map, "pages") * kPageBytes),
                                 short_size(cell_bytes), number(map, "cell_pages"));
  const std::vector<Cell> cells = all_cells(map);
  for (std::size_t first = 0; first < cells.size(); first += style.width) {
    const std::size_t end = std::min(cells.size(), first + style.width);
    text += fmt::format("{:>6} {}\n", short_size(first * cell_bytes),
                        row_text(cells.data() + first, cells.data() + end, style.has_colour));
  }
  bool has_idle = false;
  for (const Kind& kind : kKinds) {
    const Json& total = map.at("kinds").at(std::string(kind.name));
    has_idle = has_idle || number(total, "idle_pages") != 0;
    if (number(total, "pages") != 0) text += legend_line(kind, total, style.has_colour);
  }
  if (has_idle) text += "  small letters: most of it is idle\n";
  return text;
}

}  // namespace uzram
