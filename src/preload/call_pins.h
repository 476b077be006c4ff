// SPDX-License-Identifier: Apache-2.0
// preload/call_pins.h: holds the buffers of one call in memory while the kernel uses them.
//
// What:    CallPins: pins ranges of a PagedSpace, by hand or by a row of the table, and lets go of
//          all of them at its end. Memory outside the space costs a comparison. Not here: calling
//          the function, cutting it into pieces (guarded_call.h).
// Errors:  hold, hold_arguments -> ENOMEM the limit has no room for all of it at once: nothing is
//          held then. A range that the program has no right to is passed over: the kernel says so
//          itself.
// Threads: one thread's, at one time. May be used in a signal handler when there are at most
//          kInlineRanges ranges.
// Proof:   call_pins_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "preload/call_table.h"
#include "preload/paged_space.h"

namespace uzram {

// An argument as the kernel sees it, taken for an address.
[[nodiscard]] inline const void* pointer_of(long argument) {
  return reinterpret_cast<const void*>(argument);  // NOLINT(performance-no-int-to-ptr)
}

class CallPins {
 public:
  explicit CallPins(PagedSpace& space) : space_(space) {}
  ~CallPins() { let_go(); }
  CallPins(const CallPins&) = delete;
  CallPins& operator=(const CallPins&) = delete;

  Result<void> hold(const void* start, std::uint64_t bytes, bool is_written);
  Result<void> hold_string(const char* text, bool is_written = false);
  // A list of strings that ends with a null.
  Result<void> hold_strings(const char* const* list);
  Result<void> hold_arguments(const CallRow& row, const std::array<long, 6>& arguments);
  void let_go();

  // Whether any buffer of the call lies in the space, as far as a look at the arguments tells.
  [[nodiscard]] static bool may_concern(const PagedSpace& space, const CallRow& row,
                                        const std::array<long, 6>& arguments);

 private:
  struct Range {
    const void* start;
    std::uint64_t bytes;
  };
  static constexpr unsigned kInlineRanges = 16;
  Result<void> hold_rule(const ArgRule& rule, const std::array<long, 6>& arguments);
  Result<void> hold_vector(const void* vector, std::uint64_t count, bool is_written);
  Result<void> hold_message(const void* message, bool is_written);
  Result<void> hold_messages(const void* messages, std::uint64_t count, bool is_written);
  Result<void> hold_ioctl(const void* data, unsigned long request);
  [[nodiscard]] bool covers(const void* start, std::uint64_t bytes) const;

  PagedSpace& space_;
  std::array<Range, kInlineRanges> first_;
  unsigned first_count_ = 0;
  std::vector<Range> more_;
};

}  // namespace uzram
