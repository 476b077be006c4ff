// SPDX-License-Identifier: Apache-2.0
// preload/call_table.h: which arguments of which libc calls the kernel reads or writes.
//
// What:    the rules, one row a call, by which buffers in paged memory are pinned while the kernel
//          uses them: in a fault of its own the kernel sees EFAULT, not the pager. Rows are written
//          in kernel_calls.inc, once, for the table and for the functions that take the calls'
//          names. Not here: calls that need more than that (interpose/).
// Shapes:  at most six arguments, all integers or pointers; at most four rules a row.
// Proof:   call_table_test.cc, tests/exec/calls_test.py.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace uzram {

enum class ArgKind : std::uint8_t {
  None,
  Bytes,      // `bytes` bytes.
  Counted,    // As many bytes as argument `other` says, times `bytes`.
  Length,     // As many bytes as the 32-bit number says that argument `other` points to.
  String,     // Up to its zero.
  Strings,    // Pointers to strings, up to a null.
  Vector,     // iovecs, as many as argument `other` says.
  Message,    // A msghdr.
  Messages,   // mmsghdrs, as many as argument `other` says.
  FdSet,      // An fd_set for as many descriptors as argument `other` says.
  IoctlData,  // What the request number in argument `other` says.
};

struct ArgRule {
  ArgKind kind = ArgKind::None;
  std::uint8_t arg = 0;
  std::uint8_t other = 0;
  std::uint16_t bytes = 0;
  bool is_written = true;  // By the kernel.
  bool is_narrow = false;  // Argument `other` is an int: its upper half says nothing.
};

// How a call can be cut into several when its buffer is larger than what may be pinned at once.
enum class CutKind : std::uint8_t { None, Bytes, Vector };

struct CallRow {
  const char* name = nullptr;
  std::array<ArgRule, 4> rules;
  CutKind cut = CutKind::None;
};

namespace rules {

constexpr ArgRule in(unsigned arg, unsigned bytes) {
  return {ArgKind::Bytes, static_cast<std::uint8_t>(arg), 0, static_cast<std::uint16_t>(bytes),
          false};
}
constexpr ArgRule out(unsigned arg, unsigned bytes) {
  return {ArgKind::Bytes, static_cast<std::uint8_t>(arg), 0, static_cast<std::uint16_t>(bytes),
          true};
}
constexpr ArgRule counted(ArgKind kind, unsigned arg, unsigned other, unsigned bytes, bool is) {
  return {kind, static_cast<std::uint8_t>(arg), static_cast<std::uint8_t>(other),
          static_cast<std::uint16_t>(bytes), is};
}
constexpr ArgRule in_count(unsigned arg, unsigned count, unsigned bytes = 1) {
  return counted(ArgKind::Counted, arg, count, bytes, false);
}
constexpr ArgRule out_count(unsigned arg, unsigned count, unsigned bytes = 1) {
  return counted(ArgKind::Counted, arg, count, bytes, true);
}
constexpr ArgRule in_narrow(unsigned arg, unsigned count, unsigned bytes = 1) {
  ArgRule rule = in_count(arg, count, bytes);
  rule.is_narrow = true;
  return rule;
}
constexpr ArgRule out_narrow(unsigned arg, unsigned count, unsigned bytes = 1) {
  ArgRule rule = out_count(arg, count, bytes);
  rule.is_narrow = true;
  return rule;
}
constexpr ArgRule out_length(unsigned arg, unsigned length) {
  return counted(ArgKind::Length, arg, length, 1, true);
}
constexpr ArgRule string(unsigned arg) { return counted(ArgKind::String, arg, 0, 1, false); }
constexpr ArgRule out_string(unsigned arg) { return counted(ArgKind::String, arg, 0, 1, true); }
constexpr ArgRule strings(unsigned arg) { return counted(ArgKind::Strings, arg, 0, 1, false); }
constexpr ArgRule in_vector(unsigned arg, unsigned count) {
  return counted(ArgKind::Vector, arg, count, 1, false);
}
constexpr ArgRule out_vector(unsigned arg, unsigned count) {
  return counted(ArgKind::Vector, arg, count, 1, true);
}
constexpr ArgRule message(unsigned arg, bool is) {
  return counted(ArgKind::Message, arg, 0, 1, is);
}
constexpr ArgRule messages(unsigned arg, unsigned count, bool is) {
  return counted(ArgKind::Messages, arg, count, 1, is);
}
constexpr ArgRule fd_set_of(unsigned arg) { return counted(ArgKind::FdSet, arg, 0, 1, true); }
constexpr ArgRule ioctl_data(unsigned arg, unsigned request) {
  return counted(ArgKind::IoctlData, arg, request, 1, true);
}

}  // namespace rules

[[nodiscard]] std::span<const CallRow> call_table();
// Null: no rule for it.
[[nodiscard]] const CallRow* find_call(std::string_view name);
// The row of a system call's number, for syscall(2).
[[nodiscard]] const CallRow* find_system_call(long number);

}  // namespace uzram
