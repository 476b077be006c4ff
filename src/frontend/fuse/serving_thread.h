// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/serving_thread.h: what a thread that serves a disk tells the kernel about itself,
// and how it is called out of a read that waits.
//
// Source:  signal(7): a handler without SA_RESTART ends read with EINTR.
#pragma once

#include <pthread.h>
#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "base/result.h"

#ifndef PR_SET_IO_FLUSHER  // Linux 5.6.
#define PR_SET_IO_FLUSHER 57
#endif

namespace uzram {

// Sent to single threads of ours only, which have it open; without a handler it does nothing.
inline constexpr int kWakeSignal = SIGURG;

// For the whole process, once or many times.
inline Result<void> prepare_to_be_woken() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  if (::sigaction(kWakeSignal, &action, nullptr) != 0) return fail_errno();
  return {};
}

// Marks the calling thread as one that memory reclaim may be waiting for, so that its own
// allocations never wait for the disk that it serves. Refused without CAP_SYS_RESOURCE; serving
// works all the same, only swap on this disk is less safe then.
inline void prepare_serving_thread() {
  static_cast<void>(::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
  sigset_t wake;
  ::sigemptyset(&wake);
  ::sigaddset(&wake, kWakeSignal);
  static_cast<void>(::pthread_sigmask(SIG_UNBLOCK, &wake, nullptr));
}

// Ends a read in which the thread waits; one that it is about to begin waits all the same, so this
// is to be repeated until the thread has left.
inline void call_out_of_read(std::thread& thread) {
  static_cast<void>(::pthread_kill(thread.native_handle(), kWakeSignal));
}

}  // namespace uzram
