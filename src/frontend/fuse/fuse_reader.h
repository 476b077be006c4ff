// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/fuse_reader.h: carries requests by read and replies by writev, one at a time.
//
// What:    the plain transport: one reader serves one descriptor of a connection on one thread.
//          Not here: the answers (disk_requests.h), the io_uring transport (fuse_uring.h).
// Shapes:  the buffer is read into so that the data of a WRITE starts on a page border and is
//          used where it lies; READ is answered from the same pages.
// Errors:  a request that is not what its lengths say is answered EINVAL.
// Threads: serve from one thread; it returns when the connection has ended.
// Memory:  everything is allocated by make; serve allocates nothing.
// Proof:   fuse_reader_test.cc, fuse_attachment_test.cc.
#pragma once

#include <memory>

#include "frontend/fuse/disk_requests.h"
#include "frontend/fuse/serving_buffer.h"

namespace uzram {

class FuseReader {
 public:
  // The descriptor is borrowed; it and `requests` must outlive the reader. Errors: ENOMEM.
  static Result<std::unique_ptr<FuseReader>> make(int descriptor, DiskRequests& requests);

  void serve();
  // Serves until INIT has been answered. Returns: false when it was refused or never came.
  [[nodiscard]] bool serve_init();

 private:
  FuseReader(int descriptor, DiskRequests& requests, ServingBuffer buffer)
      : descriptor_(descriptor), requests_(requests), buffer_(std::move(buffer)) {}
  bool serve_one(std::uint32_t& opcode);
  void reply(std::uint64_t unique, const DiskRequests::Reply& reply);
  [[nodiscard]] MutableBytes data_pages() const { return buffer_.bytes().subspan(kPageBytes); }

  const int descriptor_;
  DiskRequests& requests_;
  const ServingBuffer buffer_;
};

}  // namespace uzram
