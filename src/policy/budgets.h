// SPDX-License-Identifier: Apache-2.0
// policy/budgets.h: how much the policy may still spend.
//
// What:    a bucket of CPU time and a window of bytes over the last day.
// Laws:    over any time w the CPU granted is at most share * w plus one bucket, plus what steps
//          took more than they were given (a debt, paid back before the next step). Over any 24
//          hours the bytes granted are at most the limit, also across a change of day.
// Threads: values; nothing is shared.
// Proof:   budgets_test.cc.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>

namespace uzram {

class CpuBucket {
 public:
  // What it holds at most, and at the beginning.
  [[nodiscard]] static std::chrono::microseconds capacity(int percent, std::chrono::seconds round);
  // Time has passed and CPU has been used; both are counters. The first call only takes note.
  void observe(std::chrono::milliseconds now, std::chrono::microseconds used, int percent,
               std::chrono::seconds round);
  // Negative: a debt.
  [[nodiscard]] std::chrono::microseconds left() const { return left_; }
  // When it will hold as much. Requires: percent > 0.
  [[nodiscard]] std::chrono::milliseconds ready_at(std::chrono::microseconds wanted,
                                                   int percent) const;

 private:
  bool has_started_ = false;
  std::chrono::milliseconds seen_at_{};
  std::chrono::microseconds seen_used_{};
  std::chrono::microseconds left_{};
};

// Bytes by the hour in which they were seen, for the current hour and the 24 before it: at least
// the last 24 hours.
class DayWindow {
 public:
  // `written` is a counter. The first call only takes note.
  void observe(std::chrono::milliseconds now, std::uint64_t written);
  [[nodiscard]] std::uint64_t written_bytes() const;
  [[nodiscard]] std::uint64_t left(std::uint64_t limit_bytes) const;
  // When the window next gets smaller; absent while it is empty.
  [[nodiscard]] std::optional<std::chrono::milliseconds> relief_at() const;

 private:
  static constexpr std::int64_t kHours = 25;
  bool has_started_ = false;
  std::int64_t hour_ = 0;
  std::uint64_t seen_written_ = 0;
  std::array<std::uint64_t, kHours> bytes_{};  // By hour modulo kHours.
};

}  // namespace uzram
