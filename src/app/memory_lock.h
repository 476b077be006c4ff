// SPDX-License-Identifier: Apache-2.0
// app/memory_lock.h: keeps this process in memory while the kernel swaps to a disk that it serves.
//
// What:    locks all memory, touches what the serving threads will need, lowers the chance of being
//          killed. Without it, the server that must take a page could itself wait for a page.
//          Not here: pool, table and contexts (Device::reserve touches them).
// Shapes:  shared writable mappings are never touched: the arena is one, and mostly holes.
// Errors:  lock_memory -> from mlockall (EPERM, ENOMEM); then nothing is changed. What is only
//          desirable and was refused comes back as a remark.
// Threads: any.
// Proof:   memory_lock_test.cc.
// Source:  mlockall(2), madvise(2) MADV_POPULATE_WRITE, proc(5) oom_score_adj.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/mutex.h"
#include "control/input_error.h"

namespace uzram {

class MemoryLock {
 public:
  // One more who needs it. Returns: remarks, one a line.
  InputResult<std::vector<std::string>> lock();
  // The last holder's unlocks; without a holder nothing happens.
  void unlock();
  [[nodiscard]] bool is_locked() const;

 private:
  mutable Mutex mutex_;
  int holders_ UZ_GUARDED_BY(mutex_) = 0;
  // Absent when it was not changed.
  std::optional<int> former_oom_score_ UZ_GUARDED_BY(mutex_);
};

enum class Touch { Nothing, Read, Write };

struct Mapping {
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  Touch touch = Touch::Nothing;
};

// One line of /proc/self/maps and what is to be done with it. Returns: nullopt for no such line.
[[nodiscard]] std::optional<Mapping> read_mapping(std::string_view line);

// Marks this thread, and all that it starts, as one that block I/O waits for. To be called before
// threads are made. Errors: from prctl (EPERM without CAP_SYS_RESOURCE, EINVAL on old kernels).
Result<void> become_io_flusher();

// A thread stack of a size that can be touched as a whole. To be called before threads are made.
void limit_thread_stacks();

}  // namespace uzram
