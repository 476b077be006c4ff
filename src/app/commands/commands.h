// SPDX-License-Identifier: Apache-2.0
// app/commands/commands.h: the commands of `uzram`, each of which adds itself to the parser.
//
// What:   one function a command: its options and help, and what it does. Not here: the parser's
//         refusals (command_line.h), words on standard error (say.h).
// Shapes: a command's footer is "Example: ..." in one line; refusals repeat it.
// Errors: what a command does returns the exit code: 0, 1 failed, 2 wrong input.
// Proof:  tests of the program itself, in CMakeLists.txt; tests/.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>

#include "control/input_error.h"

namespace uzram {

struct CommandLine {
  std::string socket_path;   // Empty: the default.
  std::function<int()> run;  // What the command that was given does.
};

// `line` must outlive the parser.
void add_serve(CLI::App& program, CommandLine& line);
void add_create(CLI::App& program, CommandLine& line);
void add_list(CLI::App& program, CommandLine& line);
void add_get(CLI::App& program, CommandLine& line);
void add_set(CLI::App& program, CommandLine& line);
void add_remove(CLI::App& program, CommandLine& line);
void add_reset(CLI::App& program, CommandLine& line);
void add_compact(CLI::App& program, CommandLine& line);
void add_grow(CLI::App& program, CommandLine& line);
void add_swap(CLI::App& program, CommandLine& line);
void add_stat(CLI::App& program, CommandLine& line);
void add_map(CLI::App& program, CommandLine& line);
void add_policy(CLI::App& program, CommandLine& line);
void add_pager(CLI::App& program, CommandLine& line);
void add_exec(CLI::App& program, CommandLine& line);
void add_cluster(CLI::App& program, CommandLine& line);
void add_f2fs(CLI::App& program, CommandLine& line);
void add_mount(CLI::App& program, CommandLine& line);
void add_shell(CLI::App& program, CommandLine& line);

// --- for the commands themselves ---------------------------------------------------------------

void add_socket_option(CLI::App& command, CommandLine& line);

// Asks the daemon. Returns: its result; or nullopt after one line on standard error, with the exit
// code in `exit_code`.
[[nodiscard]] std::optional<nlohmann::json> ask_daemon(const CommandLine& line,
                                                       const nlohmann::json& request,
                                                       int& exit_code);

}  // namespace uzram
