// SPDX-License-Identifier: Apache-2.0
#include "cluster/free_blocks.h"

#include <algorithm>

#include "base/check.h"

namespace uzram {

void FreeBlocks::add_run(std::uint64_t first, std::uint64_t count) {
  runs_[first] = count;
  for (std::uint64_t length = 1; length <= std::min(count, kLongestRun); ++length)
    lowest_[length] = std::min(lowest_[length], first);
}

std::uint64_t FreeBlocks::take(std::uint64_t count) {
  UZ_CHECK(count > 0 && count <= kLongestRun);
  auto run = runs_.lower_bound(lowest_[count]);
  while (run != runs_.end() && run->second < count) ++run;
  if (run == runs_.end()) {
    lowest_[count] = end_;
    end_ += count;
    return end_ - count;
  }
  const auto [first, length] = *run;
  lowest_[count] = first;
  runs_.erase(run);
  free_count_ -= count;
  if (length > count) add_run(first + count, length - count);
  return first;
}

Result<void> FreeBlocks::take_at(std::uint64_t first, std::uint64_t count) {
  const std::uint64_t last = first + count;
  if (first >= end_) {
    if (first > end_) extend(first - end_);
    end_ = last;
    return {};
  }
  auto run = runs_.upper_bound(first);
  if (run == runs_.begin()) return fail(EEXIST);
  --run;
  const auto [run_first, run_count] = *run;
  const std::uint64_t run_end = run_first + run_count;
  if (first >= run_end || last > run_end) return fail(EEXIST);
  runs_.erase(run);
  free_count_ -= count;
  if (first > run_first) add_run(run_first, first - run_first);
  if (last < run_end) add_run(last, run_end - last);
  return {};
}

void FreeBlocks::give_back(std::uint64_t first, std::uint64_t count) {
  UZ_CHECK(count > 0 && first + count <= end_);
  free_count_ += count;
  const auto after = runs_.lower_bound(first);
  std::uint64_t begin = first;
  std::uint64_t length = count;
  if (after != runs_.begin()) {
    const auto before = std::prev(after);
    UZ_CHECK(before->first + before->second <= first);
    if (before->first + before->second == first) {
      begin = before->first;
      length += before->second;
      runs_.erase(before);
    }
  }
  if (after != runs_.end()) {
    UZ_CHECK(after->first >= first + count);
    if (after->first == first + count) {
      length += after->second;
      runs_.erase(after);
    }
  }
  add_run(begin, length);
}

bool FreeBlocks::is_free(std::uint64_t first, std::uint64_t count) const {
  const auto after = runs_.upper_bound(first);
  if (after == runs_.begin()) return false;
  const auto run = std::prev(after);
  return first + count <= run->first + run->second;
}

void FreeBlocks::extend(std::uint64_t count) {
  end_ += count;
  give_back(end_ - count, count);
}

std::uint64_t FreeBlocks::cut_end() {
  if (!runs_.empty()) {
    const auto last = std::prev(runs_.end());
    if (last->first + last->second == end_) {
      end_ = last->first;
      free_count_ -= last->second;
      runs_.erase(last);
    }
  }
  return end_;
}

}  // namespace uzram
