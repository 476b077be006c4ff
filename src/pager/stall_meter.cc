// SPDX-License-Identifier: Apache-2.0
#include "pager/stall_meter.h"

#include <algorithm>
#include <cmath>

namespace uzram {

void StallMeter::sample(std::uint64_t now_nanoseconds) {
  constexpr std::uint64_t kPeriod = 2'000'000'000;
  constexpr double kNanoseconds = 1e9;
  if (now_nanoseconds < sampled_at_ + kPeriod) return;
  const std::uint64_t elapsed = now_nanoseconds - sampled_at_;
  const std::uint64_t total = total_nanoseconds();
  const double percent = std::min(
      100.0, 100.0 * static_cast<double>(total - sampled_total_) / static_cast<double>(elapsed));
  const double seconds = static_cast<double>(elapsed) / kNanoseconds;
  const auto approach = [&](double& average, double window_seconds) {
    const double keep = std::exp(-seconds / window_seconds);
    average = average * keep + percent * (1 - keep);
  };
  approach(average_10s_, 10);
  approach(average_60s_, 60);
  sampled_at_ = now_nanoseconds;
  sampled_total_ = total;
}

}  // namespace uzram
