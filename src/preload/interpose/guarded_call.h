// SPDX-License-Identifier: Apache-2.0
// preload/interpose/guarded_call.h: calls a function of libc with its buffers held in memory.
//
// What:    guarded_call: by a row of the table; Guard: for functions that need a hand-written body.
//          A call whose buffers are not in paged memory goes straight on. A buffer that is larger
//          than what may be pinned at once is handed over in pieces.
// Errors:  the call's own, with errno. A limit that has no room for a single page ends the process
//          with a line that says so: the kernel's EFAULT would be a lie.
// Threads: as the calls themselves.
#pragma once

#include <array>
#include <optional>

#include "preload/call_pins.h"
#include "preload/interpose/runtime.h"

namespace uzram::exec {

using Arguments = std::array<long, 6>;
using SixArguments = long (*)(long, long, long, long, long, long);

// Whether buffers have to be looked after at all now.
[[nodiscard]] inline bool needs_guard() {
  return !is_strict && paged_bytes.load(std::memory_order_relaxed) != 0 && !is_inside() &&
         !is_child();
}

[[nodiscard]] long guarded_call(const CallRow& row, SixArguments function,
                                const Arguments& arguments);

// The most that one call pins.
[[nodiscard]] std::uint64_t most_pinned_bytes();

// Holds buffers by hand until it goes. Requires: needs_guard was asked, or every range is checked.
class Guard {
 public:
  explicit Guard(const char* name) : name_(name) {}
  ~Guard() {
    const InsideScope inside;
    pins_.reset();
  }
  Guard(const Guard&) = delete;
  Guard& operator=(const Guard&) = delete;
  // Adds a buffer, if it is paged.
  void hold(const void* start, std::uint64_t bytes, bool is_written);
  void hold_string(const char* text);
  void hold_strings(const char* const* list);

 private:
  CallPins& pins();
  const char* name_;
  std::optional<CallPins> pins_;
};

}  // namespace uzram::exec
