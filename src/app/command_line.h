// SPDX-License-Identifier: Apache-2.0
// app/command_line.h: the whole command line: parse it, say what is wrong with it, do it.
//
// Errors: exit code 2 and one line that says what would have been right, for every wrong word.
// Proof:  command_line_test.cc, and tests of the program itself in CMakeLists.txt.
#pragma once

#include <string>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace uzram {

struct CommandLine;

// Adds every command.
void build_command_line(CLI::App& program, CommandLine& line);
// One line for what the parser did not like.
[[nodiscard]] std::string usage_problem(const CLI::App& program, const CLI::ParseError& error);
// Returns: the exit code.
int run_command_line(int argc, char** argv);

}  // namespace uzram
