// SPDX-License-Identifier: Apache-2.0
#include "app/say.h"

#include <cerrno>
#include <cstdio>
#include <string>

namespace uzram {

namespace {

int say(std::string_view text, int exit_code) {
  std::string line = "uzram: ";
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    line += byte < 0x20 || byte == 0x7f ? ' ' : character;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  line += '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
  return exit_code;
}

}  // namespace

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
