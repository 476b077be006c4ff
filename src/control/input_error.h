// SPDX-License-Identifier: Apache-2.0
// control/input_error.h: what a person or a script did wrong, as an errno value and one line of
// words.
//
// What:   InputError and InputResult for everything that comes from outside: attributes,
//         requests, command lines. Not here: operating errors inside the device (base/result.h);
//         they get their words at this edge.
// Shapes: `text` is one line without a newline, whatever bytes the input had: quote() makes them
//         printable.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace uzram {

struct [[nodiscard]] InputError {
  int code = 0;      // A positive errno value.
  std::string text;  // Says what would have been right.
};

template <typename T>
using InputResult = tl::expected<T, InputError>;

[[nodiscard]] inline tl::unexpected<InputError> refuse(int code, std::string text) {
  return tl::unexpected<InputError>(InputError{code, std::move(text)});
}

// The input between quotation marks, at most 40 bytes of it, printable (base/printable_text.h).
[[nodiscard]] std::string quote(std::string_view input);

// "EBUSY", or "errno 4711" for a value without a name.
[[nodiscard]] std::string errno_name(int code);

}  // namespace uzram
