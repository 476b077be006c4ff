// SPDX-License-Identifier: Apache-2.0
// app/run_program.h: runs a program of the system and waits for it.
//
// What:   without a shell, found in the system's own folders and never through the caller's PATH;
//         no input, no descriptor, no variable and no signal of ours. Its output is read, not
//         shown.
// Errors: a program that cannot be started or is killed has exit code 127 or 128 plus the signal.
// Proof:  run_program_test.cc.
#pragma once

#include <string>
#include <vector>

namespace uzram {

struct ProgramOutcome {
  int exit_code = 127;
  std::string last_line;  // Of what it wrote to either output; why it could not start otherwise.
};

// Requires: words is not empty; its first is the program.
[[nodiscard]] ProgramOutcome run_program(const std::vector<std::string>& words);

}  // namespace uzram
