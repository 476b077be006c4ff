// SPDX-License-Identifier: Apache-2.0
// pager/fault_buffers.h: where pages are unpacked before they appear at their addresses.
//
// What:    a few buffers for as many threads that are in a fault at one moment; a thread more waits
//          for the first that leaves. Held for one fault, and never while waiting for a page.
// Shapes:  a buffer is kMostFaultPages pages.
// Owns:    the buffers: each costs memory once it was used.
// Threads: from any thread, also in a fault handler.
// Laws:    5.
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>

#include "base/sparse_array.h"
#include "pager/futex.h"

namespace uzram {

// The most pages that one fault brings in.
inline constexpr std::size_t kMostFaultPages = 16;

class FaultBuffers {
 public:
  static constexpr unsigned kBufferCount = 16;
  static constexpr std::uint64_t kBufferBytes = kMostFaultPages * kPageBytes;

  static Result<FaultBuffers> create() {
    auto memory = SparseArray<std::byte>::create(kBufferCount * kBufferBytes);
    if (!memory) return tl::unexpected(memory.error());
    return FaultBuffers(std::move(*memory));
  }
  FaultBuffers(FaultBuffers&& other) noexcept : memory_(std::move(other.memory_)) {}

  // The buffer of one fault; given back by its destruction.
  class Holder {
   public:
    explicit Holder(FaultBuffers& buffers) : buffers_(buffers), index_(buffers.take()) {}
    ~Holder() { buffers_.give_back(index_); }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;
    [[nodiscard]] std::byte* data() const {
      return buffers_.memory_.data() + index_ * kBufferBytes;
    }

   private:
    FaultBuffers& buffers_;
    const unsigned index_;
  };

  // Of the buffers that were ever used.
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return used_count_.load(std::memory_order_relaxed) * kBufferBytes;
  }

 private:
  explicit FaultBuffers(SparseArray<std::byte> memory) : memory_(std::move(memory)) {}
  unsigned take() {
    constexpr std::uint32_t kAll = (1U << kBufferCount) - 1;
    for (;;) {
      std::uint32_t seen = taken_.load(std::memory_order_relaxed);
      if (seen == kAll) {
        futex_wait(taken_, seen);
        continue;
      }
      const auto index = static_cast<unsigned>(std::countr_one(seen));
      // Acquire: what the last holder read from the buffer is over.
      if (taken_.compare_exchange_weak(seen, seen | 1U << index, std::memory_order_acquire,
                                       std::memory_order_relaxed)) {
        if (index >= used_count_.load(std::memory_order_relaxed))
          used_count_.store(index + 1, std::memory_order_relaxed);
        return index;
      }
    }
  }
  void give_back(unsigned index) {
    constexpr std::uint32_t kAll = (1U << kBufferCount) - 1;
    const std::uint32_t before = taken_.fetch_and(~(1U << index), std::memory_order_release);
    // Whoever waits has seen all taken, and waits for that word only.
    if (before == kAll) futex_wake_all(taken_);
  }

  SparseArray<std::byte> memory_;
  std::atomic<std::uint32_t> taken_{0};  // Bit per buffer.
  std::atomic<std::uint64_t> used_count_{0};
};

}  // namespace uzram
