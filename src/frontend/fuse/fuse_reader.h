// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_reader.h: carries requests by read and replies by writev, one at a time.
//
// What:    the plain transport: one reader serves one descriptor of a connection on one thread.
//          Not here: the answers (disk_requests.h), the io_uring transport (fuse_uring.h).
// Shapes:  the buffer is read into so that the data of a WRITE starts on a page border and is
//          used where it lies; READ is answered from the same pages.
// Errors:  a request that is not what its lengths say is answered EINVAL.
// Threads: serve from one thread; it returns when the connection has ended.
// Memory:  serving allocates nothing; the buffer comes with the reader.
// Proof:   fuse_reader_test.cc, fuse_attachment_test.cc.
#pragma once

#include <atomic>
#include <memory>

#include "frontend/fuse/disk_requests.h"
#include "frontend/fuse/serving_buffer.h"

namespace uzram {

class FuseReader {
 public:
  // Of the buffer of a reader.
  static constexpr std::size_t kBufferBytes = kPageBytes + kMostDataBytes;

  // The descriptor is borrowed; it and `requests` must outlive the reader. Errors: ENOMEM.
  static Result<std::unique_ptr<FuseReader>> make(int descriptor, DiskRequests& requests);
  // Requires: the buffer has kBufferBytes.
  FuseReader(int descriptor, DiskRequests& requests, ServingBuffer buffer)
      : descriptor_(descriptor), requests_(requests), buffer_(std::move(buffer)) {}

  void serve();
  // Waits for one request and answers it; a signal ends the wait. Returns: false when the
  // connection has ended.
  bool serve_one();
  // Serves until INIT has been answered. Returns: false when it was refused or never came.
  [[nodiscard]] bool serve_init();

  // How many requests it has answered, and whether it is at one now: for another thread to see.
  [[nodiscard]] std::uint64_t served() const { return served_.load(std::memory_order_relaxed); }
  [[nodiscard]] bool is_busy() const { return is_busy_.load(std::memory_order_relaxed); }
  // The reader is good for nothing afterwards.
  [[nodiscard]] ServingBuffer take_buffer() { return std::move(buffer_); }

 private:
  bool serve_one(std::uint32_t& opcode);
  void answer(std::size_t request_bytes, std::uint32_t& opcode);
  void reply(std::uint64_t unique, const DiskRequests::Reply& reply);
  [[nodiscard]] MutableBytes data_pages() const { return buffer_.bytes().subspan(kPageBytes); }

  const int descriptor_;
  DiskRequests& requests_;
  ServingBuffer buffer_;
  // Relaxed, written by the serving thread alone: hints that publish nothing.
  std::atomic<std::uint64_t> served_{0};
  std::atomic<bool> is_busy_{false};
};

}  // namespace uzram
