// SPDX-License-Identifier: Apache-2.0
// app/swap_switch.h: swap on our own disk, with what that takes, or a refusal that says why.
//
// What:    reserve, memory lock, mkswap and swapon, and the way back. Every step works on a
//          descriptor that is known to be this device's disk. Not here: how memory is locked
//          (memory_lock.h), what a reserve is (device/), what a disk holds (disk_content.h), what
//          speaks against swap (swap_hazards.h).
// Owns:    nothing that outlives a swap: reserve and lock are kept by the device, and go with its
//          pages. A swapoff by others is noticed (swap_watch.h) and gives both back as well.
// Errors:  swap_on -> EINVAL no disksize, no block device, or neither mem_limit nor a reserve;
//          ENODEV the disk was taken away (losetup -d); EBUSY it is swap already, or holds
//          something; EPERM a hazard, or memory cannot be locked; ENOMEM the reserve is not to be
//          had; EIO it cannot be looked at, or mkswap failed; otherwise from swapon. Everything
//          done before is undone then. swap_off -> EINVAL it is not swap; ENOMEM the pages do not
//          fit back into memory, and it stays swap.
// Threads: any; one switch at a time.
// Proof:   swap_switch_test.cc; tests/e2e/swap_test.py.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/block_use.h"
#include "app/memory_lock.h"
#include "app/swap_watch.h"
#include "base/file_descriptor.h"
#include "base/memory_cgroup.h"
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
  InputResult<std::vector<std::string>> swap_on(const std::shared_ptr<Device>& device,
                                                const SwapRequest& request);
  InputResult<void> swap_off(Device& device);

 private:
  using Remarks = std::vector<std::string>;
  struct Disk {
    FileDescriptor descriptor;
    DeviceNumber number;
  };
  struct Swap {
    std::weak_ptr<Device> device;
    std::string former_throttle;
  };

  static InputResult<Disk> open_disk(const Device& device);
  InputResult<Remarks> check_hazards(std::uint64_t reserve_bytes, bool is_forced)
      UZ_REQUIRES(mutex_);
  InputResult<Remarks> prepare(Device& device, std::uint64_t reserve_bytes) UZ_REQUIRES(mutex_);
  static InputResult<void> make_swap(const Device& device, const Disk& disk, int flags);
  // Gives back what swap of devices that are swap no more was given.
  void end_stale() UZ_REQUIRES(mutex_);
  void end(Device& device, const Disk* disk) UZ_REQUIRES(mutex_);
  void watch() UZ_REQUIRES(mutex_);

  const bool is_io_flusher_;
  // Shared with the devices that are swap: the last one lets go.
  const std::shared_ptr<MemoryLock> memory_lock_ = std::make_shared<MemoryLock>();
  Mutex mutex_;  // Held during a whole switch, which may take minutes.
  MemoryCgroups cgroups_ UZ_GUARDED_BY(mutex_);
  std::vector<Swap> swaps_ UZ_GUARDED_BY(mutex_);
  std::unique_ptr<SwapWatch> watch_;  // Made at the first swap. Last: it uses everything above.
};

// What swap needs to be set aside. Errors: EINVAL neither a limit nor a request.
[[nodiscard]] InputResult<std::uint64_t> settle_reserve(std::uint64_t mem_limit_bytes,
                                                        const SwapRequest& request);

// The write-back throttle of a disk's queue makes writers wait for the disk. The process that
// serves it must never be one of them. Returns: what it was; empty when there is none.
[[nodiscard]] std::string switch_off_throttle(DeviceNumber disk);
void restore_throttle(DeviceNumber disk, const std::string& former);

}  // namespace uzram
