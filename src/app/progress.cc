// SPDX-License-Identifier: Apache-2.0
#include "app/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/printable_text.h"
#include "control/size_text.h"

namespace uzram {

namespace {

constexpr std::chrono::milliseconds kDrawInterval{200};

}  // namespace

std::string progress_line(const std::string& work, std::uint64_t done_bytes,
                          std::optional<std::uint64_t> all_bytes) {
  if (!all_bytes || *all_bytes == 0) return fmt::format("{}  {}", work, short_size(done_bytes));
  const double share =
      std::min(1.0, static_cast<double>(done_bytes) / static_cast<double>(*all_bytes));
  return fmt::format("{}  {:.0f} %  {} of {}", work, 100 * share, short_size(done_bytes),
                     short_size(*all_bytes));
}

Progress::Progress(const std::string& work, std::optional<std::uint64_t> all_bytes)
    : work_(printable(work)),
      all_bytes_(all_bytes),
      is_shown_(::isatty(STDERR_FILENO) == 1),
      next_draw_(Clock::now() + kDrawInterval) {}

Progress::~Progress() {
  if (has_drawn_) fmt::print(stderr, "\r\x1b[K");
}

void Progress::advance(std::uint64_t bytes) {
  done_bytes_ += bytes;
  if (!is_shown_ || Clock::now() < next_draw_) return;
  fmt::print(stderr, "\r{}\x1b[K", progress_line(work_, done_bytes_, all_bytes_));
  std::fflush(stderr);
  next_draw_ = Clock::now() + kDrawInterval;
  has_drawn_ = true;
}

}  // namespace uzram
