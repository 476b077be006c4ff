// SPDX-License-Identifier: Apache-2.0
// Pages that go to the backing store and come back, on a store that works.
#include "store/writeback.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>

#include "store/writeback_fixture.h"

namespace uzram {
namespace {

using Pages = std::vector<std::uint64_t>;

class WritebackPages : public WritebackTest {
 protected:
  // Pages 0-9 text, 10-14 random (raw), 15-19 random and known not to shrink, 20 and 21 patterns.
  void fill() {
    make_backed();
    write_pages(15, 5, PageKind::Random);
    recompress_pages();
    write_pages(0, 10, PageKind::Text);
    write_pages(10, 5, PageKind::Random);
    write(20, filled_page(7));
    write(21, filled_page(0x0123456789abcdef));
    for (const std::uint64_t page : {3, 4, 12, 17}) mark_idle(page, 1);
  }
  // Pages 0-63 in clusters of 8.
  void fill_clusters() {
    make_backed();
    write_pages(0, 64, PageKind::Text);
    cluster_pages(8);
    ASSERT_EQ(store_->sums().clusters, 8);
  }
  void read_all() { expect_content(); }
  static Pages range(std::uint64_t first, std::uint64_t last) {
    Pages pages;
    for (std::uint64_t page = first; page <= last; ++page) pages.push_back(page);
    return pages;
  }
};

// --- which pages ---------------------------------------------------------------------------------

TEST_F(WritebackPages, GoAsTheFilterSays) {
  const std::vector<std::pair<PageType, Pages>> rows = {
      {PageType::Idle, {3, 4, 12, 17}}, {PageType::Huge, range(10, 19)},
      {PageType::HugeIdle, {12, 17}},   {PageType::Incompressible, range(15, 19)},
      {PageType::All, range(0, 19)},
  };
  for (const auto& [type, expected] : rows) {
    fill();
    const WritebackOutcome outcome = write_back_type(type);
    EXPECT_EQ(outcome.written_pages, expected.size());
    EXPECT_EQ(outcome.error, 0);
    EXPECT_TRUE(outcome.has_seen_all);
    EXPECT_EQ(outcome.next.value, 0U);
    EXPECT_EQ(pages_away(), expected);
    EXPECT_EQ(store_->sums().written_pages, static_cast<std::int64_t>(expected.size()));
    read_all();
    EXPECT_EQ(pages_away(), Pages{}) << "there is room in memory";
    EXPECT_EQ(counters().blocks_in_use, 0U);
  }
}

TEST_F(WritebackPages, GoByAge) {
  fill();
  for (std::uint64_t page = 0; page < 8; ++page) set_age(page, static_cast<int>(page));
  WritebackRequest request;
  request.pages.least_age = 3;
  request.pages.below_age = 6;
  EXPECT_EQ(write_back_pages(request).written_pages, 3U);
  EXPECT_EQ(pages_away(), (Pages{3, 4, 5}));
}

TEST_F(WritebackPages, GoByNumber) {
  fill();
  WritebackRequest request;
  request.ranges = {{{2}, {4}}, {{13}, {13}}, {{20}, {300}}, {{3}, {3}}};
  EXPECT_EQ(write_back_pages(request).written_pages, 4U);
  EXPECT_EQ(pages_away(), (Pages{2, 3, 4, 13}));
  EXPECT_EQ(write_back_pages(request).tried_pages, 0U) << "they are away";
  read_all();
}

TEST_F(WritebackPages, ThatHaveAPatternOrNothingStay) {
  fill();
  write_back_all();
  EXPECT_EQ(state(20), SlotState::Same);
  EXPECT_EQ(state(21), SlotState::SameStored);
  EXPECT_EQ(write_back_all().tried_pages, 0U);
  EXPECT_EQ(store_->sums().same_pages, 2);
}

// --- clusters ------------------------------------------------------------------------------------

TEST_F(WritebackPages, OfAClusterGoTogetherWhenAllAreWanted) {
  fill_clusters();
  mark_idle(8, 8);
  mark_idle(16, 7);
  const WritebackOutcome outcome = write_back_type(PageType::Idle);
  EXPECT_EQ(outcome.written_pages, 8U);
  EXPECT_EQ(outcome.written_blocks, bytes_to_pages(counters().live_bytes));
  EXPECT_EQ(pages_away(), range(8, 15));
  EXPECT_EQ(store_->sums().written_clusters, 1);
  const std::uint64_t reads = counters().blocks_read;
  read_all();
  EXPECT_EQ(pages_away(), Pages{});
  EXPECT_LE(counters().blocks_read - reads, outcome.written_blocks) << "one read for all of them";
}

TEST_F(WritebackPages, OfAClusterGoWhenOnlyTheLivingAreWanted) {
  fill_clusters();
  for (std::uint64_t page = 8; page < 13; ++page) free_page(page);
  mark_idle(13, 3);
  EXPECT_EQ(write_back_type(PageType::Idle).written_pages, 3U);
  EXPECT_EQ(pages_away(), range(13, 15));
  free_page(13);
  write(14, page_of(PageKind::Text, 500));
  expect_sound();
  EXPECT_EQ(pages_away(), Pages{15});
  read_all();
}

TEST_F(WritebackPages, OfAClusterStayWhenOneIsAskedForManyTimes) {
  fill_clusters();
  WritebackRequest request;
  for (int i = 0; i < 8; ++i) request.ranges.push_back({{9}, {9}});
  EXPECT_EQ(write_back_pages(request).written_pages, 0U) << "nobody has asked for its neighbours";
  EXPECT_EQ(pages_away(), Pages{});
  EXPECT_EQ(write_back_range(8, 15).written_pages, 8U);
}

TEST_F(WritebackPages, OfAClusterLeaveItOnTheBackingStoreOneByOne) {
  fill_clusters();
  write_back_all();
  EXPECT_EQ(pages_away(), range(0, 63));
  for (std::uint64_t page = 0; page < 64; ++page) {
    if (page % 3 == 0) free_page(page);
    if (page % 3 == 1) write(page, page_of(PageKind::Records, page));
    if (page % 3 == 2) write_part(page, 100, ConstBytes(page_of(PageKind::Text, page)).first(50));
    expect_sound();
  }
  EXPECT_EQ(store_->sums().clusters, 0);
  EXPECT_EQ(counters().blocks_in_use, 0U);
  read_all();
}

TEST_F(WritebackPages, OfEverySizeOfClusterComeBack) {
  for (std::size_t size = 2; size <= kMostClusterPages; size += size < 8 ? 1 : 6) {
    make_backed();
    write_pages(1, size, PageKind::HalfRandom);
    cluster_pages(size);
    write_back_all();
    EXPECT_EQ(pages_away(), range(1, size)) << size;
    reopen_backed();
    read_all();
    EXPECT_EQ(pages_away(), Pages{}) << size;
    reopen_backed();
    read_all();
  }
}

// --- how pages are written -----------------------------------------------------------------------

TEST_F(WritebackPages, StayPackedOrAreWrittenAsTheyWere) {
  for (const bool keeps : {true, false}) {
    make_backed();
    write_pages(0, 100, PageKind::Text);
    const std::int64_t packed = store_->sums().packed_bytes;
    WritebackRequest request;
    request.keep_packed = keeps;
    const WritebackOutcome outcome = write_back_pages(request);
    ASSERT_EQ(outcome.written_pages, 100U);
    EXPECT_EQ(store_->sums().packed_bytes, 0);
    if (keeps) {
      EXPECT_LT(outcome.written_blocks * kPageBytes, static_cast<std::uint64_t>(packed) * 11 / 10);
    } else {
      EXPECT_EQ(outcome.written_blocks, 100U);
    }
    read_all();
    EXPECT_EQ(store_->sums().packed_bytes, packed) << "packed again as they were";
  }
}

TEST_F(WritebackPages, OfEveryKindAndAlgorithmComeBack) {
  for (const bool has_checks : {true, false}) {
    for (const bool encrypts : {true, false}) {
      for (const bool keeps : {true, false}) {
        StoreConfig config = config_of("lzo-rle", "zstd", 600);
        config.has_page_checks = has_checks;
        config.backing.encrypts = encrypts;
        make_backed(config);
        for (std::uint64_t page = 0; page < 400; ++page)
          write(page, page_of(kPageKinds[page % kPageKinds.size()], page));
        RecompressRequest some;
        some.most_pages = 60;
        recompress_pages(some);
        ClusterRequest clusters;
        clusters.most_pages = 80;
        cluster_pages(clusters);
        const Page text = mirror_[3];
        WritebackRequest request;
        request.keep_packed = keeps;
        EXPECT_EQ(write_back_pages(request).error, 0);
        EXPECT_GT(pages_away().size(), 200U);
        EXPECT_EQ(disk_->holds(ConstBytes(text)),
                  !keeps && !encrypts && is_away(3) && word(3).state() == SlotState::WrittenBack);
        read_all();
        write_back_pages(request);
        reopen_backed();
        read_all();
        expect_sound();
      }
    }
  }
}

TEST_F(WritebackPages, KeepTheirFlagThatTheyDoNotShrink) {
  fill();
  write_back_all();
  for (std::uint64_t page = 15; page < 20; ++page) EXPECT_TRUE(word(page).is_incompressible());
  reopen_backed();
  read_all();
  for (std::uint64_t page = 15; page < 20; ++page) {
    EXPECT_EQ(state(page), SlotState::Raw);
    EXPECT_TRUE(word(page).is_incompressible());
  }
  EXPECT_EQ(recompress_pages().tried_pages, 15U) << "the others alone";
}

TEST_F(WritebackPages, ComeBackByTheAlgorithmThatPackedThem) {
  make_backed();
  write_pages(0, 30, PageKind::Text);
  recompress_pages();
  ASSERT_EQ(word(3).priority(), 1);
  const std::size_t packed_bytes = word(3).packed_bytes();
  write_back_all();
  read_all();
  EXPECT_EQ(word(3).priority(), 1);
  EXPECT_EQ(word(3).packed_bytes(), packed_bytes);
}

TEST_F(WritebackPages, OfBadContentStayWhereTheyAre) {
  for (const bool keeps : {true, false}) {
    make_backed();
    write_pages(0, 10, PageKind::Text);
    ArenaView(*store_).object(4)[20] ^= std::byte{1};
    WritebackRequest request;
    request.keep_packed = keeps;
    const WritebackOutcome outcome = write_back(*store_, request, stop_);
    EXPECT_EQ(outcome.written_pages, 9U);
    EXPECT_FALSE(is_away(4));
    EXPECT_FALSE(word(4).is_marked());
    EXPECT_EQ(read_error(4), EIO);
    write(4, page_of(PageKind::Text, 4));
    read_all();
  }
}

// --- limits --------------------------------------------------------------------------------------

TEST_F(WritebackPages, TakeNoMoreBlocksThanAllowed) {
  // Sizes that tempt: many small ones, a little more than half a block, whole blocks, and all
  // mixed.
  for (const std::size_t random_bytes : {20, 40, 2020, 2040, 3000, 4096, 0}) {
    for (const std::uint64_t most : {0, 1, 2, 3, 7, 65, 130}) {
      make_backed(config_of("lz4", "zstd", 1200));
      for (std::uint64_t page = 0; page < 1000; ++page) {
        const std::size_t bytes = random_bytes != 0 ? random_bytes : 20 + page * 211 % 4000;
        write(page, page_with_random_bytes(bytes, page));
      }
      WritebackRequest request;
      request.most_blocks = most;
      const WritebackOutcome outcome = write_back_pages(request);
      ASSERT_LE(outcome.written_blocks, most) << random_bytes;
      EXPECT_EQ(outcome.written_blocks, counters().blocks_written);
      EXPECT_EQ(counters().blocks_in_use, outcome.written_blocks);
      const bool is_enough = outcome.written_pages == 1000;
      EXPECT_EQ(outcome.is_limit_reached, !is_enough);
      EXPECT_EQ(outcome.has_seen_all, is_enough);
      if (!is_enough) {
        EXPECT_GE(outcome.written_blocks + 2, most) << "it stopped too early, " << random_bytes;
      }
    }
  }
}

TEST_F(WritebackPages, GoOnWhereTheLimitStoppedThem) {
  for (const bool by_pages : {false, true}) {
    make_backed();
    write_pages(0, 50, PageKind::Random);
    WritebackRequest request;
    (by_pages ? request.most_pages : request.most_blocks) = 7;
    std::uint64_t written = 0;
    for (int step = 0; step < 8; ++step) {
      const WritebackOutcome outcome = write_back_pages(request);
      written += outcome.written_pages;
      EXPECT_EQ(outcome.has_seen_all, step == 7);
      EXPECT_EQ(pages_away(), written == 0 ? Pages{} : range(0, written - 1)) << "none left out";
      request.first = outcome.next;
    }
    EXPECT_EQ(written, 50U);
    EXPECT_EQ(request.first.value, 0U);
  }
}

TEST_F(WritebackPages, StandStillWhenNothingMayBeDone) {
  make_backed();
  write_pages(0, 50, PageKind::Text);
  WritebackRequest request;
  request.first = {20};
  request.most_pages = 0;
  EXPECT_EQ(write_back_pages(request).next.value, 20U);
  request.most_pages.reset();
  stop_ = true;
  EXPECT_EQ(write_back_pages(request).next.value, 20U);
  stop_ = false;
  EXPECT_EQ(write_back_pages(request).written_pages, 30U);
  EXPECT_EQ(pages_away(), range(20, 49));
}

TEST_F(WritebackPages, StopWhenTheirProcessorTimeIsSpent) {
  make_backed(5000);
  write_pages(0, 1500, PageKind::Text);
  WritebackRequest request;
  request.most_cpu = std::chrono::microseconds(0);
  const WritebackOutcome outcome = write_back_pages(request);
  EXPECT_LE(outcome.tried_pages, 16U);
  EXPECT_FALSE(outcome.has_seen_all);
  request.most_cpu = std::chrono::minutes(5);
  EXPECT_TRUE(write_back_pages(request).has_seen_all);
}

TEST_F(WritebackPages, FillTheStoreAndSayThatItIsFull) {
  disk_ = std::make_unique<FakeDisk>(40);
  make_backed();
  write_pages(0, 100, PageKind::Random);
  const WritebackOutcome outcome = write_back_all();
  EXPECT_EQ(outcome.error, ENOSPC);
  EXPECT_EQ(outcome.written_pages, 40U);
  EXPECT_FALSE(outcome.has_seen_all);
  EXPECT_EQ(counters().blocks_in_use, 40U);
  EXPECT_EQ(write_back_all().error, ENOSPC);
  for (std::uint64_t page = 0; page < 10; ++page) free_page(page);
  EXPECT_EQ(write_back_all().written_pages, 10U) << "freed blocks are used again";
  read_all();
}

TEST_F(WritebackPages, NeedABackingStore) {
  make(64);
  write_pages(0, 10, PageKind::Text);
  EXPECT_EQ(write_back(*store_, {}, stop_).error, ENODEV);
}

// --- what happens meanwhile ----------------------------------------------------------------------

class WritebackMeanwhile : public WritebackPages {
 protected:
  // Writes are on their way and wait; then something happens; then they arrive.
  template <typename Work>
  WritebackOutcome write_back_while(Work work) {
    disk_->hold_up();
    WritebackOutcome outcome;
    std::thread writer([&] { outcome = write_back(*store_, {}, stop_); });
    while (disk_->request_count(FakeDisk::Kind::Write) == 0) std::this_thread::yield();
    work();
    disk_->let_go();
    writer.join();
    expect_sound();
    return outcome;
  }
};

TEST_F(WritebackMeanwhile, PagesThatAreUsedStay) {
  make_backed();
  write_pages(0, 40, PageKind::Text);
  const WritebackOutcome outcome = write_back_while([&] {
    touch(3);
    write(5, page_of(PageKind::Text, 700));
    free_page(7);
    write_part(9, 0, ConstBytes(page_of(PageKind::Text, 3)).first(10));
    write_part(11, 0, ConstBytes(mirror_[11]).first(10));
    store_->compact();
  });
  EXPECT_EQ(outcome.written_pages, 35U);
  for (const std::uint64_t page : {3, 5, 7, 9, 11}) EXPECT_FALSE(is_away(page)) << page;
  read_all();
  EXPECT_EQ(counters().blocks_in_use, 0U);
}

TEST_F(WritebackMeanwhile, PagesThatAreMarkedIdleGoAllTheSame) {
  make_backed();
  write_pages(0, 40, PageKind::Text);
  EXPECT_EQ(write_back_while([&] { mark_all_idle(*store_); }).written_pages, 40U);
  read_all();
}

TEST_F(WritebackMeanwhile, AClusterThatIsReadStays) {
  fill_clusters();
  const WritebackOutcome outcome = write_back_while([&] { touch(20); });
  EXPECT_EQ(outcome.written_pages, 56U);
  for (std::uint64_t page = 16; page < 24; ++page) EXPECT_FALSE(is_away(page));
  read_all();
}

TEST_F(WritebackMeanwhile, AClusterThatDiesStaysDead) {
  fill_clusters();
  write_back_while([&] {
    for (std::uint64_t page = 16; page < 24; ++page) free_page(page);
    for (std::uint64_t page = 32; page < 40; ++page) write(page, page_of(PageKind::Random, page));
  });
  EXPECT_EQ(store_->sums().clusters, 6);
  read_all();
}

TEST_F(WritebackMeanwhile, AClusterThatLosesPagesGoesWithTheRest) {
  fill_clusters();
  const WritebackOutcome outcome = write_back_while([&] {
    free_page(17);
    write(18, page_of(PageKind::Random, 18));
  });
  EXPECT_EQ(outcome.written_pages, 62U);
  EXPECT_TRUE(is_away(16));
  EXPECT_FALSE(is_away(18));
  read_all();
}

TEST_F(WritebackMeanwhile, ASharedSlotThatTakesOtherContentStays) {
  StoreConfig config = config_of("lz4", "zstd", 300);
  config.uses_dedup = true;
  make_backed(config);
  const std::vector<std::uint64_t> sharing = {0, 1, 299};
  for (const std::uint64_t page : sharing) write(page, page_of(PageKind::Text, 1000));
  write_pages(2, 200, PageKind::Random);  // Enough for writes to begin before page 299's turn.
  const PageIndex slot = word(0).slot();
  disk_->before_next(FakeDisk::Kind::Write, [&] {
    for (const std::uint64_t page : sharing) free_page(page);
    for (const std::uint64_t page : sharing) write(page, page_of(PageKind::Text, 2000));
    ASSERT_EQ(word(299).slot(), slot);
  });
  EXPECT_EQ(write_back_range(0, 299).written_pages, 200U);
  expect_content();
}

// --- coming back ---------------------------------------------------------------------------------

TEST_F(WritebackPages, ComeBackOnlyWhereThereIsRoom) {
  make_backed();
  write_pages(0, 100, PageKind::Random);
  write_back_range(0, 59);
  store_->compact();
  const std::uint64_t limit = store_->pool().resident_pages() + 8;
  store_->pool().set_limit_pages(limit);
  for (int round = 0; round < 3; ++round) {
    read_all();
    EXPECT_LE(store_->pool().resident_pages(), limit);
    EXPECT_GE(pages_away().size(), 52U);
    expect_sound();
  }
  EXPECT_LT(pages_away().size(), 60U) << "a few have found room";
  store_->pool().set_limit_pages(0);
  read_all();
  EXPECT_EQ(pages_away(), Pages{});
}

TEST_F(WritebackPages, OfAClusterAreReadAtTheLimit) {
  fill_clusters();
  write_back_all();
  write_pages(100, 20, PageKind::Random);
  store_->pool().set_limit_pages(1);
  for (int round = 0; round < 3; ++round) {
    read_all();
    EXPECT_EQ(store_->sums().written_clusters, 8);
  }
  expect_sound();
}

TEST_F(WritebackPages, BringTheirNeighboursAlong) {
  make_backed();
  write_pages(0, 400, PageKind::Text);
  write_back_all();
  const std::uint64_t blocks = counters().blocks_written;
  ASSERT_LT(blocks, 400U);
  read_all();
  EXPECT_EQ(store_->pages_brought_back(), 400U);
  EXPECT_LE(counters().blocks_read, blocks * 2)
      << "a block is read once, at most at both ends twice";
  EXPECT_LT(disk_->request_count(FakeDisk::Kind::Read), blocks / 2) << "several blocks at once";
}

TEST_F(WritebackPages, AreFoundAgainWhenTheirBlocksTakeOtherContentMeanwhile) {
  disk_ = std::make_unique<FakeDisk>(1);
  make_backed();
  write_pages(0, 2, PageKind::Text);
  write_back_range(0, 0);
  const BackingPosition place = word(0).place();
  disk_->before_next(FakeDisk::Kind::Read, [&] {
    touch(0);  // Back in memory,
    write_back_range(1, 1);
    ASSERT_EQ(word(1).place().value, place.value);
  });
  touch(0);
  expect_content();
}

// The block in which an object begins stays what it was, as another object there is alive; the one
// in which it ends takes other content.
TEST_F(WritebackPages, AreFoundAgainWhenTheirLastBlockTakesOtherContentMeanwhile) {
  disk_ = std::make_unique<FakeDisk>(2);
  make_backed();
  write_pages(0, 40, PageKind::Text);
  write_pages(100, 1, PageKind::Random);
  write_back_range(0, 39);
  std::uint64_t page = 0;
  while (word(page + 1).place().value < kStepsPerBlock) ++page;
  ASSERT_GT(word(page + 1).place().value, kStepsPerBlock) << "the page before lies in both blocks";
  const Pages away = pages_away();
  disk_->before_next(FakeDisk::Kind::Read, [&] {
    for (const std::uint64_t other : away)
      if (other >= page) write(other, page_of(PageKind::Text, 500 + other));
    write_back_range(100, 100);
    ASSERT_EQ(word(100).place().value, kStepsPerBlock);
  });
  touch(page);
  expect_content();
}

TEST_F(WritebackPages, OfAClusterAreFoundAgainWhenItsLastBlocksTakeOtherContentMeanwhile) {
  disk_ = std::make_unique<FakeDisk>(8);
  fill_clusters();
  write_pages(100, 8, PageKind::Random);
  write_back_range(0, 63);
  ASSERT_TRUE(is_away(0) && is_away(8));
  const std::uint64_t place = store_->word_of_slot(cluster_of(8)).place().value;
  ASSERT_NE(place % kStepsPerBlock, 0U) << "the first cluster ends in this block";
  disk_->before_next(FakeDisk::Kind::Read, [&] {
    for (std::uint64_t page = 8; page < 64; ++page)
      write(page, page_of(PageKind::Text, 500 + page));
    write_back_range(100, 107);
    ASSERT_EQ(counters().blocks_in_use, 8U);
  });
  touch(8);
  expect_content();
}

TEST_F(WritebackPages, BringNoNeighboursThatHaveChanged) {
  make_backed();
  write_pages(0, 16, PageKind::Text);
  write_back_all();
  write(2, page_of(PageKind::Text, 900));
  free_page(3);
  touch(1);
  read_all();
  expect_sound();
}

TEST_F(WritebackPages, AreFreedThereWhenTheyChange) {
  make_backed();
  write_pages(0, 30, PageKind::Random);
  write_back_all();
  EXPECT_EQ(counters().blocks_in_use, 30U);
  write(0, page_of(PageKind::Text, 0));
  write(1, filled_page(3));
  free_page(2);
  EXPECT_EQ(counters().blocks_in_use, 27U);
  write_part(3, 1, ConstBytes(mirror_[0]).first(7));
  expect_sound();
  EXPECT_FALSE(is_away(3));
  store_->free({0}, 600);
  mirror_.clear();
  EXPECT_EQ(counters().blocks_in_use, 0U);
  read_all();
}

TEST_F(WritebackPages, AreReadInParts) {
  make_backed();
  write_pages(0, 30, PageKind::Text);
  write_back_all();
  store_->pool().set_limit_pages(1);
  for (std::uint64_t page = 0; page < 30; ++page) {
    std::vector<std::byte> part(1000);
    ASSERT_EQ(code_of(store_->read_part({page}, page * 50, part)), 0);
    EXPECT_EQ(std::memcmp(part.data(), mirror_[page].data() + page * 50, part.size()), 0);
  }
  std::vector<std::byte> all(30 * kPageBytes);
  ASSERT_EQ(code_of(store_->read({0}, all)), 0);
  for (std::uint64_t page = 0; page < 30; ++page)
    EXPECT_EQ(std::memcmp(all.data() + page * kPageBytes, mirror_[page].data(), kPageBytes), 0);
}

TEST_F(WritebackPages, DoNotCountAsNewHugePagesWhenTheyComeBack) {
  make_backed();
  write_pages(0, 10, PageKind::Random);
  EXPECT_EQ(store_->raw_pages_since(), 10U);
  write_back_all();
  read_all();
  EXPECT_EQ(store_->sums().raw_pages, 10);
  EXPECT_EQ(store_->raw_pages_since(), 10U);
}

}  // namespace
}  // namespace uzram
