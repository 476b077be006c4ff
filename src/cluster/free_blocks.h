// SPDX-License-Identifier: Apache-2.0
// cluster/free_blocks.h: which blocks of a cluster file are free, as runs.
//
// What:    takes the lowest run that is long enough, so that the end of the file becomes free;
//          joins what is given back with its neighbours. Not here: giving space to the file system.
// Shapes:  blocks below end() are used or in a run; what is behind it belongs to nobody yet.
// Threads: one at a time.
// Proof:   free_blocks_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <map>

#include "base/result.h"

namespace uzram {

class FreeBlocks {
 public:
  static constexpr std::uint64_t kLongestRun = 256;

  // Blocks below `first` are never handed out.
  explicit FreeBlocks(std::uint64_t first) : end_(first) { lowest_.fill(first); }

  // Returns: the first of `count` blocks. Requires: 0 < count <= kLongestRun.
  [[nodiscard]] std::uint64_t take(std::uint64_t count);
  // Takes exactly these. Errors: EEXIST: some are in use.
  [[nodiscard]] Result<void> take_at(std::uint64_t first, std::uint64_t count);
  // Requires: they were taken.
  void give_back(std::uint64_t first, std::uint64_t count);

  [[nodiscard]] bool is_free(std::uint64_t first, std::uint64_t count) const;

  // Adds a free run behind the end.
  void extend(std::uint64_t count);
  // Forgets the free run at the end, if there is one. Returns: the end.
  std::uint64_t cut_end();

  [[nodiscard]] std::uint64_t end() const { return end_; }
  [[nodiscard]] std::uint64_t free_count() const { return free_count_; }
  // First block and length.
  [[nodiscard]] const std::map<std::uint64_t, std::uint64_t>& runs() const { return runs_; }

 private:
  void add_run(std::uint64_t first, std::uint64_t count);

  std::map<std::uint64_t, std::uint64_t> runs_;
  std::uint64_t end_;
  std::uint64_t free_count_ = 0;
  // No run of this length or longer begins lower: a search does not start at the beginning again.
  std::array<std::uint64_t, kLongestRun + 1> lowest_{};
};

}  // namespace uzram
