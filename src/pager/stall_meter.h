// SPDX-License-Identifier: Apache-2.0
// pager/stall_meter.h: which part of the time some thread waits for its pages.
//
// What:    the figure of /proc/pressure/memory's "some" line, for one pager: averages over 10 and
//          60 seconds, in percent, and the sum. Threads that wait at once are added up, at most to
//          the whole of the wall clock.
// Units:   nanoseconds; percent.
// Threads: add from any thread, also in a fault handler; sample and the averages by callers that
//          exclude each other.
// Proof:   stall_meter_test.cc, with made-up time.
// Source:  the kernel's Documentation/accounting/psi.rst: exponential averages, a sample every two
//          seconds.
#pragma once

#include <atomic>
#include <cstdint>

namespace uzram {

class StallMeter {
 public:
  explicit StallMeter(std::uint64_t now_nanoseconds) : sampled_at_(now_nanoseconds) {}
  void add(std::uint64_t nanoseconds) { total_.fetch_add(nanoseconds, std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t total_nanoseconds() const {
    return total_.load(std::memory_order_relaxed);
  }
  // Brings the averages up to date, if it is time.
  void sample(std::uint64_t now_nanoseconds);
  [[nodiscard]] double average_10s() const { return average_10s_; }
  [[nodiscard]] double average_60s() const { return average_60s_; }

 private:
  std::atomic<std::uint64_t> total_{0};  // Relaxed: a count.
  std::uint64_t sampled_at_;
  std::uint64_t sampled_total_ = 0;
  double average_10s_ = 0;
  double average_60s_ = 0;
};

}  // namespace uzram
