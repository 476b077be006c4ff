// SPDX-License-Identifier: Apache-2.0
// remove, reset, attach and compact: commands whose only word is a device.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"

namespace uzram {

namespace {

void add_device_command(CLI::App& program, CommandLine& line, const std::string& name,
                        const std::string& summary) {
  CLI::App* command = program.add_subcommand(name, summary);
  const auto device = std::make_shared<std::string>();
  command->add_option("device", *device, "zram0, or the path of its disk")->required();
  add_socket_option(*command, line);
  command->footer("Example: uzram " + name + " zram0");
  command->callback([&line, name, device] {
    line.run = [&line, name, device] {
      int exit_code = 0;
      const auto done = ask_daemon(line, {{"op", name}, {"device", *device}}, exit_code);
      return done ? 0 : exit_code;
    };
  });
}

}  // namespace

void add_remove(CLI::App& program, CommandLine& line) {
  add_device_command(program, line, "remove", "take a device away with all that it stores");
}

void add_reset(CLI::App& program, CommandLine& line) {
  add_device_command(program, line, "reset", "drop a device's pages and settings, but keep it");
}

void add_attach(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand(
      "attach", "give a device a disk again when somebody took it away, and print both");
  const auto device = std::make_shared<std::string>();
  command->add_option("device", *device, "zram0")->required();
  add_socket_option(*command, line);
  command->footer("Example: uzram attach zram0");
  command->callback([&line, device] {
    line.run = [&line, device] {
      int exit_code = 0;
      const auto made = ask_daemon(line, {{"op", "attach"}, {"device", *device}}, exit_code);
      if (!made) return exit_code;
      fmt::print("{} {}\n", made->at("name").get<std::string>(),
                 made->at("block_path").get<std::string>());
      return 0;
    };
  });
}

void add_compact(CLI::App& program, CommandLine& line) {
  add_device_command(program, line, "compact", "pack a device's memory and give the rest back");
}

}  // namespace uzram
