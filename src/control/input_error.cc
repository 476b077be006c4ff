// SPDX-License-Identifier: Apache-2.0
#include "control/input_error.h"

#include <cstring>

namespace uzram {

std::string quote(std::string_view input) {
  constexpr std::size_t kMostCharacters = 40;
  while (!input.empty() && input.back() == '\n') input.remove_suffix(1);
  const bool is_long = input.size() > kMostCharacters;
  std::string quoted = "\"";
  for (const char character : input.substr(0, kMostCharacters)) {
    const auto byte = static_cast<unsigned char>(character);
    quoted += byte < 0x20 || byte >= 0x7f ? '?' : character;
  }
  quoted += is_long ? "...\"" : "\"";
  return quoted;
}

std::string errno_name(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : "errno " + std::to_string(code);
}

}  // namespace uzram
