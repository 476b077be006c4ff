// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/serving_buffer.h: memory for one request at a time, touched before it is needed.
//
// What:    whole pages, present and, where the limits allow it, locked, so that serving never
//          faults: a server that dies in the middle of a copy into a cold page loses the request.
// Errors:  make -> ENOMEM.
// Owns:    the pages.
#pragma once

#include <sys/mman.h>

#include <utility>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

class ServingBuffer {
 public:
  static Result<ServingBuffer> make(std::size_t bytes) {
    const std::size_t whole_bytes = round_up(bytes, kPageBytes);
    void* memory = ::mmap(nullptr, whole_bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED) return fail(ENOMEM);
    // Refused without privilege; the pages are then present, but may be swapped out later.
    static_cast<void>(::mlock(memory, whole_bytes));
    return ServingBuffer(MutableBytes(static_cast<std::byte*>(memory), whole_bytes));
  }
  ServingBuffer(ServingBuffer&& other) noexcept : bytes_(std::exchange(other.bytes_, {})) {}
  ServingBuffer& operator=(ServingBuffer&&) = delete;
  ~ServingBuffer() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }

  [[nodiscard]] MutableBytes bytes() const { return bytes_; }

 private:
  explicit ServingBuffer(MutableBytes bytes) : bytes_(bytes) {}
  MutableBytes bytes_;
};

}  // namespace uzram
