// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

#include "app/commands/commands.h"
#include "app/map_view.h"
#include "app/say.h"

namespace uzram {

namespace {

struct MapWords {
  std::string device;
  std::optional<int> width;
  bool is_json = false;
};

constexpr int kMostWidth = 512;
constexpr unsigned kStandardWidth = 64;
constexpr unsigned kLabelColumns = 7;

// A power of two, so that rows begin at round places.
std::size_t width_that_fits() {
  winsize size{};
  if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col <= kLabelColumns)
    return kStandardWidth;
  return std::bit_floor(size.ws_col - kLabelColumns);
}

// no-color.org: whatever is in NO_COLOR counts.
bool wants_colour() {
  const char* const no_colour = std::getenv("NO_COLOR");
  const char* const terminal = std::getenv("TERM");
  return ::isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0') &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

int run_map(const CommandLine& line, const MapWords& words) {
  if (words.width && (*words.width < 1 || *words.width > kMostWidth)) {
    return say_usage(
        fmt::format("--width: {} is not from 1 to {} letters", *words.width, kMostWidth));
  }
  MapStyle style;
  style.width = words.width ? static_cast<std::size_t>(*words.width) : width_that_fits();
  style.has_colour = wants_colour();
  int exit_code = 0;
  const auto map = ask_daemon(
      line, {{"op", "map"}, {"device", words.device}, {"cells", style.width * kMostMapRows}},
      exit_code);
  if (!map) return exit_code;
  if (words.is_json) {
    print_json(*map);
  } else {
    fmt::print("{}", draw_map(*map, style));
  }
  return 0;
}

}  // namespace

void add_map(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand("map", "draw what the pages of a device are");
  const auto words = std::make_shared<MapWords>();
  command->add_option("device", words->device, "zram0, or the path of its disk")->required();
  command->add_option("--width", words->width, "letters in a row (default: what fits the terminal)")
      ->type_name("N");
  command->add_flag("--json", words->is_json, "the counts of each cell, as JSON");
  add_socket_option(*command, line);
  command->footer("Example: uzram map zram0");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_map(line, *words); }; });
}

}  // namespace uzram
