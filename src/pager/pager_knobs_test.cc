// SPDX-License-Identifier: Apache-2.0
// Each knob of swap, turned: the same accesses, and what becomes of them.
#include <unistd.h>

#include <cstdio>

#include "base/file_descriptor.h"
#include "pager/pager_fixture.h"

namespace uzram {
namespace {

class PagerKnobs : public EveryBackend {
 protected:
  static constexpr std::uint64_t kPages = 2048;
  // Without threads, so that nothing depends on who is faster.
  static PagerConfig alone(std::uint64_t limit_bytes = 16 * kMebibyte) {
    PagerConfig quiet = config(limit_bytes);
    quiet.compressor_threads = 0;
    return quiet;
  }
  // Faults of a scan over pages that are away.
  std::uint64_t faults_of_a_scan(std::byte* start) {
    EXPECT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
    const std::uint64_t before = pager().stats().faults;
    EXPECT_EQ(first_wrong(start, kPages), kPages);
    return pager().stats().faults - before;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerKnobs, backends_with_faults(), backend_name);

TEST_P(PagerKnobs, PageClusterDividesTheFaultsOfAScan) {
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  ASSERT_EQ(errno_of(pager().set_page_cluster(0)), 0);
  EXPECT_EQ(faults_of_a_scan(start), kPages);
  ASSERT_EQ(errno_of(pager().set_page_cluster(2)), 0);
  EXPECT_NEAR(static_cast<double>(faults_of_a_scan(start)), kPages / 4.0, 50);
  ASSERT_EQ(errno_of(pager().set_page_cluster(4)), 0);
  EXPECT_NEAR(static_cast<double>(faults_of_a_scan(start)), kPages / 16.0, 50);
  EXPECT_EQ(errno_of(pager().set_page_cluster(5)), EINVAL);
}

TEST_P(PagerKnobs, VmaReadaheadLeavesRandomFaultsAlone) {
  for (const bool has_vma_readahead : {true, false}) {
    PagerConfig each = alone();
    each.has_vma_readahead = has_vma_readahead;
    UZ_MAKE_PAGER(*this, each);
    std::byte* const start = region(kPages * kPageBytes);
    fill(start, kPages);
    ASSERT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
    const std::uint64_t before = pager().stats().readahead_pages;
    Random random(3);
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t page = random.below(kPages);
      ASSERT_TRUE(is_test_page(start + page * kPageBytes, page));
    }
    const std::uint64_t extra = pager().stats().readahead_pages - before;
    if (has_vma_readahead)
      EXPECT_LT(extra, 10U);
    else
      EXPECT_GT(extra, 400U);
    pager_.reset();
  }
}

TEST_P(PagerKnobs, HintsDecideHowFarAScanReadsAhead) {
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = region(kPages * kPageBytes, AccessHint::Random);
  fill(start, kPages);
  EXPECT_EQ(faults_of_a_scan(start), kPages);
  ASSERT_EQ(errno_of(pager().advise(start, AccessHint::Sequential)), 0);
  EXPECT_EQ(faults_of_a_scan(start), kPages / 16);
}

// Of an anonymous region and a file that are both used up, evenly: what reclaim takes.
double anonymous_share(Pager& pager, std::byte* anonymous, std::byte* file, std::uint64_t pages) {
  const PagerStats before = pager.stats();
  for (int round = 0; round < 4; ++round) {
    for (std::uint64_t page = 0; page < pages; ++page) {
      static_cast<void>(*static_cast<volatile std::byte*>(anonymous + page * kPageBytes));
      static_cast<void>(*static_cast<volatile std::byte*>(file + page * kPageBytes));
    }
  }
  const PagerStats after = pager.stats();
  const auto of_anonymous = static_cast<double>(after.anonymous_evicted - before.anonymous_evicted);
  const auto of_files = static_cast<double>(after.file_evicted - before.file_evicted);
  return of_anonymous / (of_anonymous + of_files);
}

TEST_P(PagerKnobs, SwappinessChoosesBetweenAnonymousMemoryAndFiles) {
  constexpr std::uint64_t kShare = 1600;
  std::FILE* const made = std::tmpfile();
  const FileDescriptor file(::dup(::fileno(made)));
  std::fclose(made);
  ASSERT_EQ(::ftruncate(file.get(), kShare * kPageBytes), 0);
  std::array<double, 3> shares{};
  const std::array<unsigned, 3> settings = {0, 100, 200};
  for (std::size_t i = 0; i < settings.size(); ++i) {
    PagerConfig each = alone(11 * kMebibyte);
    each.swappiness = settings[i];
    UZ_MAKE_PAGER(*this, each);
    std::byte* const anonymous = region(kShare * kPageBytes);
    fill(anonymous, kShare);
    const auto mapped = pager().map_file(file.get(), 0, kShare * kPageBytes);
    ASSERT_TRUE(mapped.has_value());
    shares[i] = anonymous_share(pager(), anonymous, *mapped, kShare);
    pager_.reset();
  }
  EXPECT_LT(shares[0], shares[1] - 0.15) << "0 spares anonymous memory";
  EXPECT_GT(shares[2], shares[1] + 0.15) << "200 spares files";
}

TEST_P(PagerKnobs, WatermarksKeepThatMuchFree) {
  for (const unsigned scale : {10U, 1000U}) {
    PagerConfig each = config(8 * kMebibyte);
    each.watermark_scale_factor = scale;
    each.compressor_threads = 1;
    UZ_MAKE_PAGER(*this, each);
    std::byte* const start = region(8 * kMebibyte);
    fill(start, 2048);
    const PagerStats stats = pager().stats();
    EXPECT_GT(stats.high_watermark_bytes, stats.low_watermark_bytes);
    if (scale == 1000)
      EXPECT_GT(stats.low_watermark_bytes, 8 * kMebibyte / 10);
    else
      EXPECT_LT(stats.high_watermark_bytes, 8 * kMebibyte / 40);
    // The background works until there is room above the low mark, however long that takes here.
    for (int tries = 0; tries < 5000; ++tries) {
      if (pager().stats().total_bytes() + stats.low_watermark_bytes <= stats.limit_bytes) break;
      ::usleep(1000);
    }
    EXPECT_LE(pager().stats().total_bytes() + stats.low_watermark_bytes, stats.limit_bytes);
    pager_.reset();
  }
}

TEST_P(PagerKnobs, RefaultsAreCountedWithinTheResidentSizeOnly) {
  UZ_MAKE_PAGER(*this, alone(8 * kMebibyte));
  constexpr std::uint64_t kMany = 6000;
  std::byte* const start = region(kMany * kPageBytes);
  fill(start, kMany);
  // Pages that went long ago: far more has been replaced since.
  const std::uint64_t far = pager().stats().refaults;
  ASSERT_EQ(first_wrong(start, 500), 500U);
  EXPECT_EQ(pager().stats().refaults, far);
  // And pages that have just gone.
  ASSERT_EQ(errno_of(pager().page_out(start, 200 * kPageBytes)), 0);
  ASSERT_EQ(errno_of(pager().advise(start, AccessHint::Random)), 0);
  ASSERT_EQ(first_wrong(start, 200), 200U);
  EXPECT_EQ(pager().stats().refaults, far + 200);
}

TEST_P(PagerKnobs, StallsAreTheTimeOfFaults) {
  UZ_MAKE_PAGER(*this, alone(8 * kMebibyte));
  std::byte* const start = region(4000 * kPageBytes);
  EXPECT_EQ(pager().stats().stall_nanoseconds, 0U);
  fill(start, 4000);
  const PagerStats stats = pager().stats();
  EXPECT_GT(stats.stall_nanoseconds, stats.faults * 500) << "no fault takes half a microsecond";
  EXPECT_LE(stats.stall_avg10, 100.0);
}

TEST_P(PagerKnobs, ColdMemoryLeavesBeforeAllOther) {
  constexpr std::uint64_t kOften = 600;
  constexpr std::uint64_t kRarely = 4000;
  std::vector<std::uint64_t> faults;
  for (const AccessHint hint : {AccessHint::Normal, AccessHint::Cold}) {
    UZ_MAKE_PAGER(*this, alone(8 * kMebibyte));
    std::byte* const often = region(kOften * kPageBytes, AccessHint::Random);
    std::byte* const rarely = region(kRarely * kPageBytes);
    ASSERT_EQ(errno_of(pager().advise(rarely, hint)), 0);
    fill(often, kOften);
    fill(rarely, kRarely, kOften);
    const std::uint64_t before = pager().stats().faults;
    EXPECT_EQ(first_wrong(often, kOften), kOften);
    faults.push_back(pager().stats().faults - before);
    EXPECT_EQ(first_wrong(rarely, kRarely, kOften), kRarely);
    pager().check_invariants();
    pager_.reset();
  }
  EXPECT_EQ(faults[0], kOften) << "everything that was there went, one after another";
  EXPECT_LT(faults[1], kOften / 10);
}

// In sparse memory a cluster of 64 has but a few pages, and staging holds as many clusters more.
TEST_P(PagerKnobs, StagingHoldsItsPagesHoweverFewThereAreInACluster) {
  UZ_MAKE_PAGER(*this, alone(16 * kMebibyte));
  constexpr std::uint64_t kStep = 16;
  constexpr std::uint64_t kMany = 4000;
  std::byte* const start = region(kMany * kStep * kPageBytes, AccessHint::Random);
  for (std::uint64_t i = 0; i < kMany; ++i) fill_test_page(start + i * kStep * kPageBytes, i);
  constexpr std::uint64_t kFullClusters = 16 * kMebibyte / 16 / (64 * kPageBytes);
  EXPECT_GT(pager().stats().staged_bytes, 4 * kFullClusters * (64 / kStep) * kPageBytes)
      << "far more clusters than if each had all of its pages";
  pager().check_invariants();
}

TEST_P(PagerKnobs, StagingGivesPagesASecondChance) {
  UZ_MAKE_PAGER(*this, alone(8 * kMebibyte));
  std::byte* const start = region(4000 * kPageBytes, AccessHint::Random);
  // Half of all touches go to a few pages.
  Random random(8);
  fill(start, 4000);
  for (int i = 0; i < 20000; ++i) {
    const std::uint64_t page = random.below(2) == 0 ? random.below(40) * 100 : random.below(4000);
    ASSERT_TRUE(is_test_page(start + page * kPageBytes, page));
  }
  EXPECT_GT(pager().stats().staging_hits, 150U);
}

}  // namespace
}  // namespace uzram
