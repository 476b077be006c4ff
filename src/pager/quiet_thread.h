// SPDX-License-Identifier: Apache-2.0
// pager/quiet_thread.h: no signal handler of the program where it could find itself in its own way.
//
// What:    SignalsBlocked, for a thread that is about to lock pages: a handler that touched the
//          same page would wait for the very thread that it has interrupted. And threads of the
//          pager's own, which never run handlers of the program.
// Errors:  start_quiet_thread throws std::system_error as std::thread does.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <thread>
#include <utility>

namespace uzram {

// Threads of the program go first: where processors are scarce, they do the work themselves when
// they need it, rather than wait for a turn behind ours.
inline void step_aside() {
  constexpr int kNiceness = 19;
  const sched_param none{};
  // Refused, it is as good as any other thread.
  static_cast<void>(::sched_setscheduler(0, SCHED_BATCH, &none));
  static_cast<void>(::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), kNiceness));
}

// Every signal but those that an instruction raises.
inline sigset_t asynchronous_signals() {
  sigset_t all;
  ::sigfillset(&all);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    ::sigdelset(&all, own);
  return all;
}

class SignalsBlocked {
 public:
  SignalsBlocked() {
    const sigset_t blocked = asynchronous_signals();
    ::pthread_sigmask(SIG_BLOCK, &blocked, &former_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &former_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t former_;
};

enum class Turn : std::uint8_t {
  Last,         // Behind the program's threads.
  LikeAnyOther  // Somebody waits for its work.
};

// Requires: at most 15 letters.
template <typename Work>
[[nodiscard]] std::thread start_quiet_thread(const char* name, Work work, Turn turn = Turn::Last) {
  const SignalsBlocked blocked;  // Threads inherit it.
  std::thread made([work = std::move(work), turn]() mutable {
    if (turn == Turn::Last) step_aside();
    work();
  });
  ::pthread_setname_np(made.native_handle(), name);
  return made;
}

}  // namespace uzram
