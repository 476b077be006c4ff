// SPDX-License-Identifier: Apache-2.0
// app/daemon.h: what `uzram serve` runs: devices with FUSE disks, the tree, the control socket.
//
// What:    puts the rooms together, and takes them apart only when nobody uses a disk. Not here:
//          signals and logs (serve.cc).
// Owns:    everything that it makes under its folders; the destructor removes it all.
// Errors:  start -> whatever is missing (/dev/fuse, permission, another daemon), in words.
// Threads: start, try_stop and destruction from one thread; the rest as Operations says.
// Proof:   tests/fuse/.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "app/swap_switch.h"
#include "base/memory_allowance.h"
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
  InputResult<std::vector<std::string>> swap_on(Device& device,
                                                const SwapRequest& request) override;
  InputResult<void> swap_off(Device& device) override;

  // Removes every device if none is in use. Returns: what is in use, one a line ("zram0: mounted on
  // /mnt"); nothing has changed then, and the daemon serves on.
  std::vector<std::string> try_stop();

 private:
  explicit Daemon(const DaemonOptions& options) : swap_(options.is_io_flusher) {}

  MemoryAllowance allowance_;  // What all devices together may take.
  std::unique_ptr<FuseAttachment> attachment_;
  std::unique_ptr<DeviceSet> devices_;
  SwapSwitch swap_;
  std::atomic<bool> is_stopping_{false};  // Relaxed: create() may come a moment too late anyway.
  std::unique_ptr<SocketServer> socket_;
  std::unique_ptr<Tree> tree_;
};

}  // namespace uzram
