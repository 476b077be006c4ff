// SPDX-License-Identifier: Apache-2.0
#include "control/bounded_json.h"

#include <new>
#include <nlohmann/json.hpp>

namespace uzram {

namespace {

// Counts as the parser would up to the first thing that is no JSON; there the parser stops.
bool is_within_bounds(std::string_view text, std::size_t most_values) {
  std::size_t depth = 0;
  std::size_t values = 1;
  bool is_in_string = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char character = text[i];
    if (is_in_string) {
      if (character == '\\') ++i;
      if (character == '"') is_in_string = false;
      continue;
    }
    if (character == '"') is_in_string = true;
    if (character == '[' || character == '{') {
      ++values;
      if (++depth > kMostJsonDepth) return false;
    }
    if ((character == ']' || character == '}') && depth > 0) --depth;
    if (character == ',') ++values;
    if (values > most_values) return false;
  }
  return true;
}

}  // namespace

Result<nlohmann::json> parse_bounded_json(std::string_view text, std::size_t most_values) {
  if (!is_within_bounds(text, most_values)) return fail(E2BIG);
  try {
    nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
    if (json.is_discarded()) return fail(EBADMSG);
    return json;
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  } catch (const std::exception&) {
    return fail(EBADMSG);  // A number that is out of every range, say.
  }
}

}  // namespace uzram
