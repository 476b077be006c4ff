// SPDX-License-Identifier: Apache-2.0
#include "backing/block_map.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::uint64_t kWordBits = 64;
using Bits = SparseArray<std::uint64_t>;

std::uint64_t word_count(std::uint64_t bit_count) {
  return (bit_count + kWordBits - 1) / kWordBits;
}

// Calls change(word, mask) for the words that hold the bits.
template <typename Change>
void for_words(std::uint64_t first, std::uint64_t end, Change change) {
  while (first < end) {
    const std::uint64_t bit = first % kWordBits;
    const std::uint64_t count = std::min(kWordBits - bit, end - first);
    change(first / kWordBits, (~std::uint64_t{0} >> (kWordBits - count)) << bit);
    first += count;
  }
}

// The first position in [first, end) whose bit is set in word_at(word); `end` when there is none.
template <typename WordAt>
std::uint64_t find_set(std::uint64_t first, std::uint64_t end, WordAt word_at) {
  while (first < end) {
    const std::uint64_t rest = word_at(first / kWordBits) >> (first % kWordBits);
    if (rest != 0) {
      return std::min(end, first + static_cast<std::uint64_t>(std::countr_zero(rest)));
    }
    first = (first / kWordBits + 1) * kWordBits;
  }
  return end;
}

// Calls visit(block, steps) for each block that the object lies in.
template <typename Visit>
void for_blocks(BackingPosition position, std::size_t object_bytes, Visit visit) {
  std::uint64_t step = position.value;
  std::uint64_t left = stored_bytes(object_bytes) / kPlaceStepBytes;
  while (left > 0) {
    const std::uint64_t here = std::min(left, kStepsPerBlock - step % kStepsPerBlock);
    visit(step / kStepsPerBlock, here);
    step += here;
    left -= here;
  }
}

}  // namespace

Result<std::unique_ptr<BlockMap>> BlockMap::create(std::uint64_t block_count) {
  auto live_steps = SparseArray<std::atomic<std::uint16_t>>::create(block_count);
  auto used = Bits::create(word_count(block_count));
  auto touched = Bits::create(word_count(block_count));
  if (!live_steps || !used || !touched) return fail(ENOMEM);
  return std::unique_ptr<BlockMap>(
      new BlockMap(block_count, std::move(*live_steps), std::move(*used), std::move(*touched)));
}

BlockMap::BlockMap(std::uint64_t block_count, SparseArray<std::atomic<std::uint16_t>> live_steps,
                   Bits used, Bits touched)
    : block_count_(block_count),
      live_steps_(std::move(live_steps)),
      used_(std::move(used)),
      touched_(std::move(touched)) {}

// --- taking and giving back

void BlockMap::mark_used(BlockRange range) {
  for_words(range.first, range.end(),
            [this](std::uint64_t word, std::uint64_t mask) UZ_NO_THREAD_SAFETY_ANALYSIS {
              UZ_CHECK((used_[word] & mask) == 0);
              used_[word] |= mask;
              touched_[word] |= mask;
            });
  touched_end_ = std::max(touched_end_, range.end());
  blocks_in_use_.fetch_add(range.count, std::memory_order_relaxed);
}

void BlockMap::mark_free(BlockRange range) {
  for_words(range.first, range.end(),
            [this](std::uint64_t word, std::uint64_t mask) UZ_NO_THREAD_SAFETY_ANALYSIS {
              UZ_CHECK((used_[word] & mask) == mask);
              used_[word] &= ~mask;
            });
  blocks_in_use_.fetch_sub(range.count, std::memory_order_relaxed);
  hopeless_count_ = ~std::uint64_t{0};
}

void BlockMap::look_for_run(Search& search, std::uint64_t first, std::uint64_t end) const {
  const auto used = [this](std::uint64_t word) UZ_NO_THREAD_SAFETY_ANALYSIS { return used_[word]; };
  const auto unused = [this](std::uint64_t word)
                          UZ_NO_THREAD_SAFETY_ANALYSIS { return ~used_[word]; };
  while (first < end && !search.is_over()) {
    const std::uint64_t start = find_set(first, end, unused);
    const std::uint64_t run_end = find_set(start, std::min(end, start + search.most), used);
    if (run_end - start > search.best.count) search.best = {start, run_end - start};
    search.seen_blocks += run_end - first;
    first = run_end;
  }
}

std::optional<BlockRange> BlockMap::take_run(std::uint64_t least, std::uint64_t most) {
  UZ_DCHECK(least >= 1 && least <= most);
  MutexLock lock(mutex_);
  if (least >= hopeless_count_) return std::nullopt;
  Search search{.least = least, .most = most, .best = {}};
  look_for_run(search, cursor_, block_count_);
  // A run may lie across the cursor.
  if (!search.is_over()) look_for_run(search, 0, std::min(block_count_, cursor_ + most));
  if (search.best.count < least) {
    hopeless_count_ = search.best.count + 1;
    return std::nullopt;
  }
  mark_used(search.best);
  cursor_ = search.best.end() == block_count_ ? 0 : search.best.end();
  return search.best;
}

void BlockMap::give_back(BlockRange range) {
  if (range.count == 0) return;
  MutexLock lock(mutex_);
  mark_free(range);
}

void BlockMap::set_live(BlockRange range, std::span<const std::uint16_t> live_steps) {
  std::uint64_t total = 0;
  for (std::uint64_t i = 0; i < range.count; ++i) {
    UZ_CHECK(live_steps[i] > 0 && live_steps[i] <= kStepsPerBlock);
    live_steps_[range.first + i].store(live_steps[i], std::memory_order_relaxed);
    total += live_steps[i];
  }
  total_live_steps_.fetch_add(total, std::memory_order_relaxed);
}

void BlockMap::remove_live(BackingPosition position, std::size_t object_bytes) {
  UZ_CHECK(is_possible_place(position, object_bytes, block_count_));
  for_blocks(position, object_bytes, [this](std::uint64_t block, std::uint64_t steps) {
    const std::uint16_t before =
        live_steps_[block].fetch_sub(static_cast<std::uint16_t>(steps), std::memory_order_relaxed);
    UZ_CHECK(before >= steps);
    if (before == steps) give_back({block, 1});
  });
  total_live_steps_.fetch_sub(stored_bytes(object_bytes) / kPlaceStepBytes,
                              std::memory_order_relaxed);
}

std::optional<BlockRange> BlockMap::take_freed_run(std::uint64_t least, std::uint64_t most) {
  MutexLock lock(mutex_);
  const auto freed = [this](std::uint64_t word)
                         UZ_NO_THREAD_SAFETY_ANALYSIS { return touched_[word] & ~used_[word]; };
  const auto not_freed = [&freed](std::uint64_t word) { return ~freed(word); };
  const std::uint64_t end = touched_end_;
  while (discard_cursor_ < end) {
    const std::uint64_t start = find_set(discard_cursor_, end, freed);
    const std::uint64_t run_end = find_set(start, std::min(end, start + most), not_freed);
    discard_cursor_ = run_end;
    const BlockRange range{start, run_end - start};
    if (range.count < least) continue;
    mark_used(range);
    for_words(range.first, range.end(),
              [this](std::uint64_t word, std::uint64_t mask)
                  UZ_NO_THREAD_SAFETY_ANALYSIS { touched_[word] &= ~mask; });
    return range;
  }
  discard_cursor_ = 0;
  return std::nullopt;
}

// --- recovery

bool BlockMap::try_claim(BackingPosition position, std::size_t object_bytes) {
  const std::uint64_t end = position.value + stored_bytes(object_bytes) / kPlaceStepBytes;
  bool is_clear = true;
  for_words(position.value, end, [&](std::uint64_t word, std::uint64_t mask) {
    is_clear = is_clear && ((*claimed_steps_)[word] & mask) == 0;
  });
  if (!is_clear) return false;
  for_words(position.value, end,
            [&](std::uint64_t word, std::uint64_t mask) { (*claimed_steps_)[word] |= mask; });
  return true;
}

bool BlockMap::try_adopt(BackingPosition position, std::size_t object_bytes) {
  if (!is_possible_place(position, object_bytes, block_count_)) return false;
  if (!claimed_steps_) {
    auto claimed = Bits::create(word_count(block_count_ * kStepsPerBlock));
    if (!claimed) return false;
    claimed_steps_.emplace(std::move(*claimed));
  }
  if (!try_claim(position, object_bytes)) return false;
  MutexLock lock(mutex_);
  for_blocks(position, object_bytes,
             [this](std::uint64_t block, std::uint64_t steps) UZ_NO_THREAD_SAFETY_ANALYSIS {
               const std::uint16_t before = live_steps_[block].fetch_add(
                   static_cast<std::uint16_t>(steps), std::memory_order_relaxed);
               if (before == 0) mark_used({block, 1});
             });
  total_live_steps_.fetch_add(stored_bytes(object_bytes) / kPlaceStepBytes,
                              std::memory_order_relaxed);
  return true;
}

// --- what it costs, whether it is right

std::uint64_t BlockMap::memory_bytes() const {
  MutexLock lock(mutex_);
  return touched_end_ * sizeof(std::uint16_t) +
         2 * word_count(touched_end_) * sizeof(std::uint64_t);
}

void BlockMap::check_invariants() const {
  MutexLock lock(mutex_);
  std::uint64_t used_count = 0;
  std::uint64_t step_count = 0;
  for (std::uint64_t block = 0; block < touched_end_; ++block) {
    const bool is_used = (used_[block / kWordBits] >> (block % kWordBits) & 1) != 0;
    const std::uint64_t steps = live_steps(block);
    UZ_CHECK(steps <= kStepsPerBlock);
    UZ_CHECK(is_used || steps == 0);
    used_count += is_used ? 1 : 0;
    step_count += steps;
  }
  UZ_CHECK(used_count == blocks_in_use());
  UZ_CHECK(step_count == total_live_steps());
}

}  // namespace uzram
