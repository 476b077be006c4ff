// SPDX-License-Identifier: Apache-2.0
#include "control/input_error.h"

#include <cstring>

#include "base/printable_text.h"

namespace uzram {

std::string quote(std::string_view input) {
  constexpr std::size_t kMostBytes = 40;
  while (!input.empty() && input.back() == '\n') input.remove_suffix(1);
  const std::string_view shown = front_of_text(input, kMostBytes);
  std::string quoted = "\"";
  quoted += printable(shown);
  quoted += shown.size() < input.size() ? "...\"" : "\"";
  return quoted;
}

std::string errno_name(int code) {
  const char* name = ::strerrorname_np(code);
  return name != nullptr ? name : "errno " + std::to_string(code);
}

}  // namespace uzram
