// SPDX-License-Identifier: Apache-2.0
// Many threads in one region, with a limit that is always reached.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "pager/pager_fixture.h"

namespace uzram {
namespace {

class PagerThread : public EveryBackend {
 protected:
  static constexpr std::uint64_t kPages = 2048;
  static constexpr std::uint64_t kWordsPerPage = kPageBytes / sizeof(std::uint64_t);
  static constexpr int kSteps = UZ_PAGER_UNDER_SANITIZER != 0 ? 5000 : 10000;
  static PagerConfig tight() {
    PagerConfig small = config(kLeastLimitBytes + kMebibyte);
    small.address_bytes = 16 * kMebibyte;
    return small;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerThread, backends_with_faults(), backend_name);

// Each thread has one word in every page, so that pages are shared and words are not.
void count_in_own_words(std::uint64_t* words, std::uint64_t pages, std::uint64_t words_per_page,
                        unsigned thread, int steps, std::atomic<int>& wrong) {
  std::vector<std::uint64_t> mirror(pages, 0);
  Random random(thread + 1);
  for (int step = 0; step < steps; ++step) {
    const std::uint64_t page = random.below(pages);
    std::uint64_t& word = words[page * words_per_page + thread * 7];
    if (word != mirror[page]) wrong.fetch_add(1);
    if (random.below(2) == 0) word = mirror[page] = random.next() % 1000;
  }
  for (std::uint64_t page = 0; page < pages; ++page)
    if (words[page * words_per_page + thread * 7] != mirror[page]) wrong.fetch_add(1);
}

TEST_P(PagerThread, LosesNoWriteOfAnyThread) {
  UZ_MAKE_PAGER(*this, tight());
  auto* const words = reinterpret_cast<std::uint64_t*>(region(kPages * kPageBytes));
  // More content than the limit, outside the words that are counted.
  for (std::uint64_t page = 0; page < kPages; ++page)
    fill_test_page(reinterpret_cast<std::byte*>(words + page * kWordsPerPage), page);
  for (std::uint64_t page = 0; page < kPages; ++page)
    for (unsigned thread = 0; thread < 4; ++thread) words[page * kWordsPerPage + thread * 7] = 0;
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (unsigned thread = 0; thread < 4; ++thread) {
    threads.emplace_back(
        [&, thread] { count_in_own_words(words, kPages, kWordsPerPage, thread, kSteps, wrong); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_GT(pager().stats().evicted_pages, kPages);
  pager().check_invariants();
}

TEST_P(PagerThread, KeepsItsWordWhilePagesArePinnedDroppedAndPutAway) {
  UZ_MAKE_PAGER(*this, tight());
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  // The first half is read by two threads; the second belongs to the third one.
  constexpr std::uint64_t kHalf = kPages / 2;
  std::atomic<bool> is_over{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> readers;
  for (unsigned reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&, reader] {
      Random random(reader + 10);
      while (!is_over.load()) {
        const std::uint64_t page = random.below(kHalf);
        if (!is_test_page(start + page * kPageBytes, page)) wrong.fetch_add(1);
      }
    });
  }
  Random random(3);
  for (int step = 0; step < 150; ++step) {
    const std::uint64_t page = random.below(kPages - 40);
    ASSERT_EQ(errno_of(pager().pin(start + page * kPageBytes, 40 * kPageBytes, step % 2 == 0)), 0);
    ASSERT_EQ(errno_of(pager().page_out(start, kPages / 8 * kPageBytes)), 0);
    ASSERT_EQ(errno_of(pager().unpin(start + page * kPageBytes, 40 * kPageBytes)), 0);
    ASSERT_EQ(errno_of(pager().prefetch(start + page * kPageBytes, 20 * kPageBytes)), 0);
    const std::uint64_t own = kHalf + random.below(kHalf - 40);
    ASSERT_EQ(errno_of(pager().drop(start + own * kPageBytes, 40 * kPageBytes)), 0);
    for (std::uint64_t i = own; i < own + 40; ++i)
      if (!is_zero_page(start + i * kPageBytes)) wrong.fetch_add(1);
    fill(start + own * kPageBytes, 40, own);
  }
  is_over.store(true);
  for (std::thread& thread : readers) thread.join();
  EXPECT_EQ(wrong.load(), 0);
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  pager().check_invariants();
}

TEST_P(PagerThread, ForksInTheMiddleOfTheirWork) {
  if (GetParam() == PagerBackend::Signal) GTEST_SKIP() << "Signal refuses ForkRule::Populate";
  if (UZ_PAGER_UNDER_SANITIZER != 0)
    GTEST_SKIP() << "sanitizers cannot fork while threads are at work";
  PagerConfig populating = tight();
  populating.fork_rule = ForkRule::Populate;
  UZ_MAKE_PAGER(*this, populating);
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  std::atomic<bool> is_over{false};
  std::atomic<int> wrong{0};
  // The upper half is written all the time.
  constexpr std::uint64_t kHalf = kPages / 2;
  std::thread writer([&] {
    for (std::uint64_t round = 0; !is_over.load(); ++round) {
      fill(start + kHalf * kPageBytes, kHalf, round);
      if (first_wrong(start + kHalf * kPageBytes, kHalf, round) != kHalf) wrong.fetch_add(1);
    }
  });
  for (int round = 0; round < 4; ++round) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(first_wrong(start, kHalf) == kHalf ? 0 : 1);
    int status = -1;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(first_wrong(start, kHalf), kHalf);
  }
  is_over.store(true);
  writer.join();
  EXPECT_EQ(wrong.load(), 0);
  pager().check_invariants();
}

}  // namespace
}  // namespace uzram
