// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_disk.h: a device as one file that is served while this lives.
//
// What:    mount, serving threads and transport of one disk. Not here: the loop device over the
//          file (loop_device.h), answers (disk_requests.h).
// Owns:    the mount, the mount point (a regular file), every descriptor, threads and buffers.
// Errors:  from the system; EPROTO a kernel too old. What was made before a failure is undone.
// Threads: make and destruction from one thread; destruction waits for requests being answered.
// Memory:  1 MiB a serving thread; over io_uring 1 MiB an entry. Allocated and touched by make.
// Proof:   fuse_attachment_test.cc.
#pragma once

#include <sys/sysmacros.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "frontend/fuse/disk_requests.h"
#include "frontend/fuse/fuse_mount.h"
#include "frontend/fuse/fuse_reader.h"
#include "frontend/fuse/fuse_uring.h"

namespace uzram {

class FuseDisk {
 public:
  struct Settings {
    unsigned thread_count = 2;  // At least 1.
    bool wants_uring = false;   // When the kernel offers it; otherwise plain.
    int release_bell = -1;      // As DiskRequests takes it.
  };

  // Makes the file at `path` and mounts over it. `device` must be initialised and outlive the disk.
  static Result<std::unique_ptr<FuseDisk>> make(Device& device, std::string path,
                                                const Settings& settings);
  // Unmounts: whoever still uses the file gets errors.
  ~FuseDisk();
  FuseDisk(const FuseDisk&) = delete;
  FuseDisk& operator=(const FuseDisk&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  // The st_dev of the mount that is the file.
  [[nodiscard]] dev_t file_device() const { return makedev(0, connection_number_.value_or(0)); }
  [[nodiscard]] bool uses_uring() const { return uring_ != nullptr; }
  [[nodiscard]] DiskRequests& requests() { return requests_; }
  // Whether somebody ended the connection (unmounted, aborted): nobody can use the file any more.
  // The value outlives the disk.
  [[nodiscard]] std::shared_ptr<const std::atomic<bool>> has_ended() const { return has_ended_; }
  // All that another process needs to go on with this connection. Borrowed.
  [[nodiscard]] const FuseDescriptors& descriptors() const { return descriptors_; }

 private:
  FuseDisk(Device& device, std::string path, const Settings& settings)
      : requests_(device, settings.wants_uring, settings.release_bell), path_(std::move(path)) {}
  // The first request of a connection: answered here, before any thread starts.
  Result<void> answer_init();
  Result<void> start_serving();

  // Declared in the order of use: threads end before what they use.
  DiskRequests requests_;
  const std::string path_;
  FuseDescriptors descriptors_;
  std::optional<unsigned> connection_number_;
  // Relaxed: it publishes nothing.
  const std::shared_ptr<std::atomic<bool>> has_ended_ = std::make_shared<std::atomic<bool>>(false);
  std::vector<std::unique_ptr<FuseReader>> readers_;
  std::unique_ptr<FuseUring> uring_;
  std::vector<std::thread> threads_;
};

}  // namespace uzram
