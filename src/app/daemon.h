// SPDX-License-Identifier: Apache-2.0
// app/daemon.h: what `uzram serve` runs: devices with FUSE disks, the tree, the control socket.
//
// What:    puts the rooms together, and takes them apart only when nobody uses a disk. Not here:
//          signals and logs (serve.cc).
// Owns:    everything that it makes under its folders; the destructor removes it all.
// Errors:  start -> whatever is missing (/dev/fuse, permission, another daemon), in words.
// Threads: start and destruction from one thread; the rest as Operations says.
// Proof:   tests/fuse/.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "app/swap_switch.h"
#include "base/memory_allowance.h"
#include "base/mutex.h"
#include "control/operations.h"
#include "control/socket_server.h"
#include "device/device_set.h"
#include "frontend/fuse/fuse_attachment.h"
#include "frontend/fuse/tree.h"

namespace uzram {

struct DaemonOptions {
  std::string state_folder;  // Absolute.
  std::string tree_folder;
  std::string socket_path;
  UringUse io_uring = UringUse::Auto;
  int device_count = 0;        // Devices without disksize to begin with.
  unsigned thread_count = 0;   // Serving threads of a disk; 0: as many as processors.
  std::string link_folder;     // Where disks get a further link, if the name is free; or empty.
  bool drops_on_stop = false;  // Whether a signal ends the daemon with pages in its disks.
  bool is_io_flusher = false;  // Whether the kernel knows that block I/O waits for this process.
};

class Daemon : public Operations {
 public:
  static InputResult<std::unique_ptr<Daemon>> start(const DaemonOptions& options);
  // Takes the disks of devices that are left away from whoever uses them.
  ~Daemon() override;

  [[nodiscard]] std::vector<std::shared_ptr<Device>> devices() const override;
  InputResult<std::shared_ptr<Device>> create() override;
  InputResult<void> remove(int id) override;
  InputResult<void> attach(Device& device) override;
  InputResult<std::vector<std::string>> swap_on(Device& device,
                                                const SwapRequest& request) override;
  InputResult<void> swap_off(Device& device) override;

  // Then raises SIGTERM, at which serve() ends.
  InputResult<void> stop(bool drops_pages) override;

  // Removes every device if none is in use, and none holds pages or `drops_pages` is given.
  // Returns: what speaks against it, one a line ("zram0: mounted on /mnt", "zram1: holds 12M, which
  // would be lost"); nothing has changed then, and the daemon serves on.
  std::vector<std::string> try_stop(bool drops_pages) UZ_EXCLUDES(stop_mutex_);

 private:
  [[nodiscard]] std::vector<std::string> reasons_to_stay(bool drops_pages) const;
  explicit Daemon(const DaemonOptions& options) : swap_(options.is_io_flusher) {}
  // For messages.
  [[nodiscard]] std::string name_users(const Device& device) const;
  // Takes all disks away, or none: after one that is in use, those before it come back. Returns:
  // that one, or null.
  [[nodiscard]] std::shared_ptr<Device> take_disks(
      const std::vector<std::shared_ptr<Device>>& devices);

  MemoryAllowance allowance_;  // What all devices together may take.
  std::unique_ptr<FuseAttachment> attachment_;
  std::unique_ptr<DeviceSet> devices_;
  SwapSwitch swap_;
  Mutex stop_mutex_;  // Held while a stop looks at all devices and removes them.
  std::atomic<bool> is_stopping_{false};  // Relaxed: create() may come a moment too late anyway.
  std::unique_ptr<SocketServer> socket_;
  std::unique_ptr<Tree> tree_;
};

}  // namespace uzram
