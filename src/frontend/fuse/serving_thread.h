// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/serving_thread.h: what a thread that serves a disk tells the kernel about itself.
#pragma once

#include <pthread.h>
#include <sys/prctl.h>

#ifndef PR_SET_IO_FLUSHER  // Linux 5.6.
#define PR_SET_IO_FLUSHER 57
#endif

namespace uzram {

// Names the calling thread and marks it as one that memory reclaim may be waiting for, so that its
// own allocations never wait for the disk that it serves. Refused without CAP_SYS_RESOURCE; serving
// works all the same, only swap on this disk is less safe then.
inline void prepare_serving_thread(const char* name) {
  static_cast<void>(::pthread_setname_np(::pthread_self(), name));
  static_cast<void>(::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0));
}

}  // namespace uzram
