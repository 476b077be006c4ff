// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/release_watch.h: a thread that has a look whenever somebody closed a disk's file.
//
// What:    a loop device that is detached by hand closes its file: that is how a daemon learns of
//          it. Serving threads only ring; the thread here looks, since that may block.
// Threads: ring from any thread, it does not block; the rest from one.
// Proof:   fuse_attachment_test.cc.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <thread>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

class ReleaseWatch {
 public:
  // Errors: EMFILE and EAGAIN: no descriptor or no thread can be had.
  static Result<std::unique_ptr<ReleaseWatch>> start(std::function<void()> look);
  // Waits for a look that has begun.
  ~ReleaseWatch();
  ReleaseWatch(const ReleaseWatch&) = delete;
  ReleaseWatch& operator=(const ReleaseWatch&) = delete;

  // An eventfd: writing to it is to ring. Borrowed.
  [[nodiscard]] int bell() const { return bell_.get(); }

 private:
  explicit ReleaseWatch(FileDescriptor bell) : bell_(std::move(bell)) {}
  void watch();

  const FileDescriptor bell_;
  std::function<void()> look_;
  std::atomic<bool> is_ending_{false};  // Release before the last ring, acquire after each.
  std::thread thread_;
};

}  // namespace uzram
