// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/serving_buffer.h: memory that requests are carried in, and a stock of it.
//
// What:    pages of their own, touched by make and, where the limits allow it, locked, so that
//          serving never faults: a server that dies in the middle of a copy into a cold page loses
//          the request. BufferStock keeps a few buffers, for threads that come and go.
// Errors:  make, take -> ENOMEM.
// Owns:    the pages.
// Threads: a BufferStock from any thread.
#pragma once

#include <sys/mman.h>

#include <utility>
#include <vector>

#include "base/mutex.h"
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
  ServingBuffer& operator=(ServingBuffer&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~ServingBuffer() {
    if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  }

  [[nodiscard]] MutableBytes bytes() const { return bytes_; }

 private:
  explicit ServingBuffer(MutableBytes bytes) : bytes_(bytes) {}
  MutableBytes bytes_;
};

class BufferStock {
 public:
  // All buffers have `buffer_bytes`; at most `most_kept` of them wait for their next use.
  BufferStock(std::size_t buffer_bytes, std::size_t most_kept)
      : buffer_bytes_(buffer_bytes), most_kept_(most_kept) {
    kept_.reserve(most_kept);
  }

  Result<ServingBuffer> take() {
    {
      MutexLock lock(mutex_);
      if (!kept_.empty()) {
        ServingBuffer buffer(std::move(kept_.back()));
        kept_.pop_back();
        return buffer;
      }
    }
    return ServingBuffer::make(buffer_bytes_);
  }
  void give_back(ServingBuffer buffer) {
    MutexLock lock(mutex_);
    if (kept_.size() < most_kept_) kept_.push_back(std::move(buffer));
  }

 private:
  const std::size_t buffer_bytes_;
  const std::size_t most_kept_;
  Mutex mutex_;
  std::vector<ServingBuffer> kept_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
