// SPDX-License-Identifier: Apache-2.0
// pager/quiet_thread.h: threads of the pager's own: they take no signals of the program.
//
// What:    a std::thread with a name and every signal blocked but those that a fault of its own
//          raises.
// Errors:  throws std::system_error as std::thread does.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
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

// Requires: at most 15 letters.
template <typename Work>
[[nodiscard]] std::thread start_quiet_thread(const char* name, Work work) {
  sigset_t all;
  sigset_t former;
  ::sigfillset(&all);
  for (const int own : {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS})
    ::sigdelset(&all, own);
  ::pthread_sigmask(SIG_BLOCK, &all, &former);
  struct Restore {
    const sigset_t& mask;
    ~Restore() { ::pthread_sigmask(SIG_SETMASK, &mask, nullptr); }
  } restore{former};
  std::thread made([work = std::move(work)]() mutable {
    step_aside();
    work();
  });
  ::pthread_setname_np(made.native_handle(), name);
  return made;
}

}  // namespace uzram
