// SPDX-License-Identifier: Apache-2.0
// app/say.h: how a command speaks: what went wrong in one line on standard error; text and JSON on
// standard output.
//
// Shapes: exit code 2 for what the person wrote, 1 for what could not be done.
#pragma once

#include <nlohmann/json_fwd.hpp>
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

// Text with bytes from outside, to standard output: as it is, but printable on a terminal (as ls).
void print_text(std::string_view text);
// JSON in lines, in ASCII only, so that any terminal may see it.
void print_json(const nlohmann::json& json);

}  // namespace uzram
