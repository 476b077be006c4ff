// SPDX-License-Identifier: Apache-2.0
// app/swap_switch.h: swap on our own disk, with what that takes, or a refusal that says why.
//
// What:    reserve, memory lock, mkswap and swapon, and the way back. Not here: how memory is
//          locked (memory_lock.h), what a reserve is (device/).
// Errors:  swap_on -> EINVAL no disksize, no block device, or neither mem_limit nor a reserve;
//          EBUSY it is swap already, or holds a file system; ENOMEM the reserve is not to be had;
//          EPERM memory cannot be locked; EIO mkswap failed; otherwise from swapon. Everything
//          done before is undone then. swap_off -> EINVAL it is not swap; ENOMEM the pages do not
//          fit back into memory, and it stays swap.
// Threads: any; one switch at a time.
// Proof:   swap_switch_test.cc; tests/fuse/.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "app/memory_lock.h"
#include "base/mutex.h"
#include "control/input_error.h"
#include "control/operations.h"

namespace uzram {

class Device;

class SwapSwitch {
 public:
  // `is_io_flusher`: whether become_io_flusher() succeeded for the threads of this process.
  explicit SwapSwitch(bool is_io_flusher) : is_io_flusher_(is_io_flusher) {}

  // Returns: remarks for the person, one a line.
  InputResult<std::vector<std::string>> swap_on(Device& device, const SwapRequest& request);
  InputResult<void> swap_off(Device& device);
  // The device was removed, so it cannot be swap any more.
  void forget(int id);

 private:
  InputResult<std::vector<std::string>> prepare(Device& device, std::uint64_t reserve_bytes)
      UZ_REQUIRES(mutex_);
  void release(Device& device) UZ_REQUIRES(mutex_);
  InputResult<void> make_swap(const std::string& path, int flags) UZ_REQUIRES(mutex_);

  const bool is_io_flusher_;
  Mutex mutex_;  // Held during a whole switch, which may take minutes.
  MemoryLock memory_lock_ UZ_GUARDED_BY(mutex_);
  std::set<int> swapping_ids_ UZ_GUARDED_BY(mutex_);
};

// What swap needs to be set aside. Errors: EINVAL neither a limit nor a request.
[[nodiscard]] InputResult<std::uint64_t> settle_reserve(std::uint64_t mem_limit_bytes,
                                                        const SwapRequest& request);

}  // namespace uzram
