// SPDX-License-Identifier: Apache-2.0
// app/swap_watch.h: notices that somebody has begun or ended swap, by whatever means.
//
// What:    a thread that waits for changes of /proc/swaps and calls back.
// Threads: the callback runs in the watch's thread, never after the destructor has returned.
// Proof:   tests/e2e/swap_test.py.
// Source:  proc(5): /proc/swaps answers poll with POLLPRI when it has changed.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

class SwapWatch {
 public:
  // Errors: from open; EAGAIN when no thread can be had.
  static Result<std::unique_ptr<SwapWatch>> start(std::function<void()> changed);
  ~SwapWatch();
  SwapWatch(const SwapWatch&) = delete;
  SwapWatch& operator=(const SwapWatch&) = delete;

 private:
  explicit SwapWatch(std::function<void()> changed) : changed_(std::move(changed)) {}
  void work();

  const std::function<void()> changed_;
  FileDescriptor table_;
  FileDescriptor stop_;  // An eventfd: readable when the thread is to end.
  std::thread thread_;
};

}  // namespace uzram
