// SPDX-License-Identifier: Apache-2.0
#include "app/say.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/printable_text.h"

namespace uzram {

namespace {

int say(std::string_view text, int exit_code) {
  std::string one_line(text);
  std::replace(one_line.begin(), one_line.end(), '\n', ' ');
  one_line.erase(one_line.find_last_not_of(' ') + 1);
  const std::string line = "uzram: " + printable(one_line) + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
  return exit_code;
}

}  // namespace

void print_text(std::string_view text) {
  if (::isatty(STDOUT_FILENO) != 1) {
    std::fwrite(text.data(), 1, text.size(), stdout);
    return;
  }
  const std::string shown = printable_lines(text);
  std::fwrite(shown.data(), 1, shown.size(), stdout);
}

void print_json(const nlohmann::json& json) {
  constexpr int kIndent = 2;
  const std::string text =
      json.dump(kIndent, ' ', true, nlohmann::json::error_handler_t::replace) + "\n";
  std::fwrite(text.data(), 1, text.size(), stdout);
}

int say_failure(std::string_view text) { return say(text, kExitFailure); }

int say_usage(std::string_view text) { return say(text, kExitUsage); }

int say_refusal(const InputError& error) {
  switch (error.code) {
    case EINVAL:   // A wrong value,
    case ERANGE:   // one too large,
    case E2BIG:    // or too long;
    case ENOENT:   // no such attribute,
    case EACCES:   // or not in this direction;
    case ENODEV:   // no such device.
    case EBADMSG:  // Not a request.
      return say_usage(error.text);
    default:
      return say_failure(error.text);
  }
}

}  // namespace uzram
