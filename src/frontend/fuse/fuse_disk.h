// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_disk.h: a device as one file that is served while this lives.
//
// What:    mount and transport of one disk. Not here: its threads, which come when there is
//          something to do (disk_crew.h), the loop device over the file (loop_device.h), answers
//          (disk_requests.h).
// Owns:    the mount, the mount point (a regular file), every descriptor; over io_uring threads and
//          buffers.
// Errors:  from the system; EPROTO a kernel too old. What was made before a failure is undone.
// Threads: make and destruction from one thread; destruction waits for requests being answered.
// Memory:  nothing at rest; 1 MiB a serving thread. Over io_uring the kernel holds all requests
//          back until every ring is there, so they are always there: 1 MiB an entry, touched by
//          make.
// Proof:   fuse_attachment_test.cc.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "frontend/fuse/disk_crew.h"
#include "frontend/fuse/disk_requests.h"
#include "frontend/fuse/fuse_mount.h"
#include "frontend/fuse/fuse_uring.h"

namespace uzram {

class FuseDisk {
 public:
  struct Settings {
    unsigned thread_count = 2;                   // At least 1.
    bool wants_uring = false;                    // When the kernel offers it; otherwise plain.
    std::chrono::milliseconds rest_after{3000};  // As DiskCrew::Settings has it.
  };

  // Makes the file at `path` and mounts over it. `device` must be initialised and outlive the disk.
  // So must the watch.
  static Result<std::unique_ptr<FuseDisk>> make(Device& device, std::string path,
                                                const Settings& settings, IdleWatch& watch);
  // Unmounts: whoever still uses the file gets errors.
  ~FuseDisk();
  FuseDisk(const FuseDisk&) = delete;
  FuseDisk& operator=(const FuseDisk&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] bool uses_uring() const { return uring_ != nullptr; }
  [[nodiscard]] DiskRequests& requests() { return requests_; }
  // As DiskCrew::keep_awake.
  Result<void> keep_awake(bool is_kept) { return crew_->keep_awake(is_kept); }
  // Whether somebody ended the connection (unmounted, aborted). The value outlives the disk.
  [[nodiscard]] std::shared_ptr<const std::atomic<bool>> has_ended() const {
    return crew_->has_ended();
  }
  // All that another process needs to go on with this connection. Borrowed.
  [[nodiscard]] const FuseDescriptors& descriptors() const { return descriptors_; }

 private:
  FuseDisk(Device& device, std::string path, bool wants_uring)
      : requests_(device, wants_uring), path_(std::move(path)) {}
  // The first request of a connection: answered here, before any thread starts.
  Result<void> answer_init(IdleWatch& watch);
  Result<void> start_serving(IdleWatch& watch, const Settings& settings);

  // Declared in the order of use: threads end before what they use.
  DiskRequests requests_;
  const std::string path_;
  FuseDescriptors descriptors_;
  std::optional<unsigned> connection_number_;
  std::shared_ptr<DiskCrew> crew_;
  std::unique_ptr<FuseUring> uring_;
};

}  // namespace uzram
