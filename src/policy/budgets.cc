// SPDX-License-Identifier: Apache-2.0
#include "policy/budgets.h"

#include <algorithm>

#include "base/check.h"

namespace uzram {

namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// A share of one core gives so much each millisecond.
microseconds earned(milliseconds time, int percent) {
  return microseconds(time.count() * 10 * percent);
}

}  // namespace

microseconds CpuBucket::capacity(int percent, seconds round) {
  // Two rounds, so that a late wake-up loses nothing.
  return earned(2 * round, percent);
}

void CpuBucket::observe(milliseconds now, microseconds used, int percent, seconds round) {
  const microseconds most = capacity(percent, round);
  if (!has_started_) {
    has_started_ = true;
    left_ = most;
  } else {
    // A smaller counter is that of a new thread.
    const microseconds spent = used < seen_used_ ? used : used - seen_used_;
    left_ = std::min(most, left_ + earned(now - seen_at_, percent)) - spent;
  }
  seen_at_ = now;
  seen_used_ = used;
}

milliseconds CpuBucket::ready_at(microseconds wanted, int percent) const {
  UZ_DCHECK(percent > 0);
  if (left_ >= wanted) return seen_at_;
  const std::int64_t each_millisecond = earned(milliseconds(1), percent).count();
  return seen_at_ +
         milliseconds(((wanted - left_).count() + each_millisecond - 1) / each_millisecond);
}

void DayWindow::observe(milliseconds now, std::uint64_t written) {
  const std::int64_t hour = std::chrono::duration_cast<hours>(now).count();
  if (!has_started_) {
    has_started_ = true;
    hour_ = hour;
    seen_written_ = written;
  }
  for (std::int64_t passed = 0; hour_ < hour && passed < kHours; ++passed) {
    ++hour_;
    bytes_[static_cast<std::size_t>(hour_ % kHours)] = 0;
  }
  hour_ = std::max(hour_, hour);
  const std::uint64_t more = written < seen_written_ ? written : written - seen_written_;
  bytes_[static_cast<std::size_t>(hour_ % kHours)] += more;
  seen_written_ = written;
}

std::uint64_t DayWindow::written_bytes() const {
  std::uint64_t sum = 0;
  for (const std::uint64_t bytes : bytes_) sum += bytes;
  return sum;
}

std::uint64_t DayWindow::left(std::uint64_t limit_bytes) const {
  return limit_bytes - std::min(limit_bytes, written_bytes());
}

std::optional<milliseconds> DayWindow::relief_at() const {
  for (std::int64_t back = kHours - 1; back >= 0; --back) {
    const std::int64_t hour = hour_ - back;
    if (hour >= 0 && bytes_[static_cast<std::size_t>(hour % kHours)] != 0) {
      return hours(hour + kHours);
    }
  }
  return std::nullopt;
}

}  // namespace uzram
