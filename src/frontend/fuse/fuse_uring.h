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

#include "base/file_descriptor.h"
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
[[nodiscard]] Result<unsigned> possible_processor_count();

// The kernel's parameter fuse.enable_uring. False also where there is none.
[[nodiscard]] bool is_fuse_uring_enabled();

// Switches the parameter on, and back to what it was at destruction. A connection that was made
// meanwhile keeps what it agreed on.
class UringSwitch {
 public:
  // Errors: from the system; ENOENT where the kernel has no such parameter.
  static Result<UringSwitch> turn_on();
  ~UringSwitch();
  UringSwitch(UringSwitch&&) noexcept = default;
  UringSwitch& operator=(UringSwitch&&) = delete;

 private:
  explicit UringSwitch(FileDescriptor parameter) : parameter_(std::move(parameter)) {}

  FileDescriptor parameter_;  // Held while it must be put back: opening could fail then.
};

}  // namespace uzram
