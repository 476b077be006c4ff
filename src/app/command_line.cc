// SPDX-License-Identifier: Apache-2.0
#include "app/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>

#include "app/commands/commands.h"
#include "app/say.h"

namespace uzram {

namespace {

// The command that was being read when the parser stopped.
const CLI::App* innermost(const CLI::App& program) {
  const CLI::App* command = &program;
  while (!command->get_subcommands().empty()) command = command->get_subcommands().back();
  return command;
}

std::string command_names(const CLI::App& command) {
  std::string names;
  for (const CLI::App* subcommand : command.get_subcommands([](const CLI::App*) { return true; })) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", subcommand->get_name());
  }
  return names;
}

// "--size, --algorithm": what the command takes.
std::string option_names(const CLI::App& command) {
  std::string names;
  for (const CLI::Option* option : command.get_options()) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ",
                         option->get_positional() ? option->get_name(true) : option->get_name());
  }
  return names;
}

std::string full_name(const CLI::App& command) {
  const CLI::App* parent = command.get_parent();
  if (parent == nullptr) return command.get_name();
  return full_name(*parent) + " " + command.get_name();
}

}  // namespace

void build_command_line(CLI::App& program, CommandLine& line) {
  program.name("uzram");
  program.description("zram in user space: disks and swap, compressed in memory");
  program.set_version_flag("-V,--version", "uzram " UZRAM_VERSION);
  program.require_subcommand(1);
  program.footer("Example: uzram create --size 1G --algorithm zstd");
  add_serve(program, line);
  add_create(program, line);
  add_list(program, line);
  add_get(program, line);
  add_set(program, line);
  add_remove(program, line);
  add_reset(program, line);
  add_compact(program, line);
  add_grow(program, line);
  add_swap(program, line);
  add_stat(program, line);
  add_map(program, line);
  add_policy(program, line);
  add_shell(program, line);
  add_pager(program, line);
  add_exec(program, line);
  add_cluster(program, line);
  add_f2fs(program, line);
  add_mount(program, line);
}

std::string usage_problem(const CLI::App& program, const CLI::ParseError& error) {
  const CLI::App& command = *innermost(program);
  const std::string commands = command_names(command);
  const auto* const extras = dynamic_cast<const CLI::ExtrasError*>(&error);
  const std::vector<std::string> unknown =
      extras == nullptr ? std::vector<std::string>{} : program.remaining(true);
  const std::string first = unknown.empty() ? std::string() : quote(unknown.front());
  if (!commands.empty()) {
    const std::string name = full_name(command);
    if (!first.empty())
      return fmt::format("{} is not a command of {}; there are {}", first, name, commands);
    return fmt::format("{} needs a command: {}", name, commands);
  }
  if (!first.empty()) {
    return fmt::format("{} does not take {}; it takes {}", full_name(command), first,
                       option_names(command));
  }
  return fmt::format("{}: {}; {}", full_name(command), error.what(), command.get_footer());
}

int run_command_line(int argc, char** argv) {
  CLI::App program;
  CommandLine line;
  build_command_line(program, line);
  try {
    program.parse(argc, argv);
  } catch (const CLI::Success& request) {
    return program.exit(request);  // Help or version, on standard output.
  } catch (const CLI::ParseError& error) {
    return say_usage(usage_problem(program, error));
  }
  try {
    return line.run();
  } catch (const std::exception& problem) {
    return say_failure(problem.what());
  }
}

}  // namespace uzram
