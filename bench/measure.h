// SPDX-License-Identifier: Apache-2.0
// bench/measure.h: clock, processor and order statistics of the measuring programs.
//
// Units: nanoseconds of the monotonic clock.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <numeric>
#include <vector>

#include "base/random.h"

namespace uzram::bench {

inline std::uint64_t now_nanoseconds() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

// Keeps the calling thread on one processor from its construction to its end; threads made in
// between are not bound, so a device is made before.
class PinnedThread {
 public:
  explicit PinnedThread(int processor) {
    pthread_getaffinity_np(pthread_self(), sizeof before_, &before_);
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(processor, &one);
    pthread_setaffinity_np(pthread_self(), sizeof one, &one);
  }
  ~PinnedThread() { pthread_setaffinity_np(pthread_self(), sizeof before_, &before_); }
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;

 private:
  cpu_set_t before_;
};

// Requires: not empty.
template <typename Number>
double quantile(std::vector<Number> values, double part) {
  const auto at = static_cast<std::ptrdiff_t>(part * static_cast<double>(values.size() - 1) + 0.5);
  std::nth_element(values.begin(), values.begin() + at, values.end());
  return static_cast<double>(values[static_cast<std::size_t>(at)]);
}

template <typename Number>
double median(const std::vector<Number>& values) {
  return quantile(values, 0.5);
}

// 0 .. count - 1 in an order that the seed decides.
inline std::vector<std::uint32_t> shuffled(std::size_t count, std::uint64_t seed) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  Random random(seed);
  for (std::size_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace uzram::bench
