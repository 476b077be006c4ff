// SPDX-License-Identifier: Apache-2.0
// base/check.h: assertions for programmer errors and broken memory.
//
// What:   UZ_CHECK is always on; UZ_DCHECK is on in debug and sanitizer builds (its operand still
//         compiles elsewhere). Not here: operating errors (result.h) and user input (control/).
// Errors: a failed check prints expression, file and line to standard error and aborts.
#pragma once

namespace uzram {

[[noreturn]] void check_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace uzram

#define UZ_CHECK(condition)                            \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::uzram::check_failed(#condition, __FILE__, __LINE__))

#ifndef NDEBUG
#define UZ_DCHECK(condition) UZ_CHECK(condition)
#else
#define UZ_DCHECK(condition) (true ? static_cast<void>(0) : static_cast<void>(!(condition)))
#endif
