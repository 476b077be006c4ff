// SPDX-License-Identifier: Apache-2.0
// Pages that are packed together: what a program sees is the same, what is kept is less.
#include "pager/pager_fixture.h"

namespace uzram {
namespace {

class PagerClusters : public EveryBackend {
 protected:
  static constexpr std::uint64_t kPages = 1024;
  // Without threads, so that nothing depends on who is faster.
  static PagerConfig alone(unsigned cluster_pages, std::uint64_t limit_bytes = 32 * kMebibyte) {
    PagerConfig quiet = config(limit_bytes);
    quiet.compressor_threads = 0;
    quiet.algorithm = "zstd";
    quiet.cluster_pages = cluster_pages;
    return quiet;
  }
  void put_all_away(std::byte* start) {
    ASSERT_EQ(errno_of(pager().page_out(start, kPages * kPageBytes)), 0);
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerClusters,
                         ::testing::Values(PagerBackend::Move, PagerBackend::Protect,
                                           PagerBackend::Signal),
                         backend_name);

// Neighbours have much in common that a page alone has only once.
void fill_related_page(std::byte* page, std::uint64_t seed) {
  fill_test_page(page, seed / 64);
  std::memcpy(page, &seed, sizeof seed);
}

TEST_P(PagerClusters, NeedLessThanPagesByThemselves) {
  std::vector<std::uint64_t> packed_bytes;
  for (const unsigned cluster_pages : {0U, 8U}) {
    UZ_MAKE_PAGER(*this, alone(cluster_pages));
    std::byte* const start = region(kPages * kPageBytes);
    const std::uint64_t before = pager().stats().packed_bytes;
    for (std::uint64_t page = 0; page < kPages; ++page)
      fill_related_page(start + page * kPageBytes, page);
    put_all_away(start);
    const PagerStats stats = pager().stats();
    EXPECT_EQ(stats.clustered_pages, cluster_pages == 0 ? 0 : kPages);
    EXPECT_EQ(stats.packed_pages, kPages);
    packed_bytes.push_back(stats.packed_bytes - before);
    for (std::uint64_t page = 0; page < kPages; ++page) {
      std::array<std::byte, kPageBytes> wanted;
      fill_related_page(wanted.data(), page);
      ASSERT_EQ(std::memcmp(start + page * kPageBytes, wanted.data(), kPageBytes), 0) << page;
    }
    pager().check_invariants();
    pager_.reset();
  }
  EXPECT_LT(packed_bytes[1] * 2, packed_bytes[0]);
}

TEST_P(PagerClusters, KeepTheirPagesWhileTheyAreOnlyRead) {
  UZ_MAKE_PAGER(*this, alone(4));
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  put_all_away(start);
  const std::uint64_t packed = pager().stats().packed_pages;
  for (int round = 0; round < 3; ++round) {
    ASSERT_EQ(first_wrong(start, kPages), kPages);
    put_all_away(start);
  }
  EXPECT_EQ(pager().stats().packed_pages, packed);
  EXPECT_EQ(pager().stats().clean_drops, 3 * kPages);
}

// A page that is written leaves its cluster; those that stay are packed anew before the dead are as
// many as the living.
TEST_P(PagerClusters, AreMadeAnewWhenTheirPagesAreWritten) {
  UZ_MAKE_PAGER(*this, alone(4));
  std::byte* const start = region(kPages * kPageBytes, AccessHint::Random);
  fill(start, kPages);
  put_all_away(start);
  const std::uint64_t fresh_bytes = pager().stats().packed_bytes;
  std::vector<std::uint64_t> seeds(kPages);
  for (std::uint64_t page = 0; page < kPages; ++page) seeds[page] = page;
  Random random(1);
  for (int round = 0; round < 40; ++round) {
    for (int i = 0; i < 200; ++i) {
      const std::uint64_t page = random.below(kPages);
      seeds[page] = random.next() % 100000;
      fill_test_page(start + page * kPageBytes, seeds[page]);
    }
    put_all_away(start);
  }
  EXPECT_GT(pager().stats().repacked_pages, kPages);
  // Without, all pages but one of every old cluster would still be there.
  EXPECT_LT(pager().stats().packed_bytes, fresh_bytes + fresh_bytes / 4);
  for (std::uint64_t page = 0; page < kPages; ++page)
    ASSERT_TRUE(is_test_page(start + page * kPageBytes, seeds[page])) << page;
  pager().check_invariants();
}

TEST_P(PagerClusters, HoldTheLimit) {
  PagerConfig busy = alone(8, 16 * kMebibyte);
  busy.compressor_threads = 1;
  UZ_MAKE_PAGER(*this, busy);
  constexpr std::uint64_t kMany = 8000;
  std::byte* const start = region(kMany * kPageBytes);
  for (std::uint64_t round = 0; round < 2; ++round) {
    fill(start, kMany, round);
    EXPECT_EQ(first_wrong(start, kMany, round), kMany);
    EXPECT_LE(pager().stats().total_bytes(), 16 * kMebibyte + 16 * kMebibyte / 16);
  }
  pager().check_invariants();
}

TEST_P(PagerClusters, AreForgottenPageByPage) {
  UZ_MAKE_PAGER(*this, alone(8));
  std::byte* const start = region(kPages * kPageBytes);
  fill(start, kPages);
  put_all_away(start);
  for (std::uint64_t page = 0; page < kPages; page += 2)
    ASSERT_EQ(errno_of(pager().drop(start + page * kPageBytes, kPageBytes)), 0);
  for (std::uint64_t page = 0; page < kPages; ++page) {
    if (page % 2 == 0)
      ASSERT_TRUE(is_zero_page(start + page * kPageBytes)) << page;
    else
      ASSERT_TRUE(is_test_page(start + page * kPageBytes, page)) << page;
  }
  pager().check_invariants();
}

TEST(PagerClusterConfig, NeedsZstdAndASensibleSize) {
  PagerConfig config = PagerFixture::config_of(PagerBackend::Signal, 32 * kMebibyte);
  config.cluster_pages = 8;
  EXPECT_EQ(errno_of(Pager::create(config)), EINVAL) << "lz4 makes none";
  config.algorithm = "zstd";
  EXPECT_EQ(errno_of(Pager::create(config)), 0);
  for (const unsigned pages : {1U, 33U}) {
    config.cluster_pages = pages;
    EXPECT_EQ(errno_of(Pager::create(config)), EINVAL) << pages;
  }
}

}  // namespace
}  // namespace uzram
