// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_uring.h: carries requests and replies over io_uring: one call for both.
//
// What:    the second transport (Linux 6.14): a ring for each processor that the kernel may ever
//          have, as it demands. Only what INIT, FORGET and INTERRUPT say still comes by read.
// Shapes:  an entry of a ring is one request in flight: headers and 1 MiB of pages.
// Errors:  start -> what the kernel says to the registration; nothing serves then, and the
//          connection is good for nothing but unmounting.
// Threads: one a ring; they end with the connection, and destruction waits for them.
// Memory:  at most 64 entries in all; everything is allocated and touched by make.
// Proof:   fuse_attachment_test.cc, over both transports.
// Source:  the kernel's filesystems/fuse-io-uring.rst.
#pragma once

#include <memory>
#include <thread>
#include <vector>

#include "frontend/fuse/disk_requests.h"

namespace uzram {

class FuseUring {
 public:
  // The descriptor is borrowed; it and `requests` must outlive this. Errors: ENOMEM.
  static Result<std::unique_ptr<FuseUring>> make(int descriptor, DiskRequests& requests);
  // Requires: INIT agreed on kInitOverIoUring. Returns when every ring takes requests.
  Result<void> start();
  // Requires: the connection has ended.
  ~FuseUring();
  FuseUring(const FuseUring&) = delete;
  FuseUring& operator=(const FuseUring&) = delete;

 private:
  class Queue;
  FuseUring();

  std::vector<std::unique_ptr<Queue>> queues_;
  std::vector<std::thread> threads_;
};

// How many processors the kernel may ever have ("0-3" in /sys/devices/system/cpu/possible).
[[nodiscard]] unsigned possible_processor_count();

// The kernel's switch, fuse.enable_uring. A connection keeps what it agreed on.
[[nodiscard]] bool is_fuse_uring_enabled();
// Returns: false when it could not be written.
bool set_fuse_uring_enabled(bool is_enabled);

}  // namespace uzram
