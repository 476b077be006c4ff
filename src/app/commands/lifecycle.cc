// SPDX-License-Identifier: Apache-2.0
// remove, reset and compact, whose only word is a device; grow, which has a size as well.
#include <memory>
#include <nlohmann/json.hpp>

#include "app/commands/commands.h"
#include "app/say.h"
#include "control/size_text.h"

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

void add_grow(CLI::App& program, CommandLine& line) {
  CLI::App* command = program.add_subcommand("grow", "make a disk larger while it is in use");
  struct Words {
    std::string device;
    std::string size;
  };
  const auto words = std::make_shared<Words>();
  command->add_option("device", words->device, "zram0, or the path of its disk")->required();
  command->add_option("size", words->size, "the new size: bytes, 512M, 1G, 4GiB")->required();
  add_socket_option(*command, line);
  command->footer("Example: uzram grow zram0 2G");
  command->callback([&line, words] {
    line.run = [&line, words] {
      const InputResult<std::uint64_t> size = read_size("grow: ", words->size);
      if (!size) return say_usage(size.error().text);
      int exit_code = 0;
      const auto done = ask_daemon(line,
                                   {{"op", "set"},
                                    {"device", words->device},
                                    {"attribute", "disksize_grow"},
                                    {"value", std::to_string(*size)}},
                                   exit_code);
      return done ? 0 : exit_code;
    };
  });
}

void add_compact(CLI::App& program, CommandLine& line) {
  add_device_command(program, line, "compact", "pack a device's memory and give the rest back");
}

}  // namespace uzram
