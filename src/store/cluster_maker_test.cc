// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_maker.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "store/background_fixture.h"

namespace uzram {
namespace {

class ClusterMakerTest : public BackgroundTest {
 protected:
  [[nodiscard]] int error_of(const ClusterRequest& request) {
    return code_of(make_clusters(*store_, request, stop_));
  }
  static ClusterRequest request_of(std::size_t size, PageType type) {
    ClusterRequest request;
    request.cluster_pages = size;
    request.pages.type = type;
    return request;
  }
  [[nodiscard]] std::int64_t clusters() const { return store_->sums().clusters; }
  [[nodiscard]] std::size_t size_of(std::uint64_t page) const {
    return store_->cluster_slots().size(cluster_of(page));
  }
  [[nodiscard]] std::uint32_t users_of(std::uint64_t page) const {
    return store_->cluster_slots().users(cluster_of(page));
  }
  // Whether the pages are the members of one cluster, numbered in this order.
  [[nodiscard]] bool are_together(const std::vector<std::uint64_t>& pages) const {
    for (std::size_t i = 0; i < pages.size(); ++i) {
      if (state(pages[i]) != SlotState::Member || word(pages[i]).member_number() != i) return false;
      if (word(pages[i]).slot() != word(pages[0]).slot()) return false;
    }
    return size_of(pages[0]) == pages.size();
  }
  static std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t count,
                                          std::uint64_t step = 1) {
    std::vector<std::uint64_t> pages;
    for (std::uint64_t i = 0; i < count; ++i) pages.push_back(first + i * step);
    return pages;
  }
};

using Pages = std::vector<std::uint64_t>;

// --- what is asked for ---------------------------------------------------------------------------

TEST_F(ClusterMakerTest, RefusesSizesAndLevelsThatClustersDoNotHave) {
  make();
  write_pages(0, 4, PageKind::Text);
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{33}, std::size_t{64}, ~std::size_t{0}}) {
    EXPECT_EQ(error_of(request_of(size, PageType::All)), EINVAL) << size;
  }
  for (const int level : {0, 23, 100, -200'000}) {
    ClusterRequest request;
    request.level = level;
    EXPECT_EQ(error_of(request), EINVAL) << level;
  }
  EXPECT_EQ(clusters(), 0);
  expect_content();
}

TEST_F(ClusterMakerTest, FindsNothingOnAnEmptyDevice) {
  for (const std::uint64_t disk_pages : {1, 2, 600}) {
    make(disk_pages);
    EXPECT_EQ(cluster_pages(2).tried_pages, 0U);
    EXPECT_TRUE(cluster_pages(32).has_seen_all);
  }
}

TEST_F(ClusterMakerTest, LeavesAPageAloneThatHasNoNeighbours) {
  make(1);
  write_pages(0, 1, PageKind::Text);
  const SlotWord before = word(0);
  EXPECT_EQ(cluster_pages(2).changed_pages, 0U);
  EXPECT_EQ(word(0), before);
}

// --- what becomes of pages -----------------------------------------------------------------------

TEST_F(ClusterMakerTest, PacksEverySizeFromTwoToThirtyTwo) {
  for (std::size_t size = 2; size <= kMostClusterPages; ++size) {
    mirror_.clear();
    make(200);
    write_pages(3, size * 2, PageKind::Text);
    const std::uint64_t before = pool_bytes_of_all(*store_);
    const BackgroundOutcome outcome = cluster_pages(size);
    ASSERT_EQ(outcome.changed_pages, size * 2) << size;
    ASSERT_TRUE(are_together(range(3, size)) && are_together(range(3 + size, size))) << size;
    EXPECT_EQ(clusters(), 2);
    EXPECT_EQ(store_->sums().member_pages, static_cast<std::int64_t>(size * 2));
    EXPECT_GE(before, pool_bytes_of_all(*store_) + outcome.saved_bytes) << "a slot is counted too";
    EXPECT_LE(before, pool_bytes_of_all(*store_) + outcome.saved_bytes + 2 * sizeof(SlotWord));
    expect_content();
    reopen_store();
    expect_content();
    EXPECT_EQ(size_of(3), size) << "known again after a crash";
  }
}

TEST_F(ClusterMakerTest, NeedsLittleMemoryOnTheWayToLess) {
  make(8192);
  write_pages(0, 8192, PageKind::Text);
  store_->maintain();
  const std::uint64_t before = store_->pool().resident_pages();
  EXPECT_GT(cluster_pages(16).changed_pages, 8000U);
  EXPECT_LE(store_->pool().resident_pages_max(), before + before / 32 + 300);
  store_->maintain();
  EXPECT_LT(store_->pool().resident_pages(), before * 8 / 10);
  expect_content();
}

TEST_F(ClusterMakerTest, PacksPagesOfEveryKindTogether) {
  for (const char* first : {"lz4", "zstd", "842"}) {
    mirror_.clear();
    make(config_of(first, "zstd", 1024));
    Random random(9);
    for (std::uint64_t page = 0; page < 900; ++page)
      write(page, page_of(kPageKinds[random.below(kPageKinds.size())], random.below(50)));
    for (const std::size_t size : {std::size_t{4}, std::size_t{16}, std::size_t{32}}) {
      cluster_pages(size);
      expect_content();
    }
    EXPECT_GT(clusters(), 10);
    reopen_store();
    expect_content();
  }
}

TEST_F(ClusterMakerTest, PacksPagesThatOtherAlgorithmsHavePacked) {
  make(64);
  write_pages(0, 16, PageKind::Text);
  RecompressRequest recompress_first_half;
  recompress_first_half.most_pages = 8;
  recompress_pages(recompress_first_half);
  cluster_pages(16);
  EXPECT_TRUE(are_together(range(0, 16)));
  expect_content();
}

TEST_F(ClusterMakerTest, PacksRestsThatAreSmallerThanAsked) {
  make(64);
  write_pages(0, 19, PageKind::Text);
  cluster_pages(16);
  EXPECT_TRUE(are_together(range(0, 16)));
  EXPECT_TRUE(are_together(range(16, 3)));
  expect_content();
}

TEST_F(ClusterMakerTest, TakesEveryLevel) {
  make(64);
  write_pages(0, 16, PageKind::Text);
  std::uint64_t costs = pool_bytes_of_all(*store_);
  for (const int level : {-100, -1, 1, 3, 9, 19, 22}) {
    for (std::uint64_t page = 0; page < 16; ++page) write(page, Page(mirror_[page]));
    ClusterRequest request = request_of(16, PageType::All);
    request.level = level;
    ASSERT_EQ(cluster_pages(request).changed_pages, 16U) << level;
    expect_content();
    if (level == 1) costs = pool_bytes_of_all(*store_);
  }
  EXPECT_LT(pool_bytes_of_all(*store_), costs) << "level 22 packs smaller than level 1";
}

TEST_F(ClusterMakerTest, LeavesPagesThatDoNotShrink) {
  make(64);
  write_pages(0, 20, PageKind::Random);
  mark_idle(0, 20);
  const BackgroundOutcome outcome = cluster_pages(request_of(8, PageType::Idle));
  EXPECT_EQ(outcome.tried_pages, 20U);
  EXPECT_EQ(outcome.changed_pages, 0U);
  EXPECT_EQ(outcome.saved_bytes, 0U);
  EXPECT_EQ(clusters(), 0);
  EXPECT_EQ(cluster_pages(request_of(8, PageType::Idle)).tried_pages, 0U) << "not idle any more";
  expect_content();
}

TEST_F(ClusterMakerTest, LeavesPatternsIncompressiblePagesAndEmptyOnes) {
  make(64);
  write_pages(0, 4, PageKind::Random);
  recompress_pages();
  write(4, filled_page(7));
  write(5, filled_page(0x0123456789abcdef));
  write_pages(6, 1, PageKind::Text);
  free_page(6);
  write_pages(7, 2, PageKind::Text);
  EXPECT_EQ(cluster_pages(16).tried_pages, 2U);
  EXPECT_TRUE(are_together({7, 8}));
  expect_content();
}

TEST_F(ClusterMakerTest, ChangesNothingTheSecondTime) {
  make(256);
  write_pages(0, 96, PageKind::Text);
  cluster_pages(16);
  std::vector<SlotWord> before;
  for (std::uint64_t page = 0; page < 96; ++page) before.push_back(word(page));
  EXPECT_EQ(cluster_pages(16).changed_pages, 0U);
  EXPECT_EQ(cluster_pages(8).tried_pages, 0U) << "they are in larger clusters";
  for (std::uint64_t page = 0; page < 96; ++page) EXPECT_EQ(word(page), before[page]);
}

// --- which pages ---------------------------------------------------------------------------------

TEST_F(ClusterMakerTest, TakesIdlePagesInTheOrderOfTheDevice) {
  make();
  write_pages(0, 64, PageKind::Text);
  for (std::uint64_t page = 1; page < 64; page += 3) mark_idle(page, 1);
  EXPECT_EQ(cluster_pages(request_of(4, PageType::Idle)).changed_pages, 20U);
  EXPECT_TRUE(are_together({1, 4, 7, 10}));
  EXPECT_TRUE(are_together({49, 52, 55, 58}));
  EXPECT_EQ(state(61), SlotState::Packed) << "the one that is left";
  for (std::uint64_t page = 0; page < 64; page += 3) EXPECT_EQ(state(page), SlotState::Packed);
  expect_content();
}

TEST_F(ClusterMakerTest, TakesPagesOfTheAgesAskedFor) {
  make(64);
  write_pages(0, 32, PageKind::Text);
  for (std::uint64_t page = 0; page < 32; ++page) set_age(page, static_cast<int>(page % 8));
  ClusterRequest request = request_of(4, PageType::All);
  request.pages.least_age = 2;
  request.pages.below_age = 3;
  EXPECT_EQ(cluster_pages(request).tried_pages, 4U);
  EXPECT_TRUE(are_together(range(2, 4, 8)));
  request.pages = {.type = PageType::All, .least_age = 7};
  EXPECT_EQ(cluster_pages(request).tried_pages, 4U);
  EXPECT_TRUE(are_together(range(7, 4, 8)));
}

TEST_F(ClusterMakerTest, TakesRawPagesWhenTheyPackTogether) {
  make(64);
  // None packs alone: each is random. Together they are one page and its copies.
  const Page page = page_of(PageKind::Random, 3);
  for (std::uint64_t i = 0; i < 8; ++i) write(i, page);
  ASSERT_EQ(state(3), SlotState::Raw);
  const std::uint64_t before = pool_bytes_of_all(*store_);
  EXPECT_EQ(cluster_pages(request_of(8, PageType::Huge)).changed_pages, 8U);
  EXPECT_LT(pool_bytes_of_all(*store_), before / 6);
  EXPECT_EQ(store_->sums().raw_pages, 0);
  expect_content();
}

TEST_F(ClusterMakerTest, TakesNoPagesTogetherThatAreFarApart) {
  make(8192);
  for (const std::uint64_t page : {0, 10, 20, 5000, 5001, 8000})
    write(page, page_of(PageKind::Text, page));
  cluster_pages(4);
  EXPECT_TRUE(are_together({0, 10, 20}));
  EXPECT_TRUE(are_together({5000, 5001}));
  EXPECT_EQ(state(8000), SlotState::Packed);
  expect_content();
}

TEST_F(ClusterMakerTest, TriesNoMorePagesThanAskedFor) {
  make(64);
  write_pages(0, 40, PageKind::Text);
  ClusterRequest request = request_of(4, PageType::All);
  for (const std::uint64_t most : {0, 1, 4, 7}) {
    request.most_pages = most;
    const BackgroundOutcome outcome = cluster_pages(request);
    EXPECT_EQ(outcome.tried_pages, most);
    EXPECT_FALSE(outcome.has_seen_all);
  }
  expect_content();
}

TEST_F(ClusterMakerTest, StopsWhenToldOrWhenItsProcessorTimeIsSpent) {
  make(8192);
  write_pages(0, 2000, PageKind::Text);
  stop_ = true;
  EXPECT_EQ(cluster_pages(4).tried_pages, 0U);
  stop_ = false;
  ClusterRequest request = request_of(4, PageType::All);
  request.most_cpu = std::chrono::microseconds(0);
  const BackgroundOutcome outcome = cluster_pages(request);
  EXPECT_LE(outcome.tried_pages, 16U);
  EXPECT_FALSE(outcome.has_seen_all);
  request.most_cpu = std::chrono::minutes(10);
  EXPECT_TRUE(cluster_pages(request).has_seen_all);
}

// --- larger clusters out of smaller ones ---------------------------------------------------------

TEST_F(ClusterMakerTest, PacksFourTimesFourPagesAsSixteen) {
  make(128);
  write_pages(0, 64, PageKind::Text);
  cluster_pages(4);
  ASSERT_EQ(clusters(), 16);
  const std::uint64_t before = pool_bytes_of_all(*store_);
  const BackgroundOutcome outcome = cluster_pages(16);
  EXPECT_EQ(outcome.changed_pages, 64U);
  EXPECT_EQ(clusters(), 4);
  for (std::uint64_t first = 0; first < 64; first += 16)
    EXPECT_TRUE(are_together(range(first, 16)));
  EXPECT_LT(pool_bytes_of_all(*store_), before);
  EXPECT_EQ(store_->cluster_slots().taken(), 4U);
  expect_content();
  reopen_store();
  expect_content();
}

TEST_F(ClusterMakerTest, MixesPagesAndMembersOfSmallerClusters) {
  make(64);
  write_pages(0, 6, PageKind::Text);
  cluster_pages(2);
  write_pages(6, 10, PageKind::Text);
  cluster_pages(16);
  EXPECT_TRUE(are_together(range(0, 16)));
  EXPECT_EQ(clusters(), 1);
  expect_content();
}

TEST_F(ClusterMakerTest, LeavesClustersMoreThanHalfAsLarge) {
  make(64);
  write_pages(0, 9, PageKind::Text);
  cluster_pages(9);
  write_pages(9, 7, PageKind::Text);
  cluster_pages(16);
  EXPECT_TRUE(are_together(range(0, 9)));
  EXPECT_TRUE(are_together(range(9, 7)));
}

// --- mostly dead clusters ------------------------------------------------------------------------

TEST_F(ClusterMakerTest, PacksTheLivingPagesOfMostlyDeadClustersAgain) {
  make(64);
  write_pages(0, 32, PageKind::Text);
  cluster_pages(16);
  for (std::uint64_t page = 0; page < 32; page += 2) free_page(page);
  const std::uint64_t before = pool_bytes_of_all(*store_);
  ClusterRequest request = request_of(16, PageType::Idle);
  request.only_mostly_dead = true;
  EXPECT_EQ(cluster_pages(request).changed_pages, 16U) << "whatever the filter says";
  EXPECT_TRUE(are_together(range(1, 16, 2)));
  EXPECT_EQ(clusters(), 1);
  EXPECT_LT(pool_bytes_of_all(*store_), before * 6 / 10);
  expect_content();
}

TEST_F(ClusterMakerTest, LeavesClustersThatAreMoreThanHalfAlive) {
  make(64);
  write_pages(0, 16, PageKind::Text);
  cluster_pages(16);
  for (std::uint64_t page = 0; page < 7; ++page) free_page(page);
  EXPECT_EQ(cluster_pages(16).tried_pages, 0U);
  write_pages(20, 4, PageKind::Text);
  ClusterRequest request = request_of(16, PageType::All);
  request.only_mostly_dead = true;
  EXPECT_EQ(cluster_pages(request).tried_pages, 0U) << "nor pages alone";
  free_page(7);
  EXPECT_EQ(cluster_pages(request).tried_pages, 8U);
  expect_content();
}

TEST_F(ClusterMakerTest, LetsTheLastPageOfAClusterGo) {
  make(64);
  write_pages(0, 4, PageKind::Text);
  cluster_pages(4);
  for (const std::uint64_t page : {0, 1, 3}) free_page(page);
  const std::uint64_t before = pool_bytes_of_all(*store_);
  ClusterRequest request;
  request.only_mostly_dead = true;
  EXPECT_EQ(cluster_pages(request).changed_pages, 1U);
  EXPECT_EQ(state(2), SlotState::Packed);
  EXPECT_EQ(clusters(), 0);
  EXPECT_LT(pool_bytes_of_all(*store_), before);
  expect_content();
}

// --- limits and damage ---------------------------------------------------------------------------

TEST_F(ClusterMakerTest, PacksPagesAtTheLimit) {
  make();
  write_pages(0, 400, PageKind::Text);
  store_->compact();
  const std::uint64_t before = store_->pool().resident_pages();
  store_->pool().set_limit_pages(before);
  EXPECT_EQ(cluster_pages(16).changed_pages, 400U);
  store_->compact();
  EXPECT_LT(store_->pool().resident_pages(), before * 6 / 10);
  expect_content();
}

TEST_F(ClusterMakerTest, PassesOverDamagedClusters) {
  make(64);
  write_pages(0, 16, PageKind::Text);
  cluster_pages(4);
  const ArenaView view(*store_);
  view.object(word(5).slot().value)[100] ^= std::byte{1};
  const Result<BackgroundOutcome> outcome =
      make_clusters(*store_, request_of(16, PageType::All), stop_);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->changed_pages, 12U);
  for (std::uint64_t page = 0; page < 16; ++page)
    EXPECT_EQ(read_error(page), page / 4 == 1 ? EIO : 0) << "page " << page;
  store_->check_invariants();
  for (std::uint64_t page = 4; page < 8; ++page) write(page, Page(mirror_[page]));
  expect_content();
}

TEST_F(ClusterMakerTest, PassesOverWhatIsLeftOfADamagedCluster) {
  make(64);
  write_pages(0, 4, PageKind::Text);
  cluster_pages(4);
  free_page(0);
  free_page(1);
  const ArenaView view(*store_);
  view.object(word(2).slot().value)[100] ^= std::byte{1};
  ClusterRequest request;
  request.only_mostly_dead = true;
  const Result<BackgroundOutcome> outcome = make_clusters(*store_, request, stop_);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->changed_pages, 0U);
  EXPECT_EQ(read_error(2), EIO);
  free_page(2);
  free_page(3);
  EXPECT_EQ(clusters(), 0);
  expect_content();
}

// --- what it costs -------------------------------------------------------------------------------

// A cluster gives nothing back before its last page has left.
TEST_F(ClusterMakerTest, TakesNothingOutOfClustersThatStay) {
  make(64);
  write_pages(0, 32, PageKind::Text);
  cluster_pages(8);
  for (std::uint64_t first = 0; first < 32; first += 8) mark_idle(first, 3);
  EXPECT_EQ(cluster_pages(request_of(16, PageType::Idle)).changed_pages, 0U);
  EXPECT_EQ(clusters(), 4);
  expect_content();
}

TEST_F(ClusterMakerTest, LeavesTheOnlyIdlePageOfACluster) {
  make(64);
  write_pages(0, 4, PageKind::Text);
  cluster_pages(4);
  mark_idle(0, 1);
  EXPECT_EQ(cluster_pages(request_of(16, PageType::Idle)).changed_pages, 0U);
  EXPECT_EQ(state(0), SlotState::Member);
}

// The new cluster needs a slot before it gives others back.
TEST_F(ClusterMakerTest, PacksSmallClustersTogetherOnAFullDevice) {
  make(1024);
  write_pages(0, 1024, PageKind::Text);
  cluster_pages(2);
  ASSERT_EQ(clusters(), 512);
  EXPECT_EQ(cluster_pages(16).changed_pages, 1024U);
  EXPECT_EQ(clusters(), 64);
  expect_content();
}

TEST_F(ClusterMakerTest, PacksMostlyDeadClustersAgainOnAFullDevice) {
  make(1024);
  write_pages(0, 1024, PageKind::Text);
  cluster_pages(2);
  for (std::uint64_t page = 0; page < 1024; page += 2) write(page, Page(mirror_[page]));
  EXPECT_EQ(cluster_pages(16).changed_pages, 1024U);
  expect_content();
}

// As many clusters as there can be: every page in one of its own, whose other page is gone.
TEST_F(ClusterMakerTest, FindsASlotWhenEveryPageHasAClusterOfItsOwn) {
  make(512);
  write_pages(0, 512, PageKind::Text);
  const auto compressor = ClusterCompressor::make(1, 2).value();
  ASSERT_TRUE(store_->prepare_clusters(2));
  for (std::uint64_t page = 0; page < 512; ++page) {
    std::vector<std::byte> pages(2 * kPageBytes);
    std::vector<std::byte> stream(cluster_stream_room(2));
    const PageBuffer content(pages.data(), kPageBytes);
    ASSERT_TRUE(store_->read_and_mark({page}, word(page), content).value());
    const MutableBytes packed = MutableBytes(stream).subspan(kClusterCheckBytes);
    const std::size_t packed_bytes = compressor->compress(pages, packed).value();
    const Result<PageIndex> cluster = store_->add_cluster(stream, packed_bytes, 2);
    ASSERT_TRUE(cluster) << "cluster " << page;
    ASSERT_TRUE(store_->replace_marked({page}, SlotWord::member(*cluster, 0)));
    store_->drop_cluster_user(*cluster);  // The second page,
    store_->drop_cluster_user(*cluster);  // and whoever has made it.
  }
  ASSERT_EQ(clusters(), 512);
  expect_content();
  EXPECT_EQ(cluster_pages(16).changed_pages, 512U);
  EXPECT_EQ(clusters(), 32);
  expect_content();
}

// Clusters whose pages lie between each other's do not all fit into a new one.
TEST_F(ClusterMakerTest, TakesApartNoClustersThatLieBetweenEachOther) {
  for (const std::uint64_t step : {2, 3, 5}) {
    mirror_.clear();
    make(256);
    write_pages(0, 120, PageKind::Text);
    for (std::uint64_t first = 0; first < step; ++first) {
      for (std::uint64_t page = first; page < 120; page += step) mark_idle(page, 1);
      cluster_pages(request_of(6, PageType::Idle));
    }
    for (const std::size_t size : {12, 16, 17, 32}) {
      cluster_pages(size);
      expect_content();
    }
  }
}

// Random writes, reads, frees and requests: no request may cost more than it finds.
TEST_F(ClusterMakerTest, NeverCostsMoreThanBefore) {
  make(600);
  Random random(3);
  for (int round = 0; round < 150 && !HasFailure(); ++round) {
    for (int i = 0; i < 60; ++i) {
      const std::uint64_t page = random.below(600);
      const PageKind kind = kPageKinds[random.below(kPageKinds.size())];
      random.below(4) == 0 ? free_page(page) : write(page, page_of(kind, random.below(99)));
    }
    mark_idle(random.below(300), random.below(300));
    ClusterRequest request =
        request_of(2 + random.below(31), random.below(2) == 0 ? PageType::Idle : PageType::All);
    if (random.below(3) == 0) request.most_pages = random.below(200);
    if (random.below(4) == 0) request.first = {random.below(600)};
    cluster_pages(request);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
  expect_content();
}

// --- in steps ------------------------------------------------------------------------------------

class ClusterMakerSteps : public ClusterMakerTest {
 protected:
  // One step after another until all was seen. Returns: how many.
  int steps_to_the_end(ClusterRequest request) {
    for (int step = 1; step < 2000; ++step) {
      const BackgroundOutcome outcome = cluster_pages(request);
      if (outcome.has_seen_all) {
        EXPECT_EQ(outcome.next.value, 0U);
        return step;
      }
      EXPECT_GE(outcome.next.value, request.first.value) << "it never goes back";
      request.first = outcome.next;
    }
    return 2000;
  }
};

TEST_F(ClusterMakerSteps, GoOnWhereAPageCountEndedTheOneBefore) {
  make();
  write_pages(0, 1000, PageKind::Text);
  for (const std::uint64_t page : {3, 70, 71, 500}) free_page(page);
  ClusterRequest request = request_of(8, PageType::All);
  request.most_pages = 64;
  EXPECT_LE(steps_to_the_end(request), 17);
  EXPECT_EQ(clusters(), 125);
  EXPECT_EQ(store_->sums().member_pages, 996);
  expect_content();
}

TEST_F(ClusterMakerSteps, GoOnWhereProcessorTimeEndedTheOneBefore) {
  make();
  write_pages(0, 1000, PageKind::Text);
  ClusterRequest request = request_of(8, PageType::All);
  request.most_cpu = std::chrono::microseconds(2000);
  EXPECT_LT(steps_to_the_end(request), 1000);
  EXPECT_EQ(clusters(), 125) << "no step ends in the middle of a group";
  expect_content();
}

TEST_F(ClusterMakerSteps, PackSmallClustersTogether) {
  make();
  write_pages(0, 1000, PageKind::Text);
  cluster_pages(4);
  ClusterRequest request = request_of(16, PageType::All);
  request.most_pages = 16;
  EXPECT_LT(steps_to_the_end(request), 200);
  EXPECT_LE(clusters(), 64);
  expect_content();
}

TEST_F(ClusterMakerSteps, SeeChangesBehindThemNextTime) {
  make(64);
  write_pages(0, 32, PageKind::Text);
  ClusterRequest request = request_of(8, PageType::All);
  request.first = {16};
  const BackgroundOutcome outcome = cluster_pages(request);
  EXPECT_TRUE(outcome.has_seen_all);
  EXPECT_EQ(outcome.changed_pages, 16U);
  for (std::uint64_t page = 0; page < 16; ++page) EXPECT_EQ(state(page), SlotState::Packed);
  request.first = {store_->regions().cluster_end};
  EXPECT_TRUE(cluster_pages(request).has_seen_all);
  EXPECT_EQ(cluster_pages(8).changed_pages, 16U);
}

// --- with others at the same time ----------------------------------------------------------------

class ClusterMakerThread : public ClusterMakerTest {};

TEST_F(ClusterMakerThread, NeverPublishesWhatAWriterHasReplaced) {
  constexpr std::uint64_t kPages = 48;
  constexpr std::uint64_t kVersions = UZ_UNDER_SANITIZER ? 200 : 800;
  make(kPages);
  std::atomic<bool> is_over{false};
  std::atomic<std::uint64_t> changed{0};
  std::thread packer([&] {
    Random random(1);
    while (!is_over.load()) {
      const auto request = request_of(2 + random.below(31), PageType::All);
      const Result<BackgroundOutcome> outcome = make_clusters(*store_, request, stop_);
      UZ_CHECK(outcome.has_value() || outcome.error().code == ENOSPC);
      changed += outcome ? outcome->changed_pages : 0;
      if (random.below(8) == 0) store_->compact();
    }
  });
  for (std::uint64_t version = 1; version <= kVersions && !HasFailure(); ++version) {
    for (std::uint64_t page = version % 4; page < kPages; page += 4) {
      const auto kind = version % 5 == 0 ? PageKind::Records : PageKind::Text;
      write(page, page_of(kind, version * kPages + page));
    }
    for (std::uint64_t page = version % 7; page < kPages; page += 7)
      if (mirror_.count(page) != 0) touch(page);
    if (version % 6 == 0) free_page(version % kPages);
  }
  is_over = true;
  packer.join();
  expect_content();
  EXPECT_GT(changed.load(), 100U);
}

TEST_F(ClusterMakerThread, EndsSoonWhenAnotherThreadTellsIt) {
  make(8192);
  for (std::uint64_t page = 0; page < 6000; ++page)
    ASSERT_EQ(code_of(store_->write({page}, page_of(PageKind::Text, page % 16))), 0);
  Result<BackgroundOutcome> outcome;
  std::thread packer([&] {
    ClusterRequest request;
    request.level = 9;
    outcome = make_clusters(*store_, request, stop_);
  });
  while (state(0) != SlotState::Member) std::this_thread::yield();
  stop_ = true;
  packer.join();
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->has_seen_all);
  EXPECT_LT(outcome->changed_pages, 6000U);
}

}  // namespace
}  // namespace uzram
