// SPDX-License-Identifier: Apache-2.0
#include "pager/readahead.h"

#include <algorithm>

#include "pager/memory_backend.h"

namespace uzram {
namespace {

constexpr unsigned kCountBits = 8;

constexpr std::uint64_t stream_of(std::uint64_t next, std::uint64_t count) {
  return next << kCountBits | count;
}
constexpr std::uint64_t next_of(std::uint64_t stream) { return stream >> kCountBits; }
constexpr std::uint64_t count_of(std::uint64_t stream) { return stream & ((1U << kCountBits) - 1); }

}  // namespace

PageWindow ReadaheadState::plan(const ReadaheadRule& rule, std::uint64_t page) {
  const std::uint64_t block = std::uint64_t{1} << rule.page_cluster;
  if (rule.hint == AccessHint::Random) return {page, 1};
  if (rule.hint != AccessHint::Sequential && !rule.has_vma_readahead)
    return {page / block * block, block};
  const bool is_told = rule.hint == AccessHint::Sequential;
  const std::uint64_t most = is_told ? rule.most_told : block;
  const std::uint64_t cluster_end = (page / kClusterPages + 1) * kClusterPages;
  for (auto& stream : streams_) {
    const std::uint64_t seen = stream.load(std::memory_order_relaxed);
    if (seen == 0 || next_of(seen) != page) continue;
    const std::uint64_t count = std::min(most, count_of(seen) * 2);
    const std::uint64_t fits = std::min(count, cluster_end - page);
    // The end of a cluster cuts a window, but not the next one.
    stream.store(stream_of(page + fits, count), std::memory_order_relaxed);
    return {page, fits};
  }
  const std::uint64_t count = std::min(is_told ? most : 1, cluster_end - page);
  const std::uint32_t index = oldest_.fetch_add(1, std::memory_order_relaxed);
  streams_[index % kStreamCount].store(stream_of(page + count, count), std::memory_order_relaxed);
  return {page, count};
}

void ReadaheadState::forget() {
  for (auto& stream : streams_) stream.store(0, std::memory_order_relaxed);
}

}  // namespace uzram
