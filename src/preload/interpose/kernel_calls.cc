// SPDX-License-Identifier: Apache-2.0
// A function for every row of the call table, under libc's name for it. Their types are not libc's
// own (which differ from call to call): all take six words and return one, as the machine's calling
// convention does for each of them.
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>

#include "preload/interpose/guarded_call.h"

static_assert(sizeof(long) == sizeof(void*), "arguments of calls are words");

namespace uzram::exec {
namespace {

enum CallNumber : unsigned {
#define UZ_CALL(name, cut, ...) kCall_##name,
#include "preload/kernel_calls.inc"
#undef UZ_CALL
};

template <CallNumber kNumber>
long stand_in(long a, long b, long c, long d, long e, long f) {
  static std::atomic<void*> cache{nullptr};
  const CallRow& row = call_table()[kNumber];
  auto* const function = next_function<long(long, long, long, long, long, long)>(cache, row.name);
  return guarded_call(row, function, {a, b, c, d, e, f});
}

}  // namespace
}  // namespace uzram::exec

#define UZ_CALL(name, cut, ...)                                                                 \
  UZ_EXPORT long uz_call_##name(long a, long b, long c, long d, long e, long f) __asm__(#name); \
  long uz_call_##name(long a, long b, long c, long d, long e, long f) {                         \
    return ::uzram::exec::stand_in<::uzram::exec::kCall_##name>(a, b, c, d, e, f);              \
  }
#include "preload/kernel_calls.inc"
#undef UZ_CALL

namespace exec = uzram::exec;

// Seven words: the third of them, the size of the buffer, is the compiler's to check.
// NOLINTNEXTLINE(bugprone-reserved-identifier): libc's name.
UZ_EXPORT ssize_t __recvfrom_chk(int descriptor, void* buffer, std::size_t bytes,
                                 std::size_t buffer_bytes, int flags, sockaddr* from,
                                 socklen_t* from_bytes) {
  if (bytes > buffer_bytes) exec::give_up("a buffer is too small for", "recvfrom");
  return uz_call_recvfrom(descriptor, reinterpret_cast<long>(buffer), static_cast<long>(bytes),
                          flags, reinterpret_cast<long>(from), reinterpret_cast<long>(from_bytes));
}

UZ_EXPORT long uz_syscall(long number, long a, long b, long c, long d, long e,
                          long f) __asm__("syscall");
// Raw system calls through libc: as the function of the same name. A futex is the caller's word,
// and the kernel reads it.
long uz_syscall(long number, long a, long b, long c, long d, long e, long f) {
  auto* const next = UZ_NEXT(long(long, long, long, long, long, long, long), "syscall");
  if (!exec::needs_guard()) return next(number, a, b, c, d, e, f);
  exec::Guard guard("syscall");
  if (number == SYS_futex) {
    guard.hold(uzram::pointer_of(a), sizeof(int), true);
    guard.hold(uzram::pointer_of(d), 16, false);
    guard.hold(uzram::pointer_of(e), sizeof(int), true);
  } else if (const uzram::CallRow* const row = uzram::find_system_call(number)) {
    uzram::CallPins pins(*exec::machinery()->space);
    bool is_held = false;
    {
      const exec::InsideScope inside;
      is_held = pins.hold_arguments(*row, {a, b, c, d, e, f}).has_value();
    }
    if (!is_held) {
      errno = ENOMEM;
      return -1;
    }
    const long result = next(number, a, b, c, d, e, f);
    const exec::InsideScope inside;
    pins.let_go();
    return result;
  }
  return next(number, a, b, c, d, e, f);
}
