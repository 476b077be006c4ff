// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/block_use.h"
#include "app/commands/commands.h"
#include "app/device_list.h"
#include "app/say.h"

namespace uzram {

namespace {

struct ListWords {
  bool in_bytes = false;
  bool is_json = false;
  bool has_no_headings = false;
  std::string columns;
};

int run_list(const CommandLine& line, const ListWords& words) {
  InputResult<std::vector<ListColumn>> columns = standard_list_columns();
  if (!words.columns.empty()) columns = read_columns(words.columns);
  if (!columns) return say_usage(columns.error().text);
  int exit_code = 0;
  auto devices = ask_daemon(line, {{"op", "list"}}, exit_code);
  if (!devices) return exit_code;
  for (nlohmann::json& device : *devices) {
    device["mountpoint"] = mount_point_of(device.at("block_path").get<std::string>());
  }
  if (words.is_json) {
    print_json(*devices);
    return 0;
  }
  if (devices->empty()) {
    fmt::print(stderr, "no devices; make one with: uzram create --size 1G\n");
    return 0;
  }
  fmt::print("{}", format_list(*devices, *columns, {words.in_bytes, !words.has_no_headings}));
  return 0;
}

std::string column_help() {
  std::string help = "columns, separated by commas:";
  for (const ListColumn& column : all_list_columns()) {
    help += fmt::format("\n{:<10}  {}", column.name, column.summary);
  }
  return help;
}

}  // namespace

void add_list(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand("list", "show all devices in zramctl's columns");
  const auto words = std::make_shared<ListWords>();
  command->add_flag("-b,--bytes", words->in_bytes, "sizes in bytes");
  command->add_flag("--json", words->is_json, "everything, as JSON");
  command->add_flag("-n,--noheadings", words->has_no_headings, "no line of headings");
  command->add_option("-o,--output", words->columns, column_help())->type_name("LIST");
  add_socket_option(*command, line);
  command->footer("Example: uzram list --output NAME,DATA,COST,RATIO");
  command->callback(
      [&line, words] { line.run = [&line, words] { return run_list(line, *words); }; });
}

}  // namespace uzram
