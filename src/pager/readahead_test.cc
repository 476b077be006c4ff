// SPDX-License-Identifier: Apache-2.0
// Traces of faults, and what each setting does to them.
#include "pager/readahead.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "base/random.h"

namespace uzram {
namespace {

// Runs accesses through a memory that forgets nothing. Returns: the pages brought in by each fault.
std::vector<std::uint64_t> windows_of(const ReadaheadRule& rule,
                                      const std::vector<std::uint64_t>& accesses) {
  ReadaheadState state;
  std::set<std::uint64_t> present;
  std::vector<std::uint64_t> counts;
  for (const std::uint64_t page : accesses) {
    if (present.contains(page)) continue;
    const PageWindow window = state.plan(rule, page);
    EXPECT_LE(window.first, page);
    EXPECT_GT(window.first + window.count, page);
    EXPECT_EQ(window.first / 64, (window.first + window.count - 1) / 64) << "one cluster";
    for (std::uint64_t i = 0; i < window.count; ++i) present.insert(window.first + i);
    counts.push_back(window.count);
  }
  return counts;
}

std::vector<std::uint64_t> scan(std::uint64_t first, std::uint64_t count) {
  std::vector<std::uint64_t> pages;
  for (std::uint64_t i = 0; i < count; ++i) pages.push_back(first + i);
  return pages;
}

using Counts = std::vector<std::uint64_t>;

TEST(Readahead, AScanGrowsItsWindowToTheBlock) {
  EXPECT_EQ(windows_of({.page_cluster = 3}, scan(64, 64)),
            (Counts{1, 2, 4, 8, 8, 8, 8, 8, 8, 8, 1}));
  EXPECT_EQ(windows_of({.page_cluster = 4}, scan(64, 64)), (Counts{1, 2, 4, 8, 16, 16, 16, 1}));
  EXPECT_EQ(windows_of({.page_cluster = 0}, scan(64, 4)), (Counts{1, 1, 1, 1}));
}

TEST(Readahead, TheEndOfAClusterDoesNotEndAScan) {
  // 1 2 4 8 8 8 8 8 8 8 and 3 more fill the first cluster.
  const Counts counts = windows_of({.page_cluster = 3}, scan(0, 128));
  EXPECT_EQ(counts[10], 1U);
  EXPECT_EQ(counts[11], 8U);
}

TEST(Readahead, RandomFaultsBringOnlyTheirPage) {
  Random random(1);
  std::vector<std::uint64_t> accesses;
  for (int i = 0; i < 1000; ++i) accesses.push_back(random.below(1 << 20));
  std::uint64_t extra = 0;
  for (const std::uint64_t count : windows_of({.page_cluster = 3}, accesses)) extra += count - 1;
  EXPECT_LT(extra, 10U);
}

TEST(Readahead, WithoutVmaReadaheadABlockComesEachTime) {
  const ReadaheadRule rule{.page_cluster = 3, .has_vma_readahead = false};
  ReadaheadState state;
  const PageWindow window = state.plan(rule, 1003);
  EXPECT_EQ(window.first, 1000U);
  EXPECT_EQ(window.count, 8U);
}

TEST(Readahead, ScansOfSeveralThreadsDoNotHideEachOther) {
  std::vector<std::uint64_t> accesses;
  for (std::uint64_t i = 0; i < 60; ++i)
    for (std::uint64_t thread = 0; thread < 3; ++thread) accesses.push_back(thread * 6400 + i);
  const Counts counts = windows_of({.page_cluster = 3}, accesses);
  EXPECT_EQ(counts.size(), 3U * 10);
}

TEST(Readahead, HintsDecide) {
  EXPECT_EQ(windows_of({.page_cluster = 3, .hint = AccessHint::Random}, scan(0, 10)),
            Counts(10, 1));
  EXPECT_EQ(windows_of({.page_cluster = 0, .hint = AccessHint::Sequential}, scan(0, 64)),
            Counts(4, 16));
}

TEST(Readahead, ForgetsItsStreams) {
  ReadaheadState state;
  EXPECT_EQ(state.plan({}, 10).count, 1U);
  state.forget();
  EXPECT_EQ(state.plan({}, 11).count, 1U);
  EXPECT_EQ(state.plan({}, 12).count, 2U);
}

}  // namespace
}  // namespace uzram
