// SPDX-License-Identifier: Apache-2.0
// base/start_thread.h: starts a thread of ours, or says that none is to be had.
//
// What:    the thread has a name and runs no handler of the program's signals, but for those that
//          an instruction raises.
// Errors:  from the system: EAGAIN no more threads, ENOMEM. Nothing throws.
// Threads: any. Allocates.
#pragma once

#include <pthread.h>

#include <cerrno>
#include <csignal>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "base/result.h"

namespace uzram {

// Requires: the name has at most 15 letters.
template <typename Work>
[[nodiscard]] Result<std::thread> start_thread(const char* name, Work work) noexcept {
  sigset_t blocked;
  ::sigfillset(&blocked);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    ::sigdelset(&blocked, own);
  sigset_t former;
  ::pthread_sigmask(SIG_SETMASK, &blocked, &former);  // Threads inherit it.
  int code = 0;
  std::thread made;
  try {
    made = std::thread([name, work = std::move(work)]() mutable {
      static_cast<void>(::pthread_setname_np(::pthread_self(), name));
      work();
    });
  } catch (const std::system_error& error) {
    code = error.code().value();
  } catch (const std::bad_alloc&) {
    code = ENOMEM;
  }
  ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
  if (code != 0) return fail(code);
  return made;
}

}  // namespace uzram
