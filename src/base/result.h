// SPDX-License-Identifier: Apache-2.0
// base/result.h: operating errors as values.
//
// What:   Result<T> holds a T or an Error; Error is an errno value. Words are added at the edge
//         that talks to a person (control/, app/). Not here: programmer errors (check.h).
// Errors: docs/errors.md has a row for each operation and condition.
#pragma once

#include <cerrno>
#include <tl/expected.hpp>

namespace uzram {

struct [[nodiscard]] Error {
  int code = 0;  // A positive errno value.
  friend bool operator==(const Error&, const Error&) = default;
};

template <typename T>
using Result = tl::expected<T, Error>;

// Requires: code > 0.
[[nodiscard]] inline tl::unexpected<Error> fail(int code) {
  return tl::unexpected<Error>(Error{code});
}
// The errno of the system call that has just failed.
[[nodiscard]] inline tl::unexpected<Error> fail_errno() { return fail(errno); }

}  // namespace uzram
