// SPDX-License-Identifier: Apache-2.0
// app/progress.h: how far long work has come, on a terminal's standard error.
//
// What:    one line that is drawn over, a few times a second; nothing where standard error is no
//          terminal, and nothing that stays.
// Shapes:  "pack  45 %  1.2G of 2.7G", without the percentage where the end is not known.
// Proof:   progress_test.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace uzram {

// The line for these numbers.
[[nodiscard]] std::string progress_line(const std::string& work, std::uint64_t done_bytes,
                                        std::optional<std::uint64_t> all_bytes);

class Progress {
 public:
  // all_bytes: nullopt when nobody knows.
  Progress(const std::string& work, std::optional<std::uint64_t> all_bytes);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(std::uint64_t bytes);

 private:
  using Clock = std::chrono::steady_clock;

  const std::string work_;
  const std::optional<std::uint64_t> all_bytes_;
  const bool is_shown_;
  std::uint64_t done_bytes_ = 0;
  Clock::time_point next_draw_;
  bool has_drawn_ = false;
};

}  // namespace uzram
