// SPDX-License-Identifier: Apache-2.0
// preload/interpose/runtime.h: the one pager of a program under `uzram exec`, and what every
// function that stands in for one of libc has to know.
//
// What:    the settings, the pager made at the first use of paged memory, the flag by which the
//          library's own calls go straight to libc, and how to find libc's functions. Not here: the
//          functions themselves (*_calls.cc).
// Shapes:  a pager lives until the process ends; a child of fork() has no pager, but its parent's
//          memory as its own (or none: Signal).
// Errors:  none: what cannot be had goes to libc. A pager that cannot be made is said once.
// Threads: all, from any thread; is_paged, InsideScope also in signal handlers.
#pragma once

#include <atomic>
#include <cstdint>

#include "preload/block_heap.h"
#include "preload/exec_settings.h"
#include "preload/paged_mappings.h"
#include "preload/paged_space.h"

#define UZ_EXPORT extern "C" __attribute__((visibility("default")))

namespace uzram::exec {

// Everything that is made together.
struct Machinery {
  std::unique_ptr<PagedSpace> space;
  std::unique_ptr<BlockHeap> heap;
  std::unique_ptr<PagedMappings> mappings;
};

// Where paged memory is; nowhere before there is a pager. Relaxed: an address that a thread has
// from the pager was made after them.
extern std::atomic<std::uint64_t> paged_start;
extern std::atomic<std::uint64_t> paged_bytes;

inline bool is_paged(const void* address) {
  return reinterpret_cast<std::uint64_t>(address) - paged_start.load(std::memory_order_relaxed) <
         paged_bytes.load(std::memory_order_relaxed);
}
inline bool touches_paged(const void* address, std::uint64_t bytes) {
  const std::uint64_t end =
      paged_start.load(std::memory_order_relaxed) + paged_bytes.load(std::memory_order_relaxed);
  const auto start = reinterpret_cast<std::uint64_t>(address);
  return is_paged(address) ||
         (start < end && start + bytes > paged_start.load(std::memory_order_relaxed));
}

// How deep this thread is in the library: its own calls go to libc.
extern thread_local int inside_depth __attribute__((tls_model("initial-exec")));
class InsideScope {
 public:
  InsideScope() { ++inside_depth; }
  ~InsideScope() { --inside_depth; }
  InsideScope(const InsideScope&) = delete;
  InsideScope& operator=(const InsideScope&) = delete;
};
inline bool is_inside() { return inside_depth != 0; }

// Null: there is none (yet). Requires: only after is_paged was true, or with null in mind.
[[nodiscard]] Machinery* machinery();
// Makes it if the settings want one and it is time. Null: use libc.
[[nodiscard]] Machinery* machinery_for_new_memory();
[[nodiscard]] const ExecSettings* settings();
// Threads of the pager serve all faults: nobody's signals, stacks or buffers concern us. Constant
// from the start of the program on.
extern bool is_strict;
// In a child of fork(): its parent's memory is plain memory here.
[[nodiscard]] bool is_child();

// Whether an address is code of libc or of the dynamic linker: what they allocate they hand to the
// kernel themselves, so it is not paged.
[[nodiscard]] bool is_libc_code(const void* address);

// The function of this name behind ours. Ends the process when there is none.
[[nodiscard]] void* find_next(const char* name);
template <typename Function>
Function* next_function(std::atomic<void*>& cache, const char* name) {
  void* found = cache.load(std::memory_order_relaxed);
  if (found == nullptr) {
    found = find_next(name);
    cache.store(found, std::memory_order_relaxed);
  }
  return reinterpret_cast<Function*>(found);
}
// UZ_NEXT(long(int), "close") is libc's close.
#define UZ_NEXT(type, name)                                 \
  ([]() {                                                   \
    static std::atomic<void*> cache{nullptr};               \
    return ::uzram::exec::next_function<type>(cache, name); \
  }())

// A line on standard error, "uzram exec: ...", and the end of the process.
[[noreturn]] void give_up(const char* text, const char* name);

// signal_calls.cc: what a parent may have blocked; what the program had before the pager, called
// before it is made; our handler over the pager's, called when it has been made.
void open_fault_signals();
void note_program_actions();
void take_fault_signal(int signal);
// thread_calls.cc: gives the calling thread a stack for our handler.
void give_fault_stack();
// report.cc: a thread that writes a line a second, and what is said at the end.
void start_statistics();
void say_report();

}  // namespace uzram::exec
