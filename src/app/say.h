// SPDX-License-Identifier: Apache-2.0
// app/say.h: how a command tells a person what went wrong: one line on standard error.
//
// Shapes: exit code 2 for what the person wrote, 1 for what could not be done.
#pragma once

#include <string_view>

#include "control/input_error.h"

namespace uzram {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

// Prints "uzram: <text>" on one line, whatever bytes the text has. Returns: the exit code.
int say_failure(std::string_view text);
int say_usage(std::string_view text);
// A refusal by the server: which of the two it is follows from its errno.
int say_refusal(const InputError& error);

}  // namespace uzram
