// SPDX-License-Identifier: Apache-2.0
#include "pager/pager.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "base/file_descriptor.h"
#include "pager/pager_core.h"
#include "pager/pager_fixture.h"

namespace uzram {

class PagerPeer {
 public:
  // How often reclaim has looked through a cluster of 64 pages and gained none.
  static std::uint64_t fruitless_takes(Pager& pager) { return pager.core_->fruitless_takes(); }
};

namespace {

class PagerTest : public EveryBackend {};
INSTANTIATE_TEST_SUITE_P(Backends, PagerTest, backends_with_faults(), backend_name);

// A file of `pages` pages and a bit, gone when it is closed.
FileDescriptor file_of_pages(std::uint64_t pages, std::size_t extra_bytes) {
  std::FILE* const file = std::tmpfile();
  FileDescriptor own(::dup(::fileno(file)));
  std::fclose(file);
  std::array<std::byte, kPageBytes> page;
  for (std::uint64_t i = 0; i <= pages; ++i) {
    fill_test_page(page.data(), 1000 + i);
    const std::size_t bytes = i < pages ? kPageBytes : extra_bytes;
    EXPECT_EQ(::pwrite(own.get(), page.data(), bytes, static_cast<off_t>(i * kPageBytes)),
              static_cast<ssize_t>(bytes));
  }
  return own;
}

// Resident memory of this process.
std::uint64_t resident_bytes() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * kPageBytes;
}

TEST_P(PagerTest, ReadsZerosWhereNothingWasWritten) {
  UZ_MAKE_PAGER(*this, config());
  const std::byte* const start = region(32 * kMebibyte);
  for (std::uint64_t page = 0; page < 32 * kMebibyte / kPageBytes; ++page)
    ASSERT_TRUE(is_zero_page(start + page * kPageBytes)) << page;
  pager().check_invariants();
}

TEST_P(PagerTest, KeepsFourTimesItsLimit) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = region(kPages * kPageBytes);
  for (std::uint64_t round = 0; round < 3; ++round) {
    fill(start, kPages, round);
    EXPECT_EQ(first_wrong(start, kPages, round), kPages);
  }
  pager().check_invariants();
  const PagerStats stats = pager().stats();
  EXPECT_GT(stats.packed_pages, kPages);
  EXPECT_GT(stats.major_faults, 0U);
}

TEST_P(PagerTest, KeepsWhatARandomWalkHasWritten) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 3000;
  std::byte* const start = region(kPages * kPageBytes);
  std::vector<std::uint64_t> seeds(kPages, 0);
  Random random(4);
  for (int step = 0; step < 20000; ++step) {
    const std::uint64_t page = random.below(kPages);
    std::byte* const place = start + page * kPageBytes;
    if (seeds[page] == 0)
      ASSERT_TRUE(is_zero_page(place)) << page;
    else
      ASSERT_TRUE(is_test_page(place, seeds[page])) << page;
    if (random.below(2) == 0) continue;
    seeds[page] = random.next() | 1;
    fill_test_page(place, seeds[page]);
  }
  pager().check_invariants();
}

TEST_P(PagerTest, StaysBelowItsLimit) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = region(kPages * kPageBytes);
  std::uint64_t most_bytes = 0;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    fill_test_page(start + page * kPageBytes, page);
    most_bytes = std::max(most_bytes, pager().stats().total_bytes());
  }
  // The device's own bytes are looked at each time that a slot of staging has been packed.
  EXPECT_LE(most_bytes, 8 * kMebibyte + kMebibyte / 2);
  EXPECT_GT(most_bytes, 6 * kMebibyte) << "memory that may be used should be used";
}

TEST_P(PagerTest, CountsWhatTheProcessPays) {
  if (UZ_PAGER_UNDER_SANITIZER != 0) GTEST_SKIP() << "sanitizers have memory of their own";
  const std::uint64_t before = resident_bytes();
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  const std::uint64_t paid = resident_bytes() - before;
  // Stacks, code that was never touched before, the heap's slack.
  EXPECT_LE(paid, pager().stats().total_bytes() + kMebibyte);
}

TEST_P(PagerTest, PagesThatAreOnlyReadLeaveWithoutBeingPackedAgain) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  ASSERT_EQ(first_wrong(start, kPages), kPages);
  const PagerStats before = pager().stats();
  for (int round = 0; round < 3; ++round) ASSERT_EQ(first_wrong(start, kPages), kPages);
  const PagerStats after = pager().stats();
  EXPECT_GT(after.clean_drops - before.clean_drops, kPages);
  EXPECT_LT(after.packed_pages - before.packed_pages, kPages / 4);
}

TEST_P(PagerTest, FirstWritesToCleanPagesAreKept) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 64;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  ASSERT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  fill(start, kPages, 77);
  EXPECT_GT(pager().stats().write_upgrades, 0U);
  ASSERT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
  EXPECT_EQ(first_wrong(start, kPages, 77), kPages);
  pager().check_invariants();
}

TEST_P(PagerTest, PutsAwayWhatItIsAskedTo) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 200;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  ASSERT_EQ(errno_of(pager().page_out(start + 10 * kPageBytes, 150 * kPageBytes)), 0);
  EXPECT_EQ(pager().stats().resident_bytes, 50 * kPageBytes);
  EXPECT_EQ(pager().stats().staged_bytes, 0U);
  EXPECT_EQ(pager().stats().stored_bytes, 150 * kPageBytes);
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  pager().check_invariants();
}

TEST_P(PagerTest, BringsInWhatItIsAskedTo) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 200;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  ASSERT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
  ASSERT_EQ(errno_of(pager().prefetch(start, kPages * kPageBytes)), 0);
  const std::uint64_t faults = pager().stats().faults;
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  EXPECT_EQ(pager().stats().faults, faults);
}

TEST_P(PagerTest, DropsWholePagesInsideTheRange) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(200 * kPageBytes);
  fill(start, 200);
  ASSERT_EQ(errno_of(pager().page_out(start, 100 * kPageBytes)), 0);
  ASSERT_EQ(errno_of(pager().drop(start + 50 * kPageBytes + 1, 100 * kPageBytes)), 0);
  EXPECT_EQ(first_wrong(start, 51), 51U);
  for (std::uint64_t page = 51; page < 150; ++page)
    EXPECT_TRUE(is_zero_page(start + page * kPageBytes)) << page;
  EXPECT_EQ(first_wrong(start + 150 * kPageBytes, 50, 150), 50U);
  EXPECT_EQ(errno_of(pager().drop(start + 1, kPageBytes)), 0) << "no whole page: nothing to do";
  EXPECT_TRUE(is_test_page(start, 0));
  pager().check_invariants();
}

TEST_P(PagerTest, SystemCallsUsePinnedPages) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(4 * kPageBytes);
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const FileDescriptor reader(ends[0]);
  const FileDescriptor writer(ends[1]);
  ASSERT_EQ(::write(writer.get(), "pinned", 6), 6);
  ASSERT_EQ(errno_of(pager().pin(start + 100, 2 * kPageBytes)), 0);
  ASSERT_EQ(errno_of(pager().page_out(start, 4 * kPageBytes)), 0);
  EXPECT_EQ(::read(reader.get(), start + kPageBytes - 2, 6), 6);
  EXPECT_EQ(errno_of(pager().drop(start, 4 * kPageBytes)), EBUSY);
  EXPECT_EQ(errno_of(pager().close_region(start)), EBUSY);
  ASSERT_EQ(errno_of(pager().unpin(start + 100, 2 * kPageBytes)), 0);
  EXPECT_EQ(errno_of(pager().unpin(start, kPageBytes)), EINVAL);
  ASSERT_EQ(errno_of(pager().page_out(start, 4 * kPageBytes)), 0);
  EXPECT_EQ(std::memcmp(start + kPageBytes - 2, "pinned", 6), 0);
  EXPECT_EQ(errno_of(pager().close_region(start)), 0);
  pager().check_invariants();
}

TEST_P(PagerTest, PinsAddUpAndHaveAnEnd) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(kPageBytes);
  for (int i = 0; i < 127; ++i) ASSERT_EQ(errno_of(pager().pin(start, 1)), 0);
  EXPECT_EQ(errno_of(pager().pin(start, 1)), EAGAIN);
  for (int i = 0; i < 127; ++i) ASSERT_EQ(errno_of(pager().unpin(start, 1)), 0);
  EXPECT_EQ(errno_of(pager().unpin(start, 1)), EINVAL);
}

// Whoever pins everything is told that it does not fit as soon as nothing can be gained any more,
// not after every page was tried again and again.
TEST_P(PagerTest, GivesUpAtOnceWhenAllIsPinned) {
  PagerConfig alone = config();
  alone.compressor_threads = 0;
  UZ_MAKE_PAGER(*this, alone);
  std::byte* const start = region(32 * kMebibyte);
  const std::uint64_t before = PagerPeer::fruitless_takes(pager());
  EXPECT_EQ(errno_of(pager().pin(start, 32 * kMebibyte)), ENOMEM);
  EXPECT_LT(PagerPeer::fruitless_takes(pager()) - before, 100U);
  pager().check_invariants();
}

TEST_P(PagerTest, PinsNoMoreThanFits) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(32 * kMebibyte);
  EXPECT_EQ(errno_of(pager().pin(start, 32 * kMebibyte)), ENOMEM);
  fill(start, 3000);
  EXPECT_EQ(first_wrong(start, 3000), 3000U) << "nothing stays pinned";
}

TEST_P(PagerTest, FilesReadAsOnDiskAndWritesStayHere) {
  UZ_MAKE_PAGER(*this, config());
  constexpr std::uint64_t kPages = 4000;
  const FileDescriptor file = file_of_pages(kPages, 100);
  const auto mapped = pager().map_file(file.get(), kPageBytes, (kPages + 1) * kPageBytes);
  ASSERT_TRUE(mapped.has_value());
  std::byte* const start = *mapped;
  EXPECT_EQ(first_wrong(start, kPages - 1, 1001), kPages - 1);
  const std::byte* const end = start + (kPages - 1) * kPageBytes;
  std::array<std::byte, kPageBytes> last;
  fill_test_page(last.data(), 1000 + kPages);
  EXPECT_EQ(std::memcmp(end, last.data(), 100), 0);
  for (std::size_t i = 100; i < 2 * kPageBytes; ++i) ASSERT_EQ(end[i], std::byte{0}) << i;
  fill(start, 50, 7);
  ASSERT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
  EXPECT_EQ(first_wrong(start, 50, 7), 50U);
  EXPECT_EQ(first_wrong(start + 50 * kPageBytes, 1000, 1051), 1000U);
  std::array<std::byte, kPageBytes> on_disk;
  ASSERT_EQ(::pread(file.get(), on_disk.data(), kPageBytes, kPageBytes),
            static_cast<ssize_t>(kPageBytes));
  EXPECT_TRUE(is_test_page(on_disk.data(), 1001));
  ASSERT_EQ(errno_of(pager().drop(start, 50 * kPageBytes)), 0);
  EXPECT_EQ(first_wrong(start, 50, 1001), 50U) << "forgotten writes leave the file's bytes";
  pager().check_invariants();
}

TEST_P(PagerTest, ReusesTheAddressesOfClosedRegions) {
  PagerConfig small = config();
  small.address_bytes = 2 * kMebibyte;
  UZ_MAKE_PAGER(*this, small);
  for (int round = 0; round < 20; ++round) {
    std::byte* const one = region(kMebibyte);
    std::byte* const other = region(kMebibyte - 5);
    EXPECT_EQ(errno_of(pager().make_region(1)), ENOMEM);
    EXPECT_TRUE(is_zero_page(one));
    EXPECT_TRUE(is_zero_page(other));
    fill(one, 256, 3);
    fill(other, 256, 4);
    EXPECT_EQ(first_wrong(one, 256, 3), 256U);
    EXPECT_EQ(errno_of(pager().close_region(round % 2 == 0 ? one : other)), 0);
    EXPECT_EQ(errno_of(pager().close_region(round % 2 == 0 ? other : one)), 0);
  }
  EXPECT_EQ(pager().stats().stored_bytes, 0U);
  pager().check_invariants();
}

TEST_P(PagerTest, RefusesWhatIsNotItsOwn) {
  UZ_MAKE_PAGER(*this, config());
  std::byte* const start = region(10 * kPageBytes);
  std::byte foreign{};
  EXPECT_EQ(errno_of(pager().pin(&foreign, 1)), EINVAL);
  EXPECT_EQ(errno_of(pager().prefetch(start, 11 * kPageBytes)), EINVAL);
  EXPECT_EQ(errno_of(pager().drop(start, 0)), EINVAL);
  EXPECT_EQ(errno_of(pager().close_region(start + kPageBytes)), EINVAL);
  EXPECT_EQ(errno_of(pager().close_region(&foreign)), EINVAL);
  EXPECT_EQ(errno_of(pager().make_region(0)), EINVAL);
  EXPECT_EQ(errno_of(pager().make_region(~std::uint64_t{0})), ENOMEM);
  EXPECT_EQ(errno_of(pager().map_file(-1, 0, 1)), EBADF);
  EXPECT_EQ(errno_of(pager().map_file(0, 5, 1)), EINVAL);
  EXPECT_FALSE(pager().contains(&foreign));
  EXPECT_TRUE(pager().contains(start));
}

TEST_P(PagerTest, FollowsALowerLimit) {
  UZ_MAKE_PAGER(*this, config(24 * kMebibyte));
  constexpr std::uint64_t kPages = 16 * kMebibyte / kPageBytes;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  ASSERT_EQ(errno_of(pager().set_memory_limit(13 * kMebibyte)), 0);
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  EXPECT_LE(pager().stats().total_bytes(), 13 * kMebibyte + kMebibyte / 2);
  EXPECT_EQ(errno_of(pager().set_memory_limit(1)), EINVAL);
}

TEST_P(PagerTest, WorksWithoutThreadsOfItsOwn) {
  PagerConfig alone = config();
  alone.compressor_threads = 0;
  UZ_MAKE_PAGER(*this, alone);
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  EXPECT_EQ(first_wrong(start, kPages), kPages);
  const PagerStats stats = pager().stats();
  EXPECT_EQ(stats.assisted_pages, stats.packed_pages + stats.clean_drops);
  pager().check_invariants();
}

TEST(PagerConfigTest, RefusesSettingsOutOfTheirRange) {
  const auto code_with = [](auto change) {
    PagerConfig config = PagerFixture::config_of(PagerBackend::Signal);
    change(config);
    return errno_of(Pager::create(config));
  };
  EXPECT_EQ(code_with([](PagerConfig& c) { c.memory_limit_bytes = kLeastLimitBytes - 1; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) { c.page_cluster = 5; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) { c.swappiness = 201; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) { c.watermark_scale_factor = 3001; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) { c.watermark_scale_factor = 0; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) { c.algorithm = "rot13"; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) {
              c.level = 99;
              c.algorithm = "zstd";
            }),
            EINVAL);
  EXPECT_EQ(code_with([](PagerConfig& c) { c.fork_rule = ForkRule::Populate; }), EINVAL);
  EXPECT_EQ(code_with([](PagerConfig&) {}), 0);
}

TEST(PagerExplicit, KeepsWhatIsPinnedAndGivesItBackLater) {
  PagerFixture fixture;
  UZ_MAKE_PAGER(fixture, PagerFixture::config_of(PagerBackend::Explicit));
  Pager& pager = fixture.pager();
  constexpr std::uint64_t kPages = 12 * kMebibyte / kPageBytes;
  std::byte* const start = fixture.region(kPages * kPageBytes);
  constexpr std::uint64_t kStep = 64;
  for (std::uint64_t page = 0; page < kPages; page += kStep) {
    std::byte* const part = start + page * kPageBytes;
    ASSERT_EQ(errno_of(pager.pin(part, kStep * kPageBytes)), 0);
    PagerFixture::fill(part, kStep, page);
    ASSERT_EQ(errno_of(pager.unpin(part, kStep * kPageBytes)), 0);
  }
  for (std::uint64_t page = 0; page < kPages; page += kStep) {
    const std::byte* const part = start + page * kPageBytes;
    ASSERT_EQ(errno_of(pager.pin(part, kStep * kPageBytes, false)), 0);
    ASSERT_EQ(PagerFixture::first_wrong(part, kStep, page), kStep);
    ASSERT_EQ(errno_of(pager.unpin(part, kStep * kPageBytes)), 0);
  }
  EXPECT_EQ(pager.stats().faults, 0U);
  EXPECT_LE(pager.stats().total_bytes(), 8 * kMebibyte + kMebibyte / 2);
  pager.check_invariants();
}

}  // namespace
}  // namespace uzram
