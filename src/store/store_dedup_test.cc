// SPDX-License-Identifier: Apache-2.0
// Pages with the same content: that they share it, that nobody sees it, and that it ends well.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <thread>

#include "store/writeback_fixture.h"

namespace uzram {
namespace {

class StoreDedup : public WritebackTest {
 protected:
  static StoreConfig dedup_config(std::uint64_t disk_pages, std::string_view first = "lz4") {
    StoreConfig config = config_of(first, "zstd", disk_pages);
    config.uses_dedup = true;
    return config;
  }
  void make_dedup(std::uint64_t disk_pages = 600) { make_backed(dedup_config(disk_pages)); }
  // `count` pages from `first` on, all with this content.
  void write_copies(std::uint64_t first, std::uint64_t count, const Page& content) {
    for (std::uint64_t page = first; page < first + count; ++page) write(page, content);
  }
  [[nodiscard]] PageIndex slot_of(std::uint64_t page) const {
    EXPECT_EQ(state(page), SlotState::Shared) << "page " << page;
    return word(page).slot();
  }
  [[nodiscard]] SlotWord shared_word(std::uint64_t page) const {
    return store_->word_of_slot(slot_of(page));
  }
  [[nodiscard]] std::uint32_t users_of(std::uint64_t page) const {
    return store_->shared_slots().users(slot_of(page));
  }
  [[nodiscard]] std::int64_t contents() const { return store_->sums().shared_slots; }
  // Copies that share, in percent of those that could.
  [[nodiscard]] double percent_found() const {
    std::map<Page, std::uint64_t> copies;
    for (const auto& [page, content] : mirror_)
      if (state(page) != SlotState::Same && state(page) != SlotState::SameStored) ++copies[content];
    std::uint64_t possible = 0;
    for (const auto& [content, count] : copies) possible += count - 1;
    const StoreSums sums = store_->sums();
    return 100.0 * static_cast<double>(sums.shared_pages - sums.shared_slots) /
           static_cast<double>(possible);
  }
  // What pages would cost that share, less what they do cost.
  [[nodiscard]] std::uint64_t saved_bytes() const {
    std::uint64_t saved = 0;
    for (std::uint64_t slot = store_->regions().shared_begin; slot < store_->regions().shared_end;
         ++slot) {
      const SlotWord held = store_->word_of_slot({slot});
      const std::uint64_t others = std::max(1U, store_->shared_slots().users({slot})) - 1;
      if (held.state() == SlotState::Packed) saved += others * held.packed_bytes();
      if (held.state() == SlotState::Raw) saved += others * kPageBytes;
    }
    return saved;
  }
  const Page text_ = page_of(PageKind::Text, 1);
  const Page random_ = page_of(PageKind::Random, 1);
};

// --- finding -------------------------------------------------------------------------------------

TEST_F(StoreDedup, FindsCopiesWhileADeviceIsFilled) {
  make_dedup(12'000);
  Random random(4);
  for (std::uint64_t page = 0; page < 12'000; ++page)
    write(page, page_with_random_bytes(40 + random.below(30), random.below(9000)));
  EXPECT_GE(percent_found(), 99.9);
  expect_content();
}

TEST_F(StoreDedup, FindsCopiesAfterChurn) {
  make_dedup(3000);
  Random random(5);
  for (int round = 0; round < 40'000; ++round) {
    const std::uint64_t page = random.below(3000);
    if (random.below(6) == 0) {
      free_page(page);
    } else {
      write(page, page_with_random_bytes(50, random.below(2500)));
    }
  }
  EXPECT_GE(percent_found(), 95.0);
  expect_content();
  expect_sound();
}

TEST_F(StoreDedup, FindsCopiesAgainAfterOpening) {
  make_dedup(3000);
  for (std::uint64_t page = 0; page < 1500; ++page)
    write(page, page_with_random_bytes(50, page < 1000 ? page : page - 1000));
  cluster_pages(8);
  write(1500, random_);
  for (const bool is_written_first : {false, true}) {
    reopen_backed();
    expect_content();
    EXPECT_TRUE(store_->needs_dedup_index());
    // The first writes may be faster than whoever makes the index.
    if (is_written_first) write(2999, page_with_random_bytes(50, 77'777));
    EXPECT_TRUE(store_->needs_dedup_index());
    store_->rebuild_dedup_index(stop_);
    EXPECT_FALSE(store_->needs_dedup_index());
    expect_sound();
    for (std::uint64_t page = 1600; page < 2600; ++page)
      write(page, page_with_random_bytes(50, page - 1600));
    write(2700, random_);
    EXPECT_GE(percent_found(), 99.0);
    expect_content();
    for (std::uint64_t page = 1600; page < 3000; ++page) free_page(page);
  }
}

TEST_F(StoreDedup, NeedsNoIndexForAnEmptyDevice) {
  make_dedup();
  EXPECT_FALSE(store_->needs_dedup_index());
  make(100);
  write_pages(0, 10, PageKind::Text);
  reopen_store();
  EXPECT_FALSE(store_->needs_dedup_index()) << "deduplication is off";
}

TEST_F(StoreDedup, MakesTheIndexFromPagesThatStandStillAlone) {
  make_dedup(3000);
  for (std::uint64_t page = 0; page < 3000; ++page) write(page, page_with_random_bytes(60, page));
  reopen_backed();
  std::thread writer([&] {
    for (std::uint64_t page = 0; page < 3000; page += 3)
      write(page, page_with_random_bytes(60, 5000 + page));
  });
  store_->rebuild_dedup_index(stop_);
  writer.join();
  expect_sound();
  expect_content();
  for (std::uint64_t page = 0; page < 3000; page += 3)
    write(page, page_with_random_bytes(60, page + 1));
  EXPECT_GE(percent_found(), 95.0);
  expect_content();
}

TEST_F(StoreDedup, LeavesPatternsAndEmptyPagesAlone) {
  make_dedup();
  write_copies(0, 5, Page{});
  write_copies(5, 5, filled_page(9));
  write_copies(10, 5, filled_page(0x0123456789abcdef));
  EXPECT_EQ(contents(), 0);
  EXPECT_EQ(store_->sums().same_pages, 15);
}

TEST_F(StoreDedup, KeepsPagesApartWhoseTagsAreTheSame) {
  // Tags are 30 bits: among 60,000 pages about one and a half pairs collide; here all contents are
  // one byte apart, and some are checked at any rate.
  make_dedup(2000);
  Page page = random_;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    std::memcpy(page.data() + 2 * i, &i, sizeof i);
    write(i, page);
  }
  EXPECT_EQ(contents(), 0);
  expect_content();
}

// The bytes behind the index's back: what it finds is not what the page holds.
TEST_F(StoreDedup, ComparesBeforeItShares) {
  StoreConfig config = dedup_config(100);
  config.has_page_checks = false;
  make_backed(config);
  write(0, random_);
  write(1, text_);
  ArenaView(*store_).object(0)[100] ^= std::byte{1};
  write(2, random_);
  EXPECT_EQ(contents(), 0);
  mirror_[0][100] ^= std::byte{1};
  expect_content();
  write(3, mirror_[2]);
  EXPECT_EQ(users_of(2), 2U) << "the next candidate is the right one";
}

TEST_F(StoreDedup, SharesNothingWithADamagedPage) {
  make_dedup();
  write(0, text_);
  ArenaView(*store_).object(0)[7] ^= std::byte{1};
  write(1, text_);
  EXPECT_EQ(contents(), 0);
  EXPECT_EQ(read_error(0), EIO);
  touch(1);
  write(0, text_);
  EXPECT_EQ(users_of(0), 2U);
}

// --- users ---------------------------------------------------------------------------------------

TEST_F(StoreDedup, CountsUsersThroughEveryChange) {
  make_dedup();
  write(3, text_);
  EXPECT_EQ(state(3), SlotState::Packed);
  write(4, text_);
  EXPECT_EQ(users_of(3), 2U);
  EXPECT_EQ(slot_of(3), slot_of(4));
  write(4, text_);
  write(3, text_);
  EXPECT_EQ(users_of(3), 2U) << "the same again";
  write(5, text_);
  write_part(5, 10, ConstBytes(text_).subspan(10, 20));
  EXPECT_EQ(users_of(3), 3U) << "a part that changes nothing";
  write_part(5, 10, ConstBytes(random_).subspan(10, 20));
  EXPECT_EQ(users_of(3), 2U);
  EXPECT_EQ(state(5), SlotState::Packed);
  write_part(5, 10, ConstBytes(text_).subspan(10, 20));
  EXPECT_EQ(users_of(3), 3U) << "a part that makes it the same";
  free_page(4);
  write(3, random_);
  EXPECT_EQ(users_of(5), 1U);
  EXPECT_EQ(contents(), 1);
  expect_sound();
  expect_content();
  write(5, filled_page(1));
  EXPECT_EQ(contents(), 0);
  store_->free({0}, 600);
  mirror_.clear();
  EXPECT_EQ(store_->sums(), StoreSums{});
  store_->compact();
  EXPECT_EQ(store_->pool().resident_pages(), 0U);
}

TEST_F(StoreDedup, SharesAgainWhatOnlyOnePageHasLeft) {
  make_dedup();
  write_copies(0, 3, text_);
  free_page(0);
  free_page(1);
  EXPECT_EQ(users_of(2), 1U);
  write(9, text_);
  EXPECT_EQ(users_of(9), 2U);
  free_page(2);
  free_page(9);
  write(1, text_);
  EXPECT_EQ(state(1), SlotState::Packed) << "what nobody has any more is not shared";
  expect_content();
}

TEST_F(StoreDedup, GivesASlotToNewContent) {
  make_dedup();
  for (std::uint64_t round = 0; round < 50; ++round) {
    write_copies(0, 2, page_of(PageKind::Text, round));
    ASSERT_EQ(slot_of(0).value, store_->regions().shared_begin + round % 2);
    expect_content();
  }
}

TEST_F(StoreDedup, GivesManyUsersOneContent) {
  make_dedup(5000);
  write_copies(0, 5000, random_);
  EXPECT_EQ(contents(), 1);
  EXPECT_EQ(users_of(4321), 5000U);
  EXPECT_EQ(store_->sums().packed_bytes, static_cast<std::int64_t>(kPageBytes));
  store_->compact();
  EXPECT_EQ(store_->pool().resident_pages(), 1U);
  expect_content();
}

// --- numbers -------------------------------------------------------------------------------------

TEST_F(StoreDedup, SaysWhatItSavesAndCosts) {
  make_dedup();
  EXPECT_EQ(store_->dedup_stats().saved_bytes, 0U);
  write_copies(0, 5, text_);
  write_copies(5, 3, random_);
  EXPECT_EQ(store_->dedup_stats().saved_bytes, 4 * shared_word(0).packed_bytes() + 2 * kPageBytes);
  EXPECT_EQ(store_->dedup_stats().saved_bytes, saved_bytes());
  recompress_pages();
  EXPECT_EQ(store_->dedup_stats().saved_bytes, saved_bytes());
  EXPECT_GT(store_->dedup_stats().metadata_bytes, 0U);
  make(100);
  write_copies(0, 2, text_);
  EXPECT_EQ(store_->dedup_stats().metadata_bytes, 0U);
}

TEST_F(StoreDedup, SavesNothingOfWhatIsNotInMemory) {
  for (const bool in_cluster : {false, true}) {
    make_dedup();
    for (std::uint64_t i = 0; i < 8; ++i) write_copies(i * 3, 3, page_of(PageKind::Text, i));
    if (in_cluster) {
      cluster_pages(8);
      const std::uint64_t stream = static_cast<std::uint64_t>(store_->sums().packed_bytes);
      EXPECT_EQ(store_->dedup_stats().saved_bytes, stream / 8 * 8 * 2);
    }
    write_back_all();
    ASSERT_EQ(pages_away().size(), 24U);
    EXPECT_EQ(store_->dedup_stats().saved_bytes, 0U) << in_cluster;
  }
}

TEST_F(StoreDedup, CostsSixteenBytesAPage) {
  make_dedup(20'000);
  for (std::uint64_t page = 0; page < 20'000; ++page)
    write(page, page_with_random_bytes(16, page + 1));
  EXPECT_EQ(contents(), 0);
  EXPECT_LE(store_->dedup_stats().metadata_bytes, 20'000U * 16 + 2 * kPageBytes);
}

// --- with everything that happens after the write ------------------------------------------------

TEST_F(StoreDedup, SharesContentThatIsPackedAgainClusteredAndWrittenBack) {
  enum class What { Recompress, Cluster, WriteBack, ClusterAndWriteBack };
  for (const What what :
       {What::Recompress, What::Cluster, What::WriteBack, What::ClusterAndWriteBack}) {
    make_dedup();
    for (std::uint64_t i = 0; i < 16; ++i) write_copies(i * 4, 3, page_of(PageKind::Text, i));
    write_copies(100, 3, random_);
    write_pages(200, 20, PageKind::Text);
    const StoreSums before = store_->sums();
    if (what == What::Recompress) recompress_pages();
    if (what == What::Cluster || what == What::ClusterAndWriteBack) cluster_pages(8);
    if (what == What::WriteBack || what == What::ClusterAndWriteBack) write_back_all();
    EXPECT_EQ(store_->sums().shared_pages, before.shared_pages);
    EXPECT_EQ(shared_word(0).state(), what == What::Recompress  ? SlotState::Packed
                                      : what == What::WriteBack ? SlotState::WrittenBack
                                                                : SlotState::Member);
    expect_content();
    EXPECT_EQ(pages_away().size(), 0U);
    // One more sharer, one less, a part, and the others still have it.
    write(3, page_of(PageKind::Text, 0));
    EXPECT_EQ(users_of(3), 4U);
    write(0, page_of(PageKind::Records, 0));
    write_part(4, 0, ConstBytes(random_).first(99));
    free_page(8);
    expect_content();
    if (what != What::Recompress) write_back_all();
    write(1, page_of(PageKind::Records, 1));
    free_page(2);
    free_page(3);
    reopen_backed();
    expect_content();
    expect_sound();
    store_->free({0}, 600);
    mirror_.clear();
    EXPECT_EQ(store_->sums(), StoreSums{});
    EXPECT_EQ(counters().blocks_in_use, 0U);
  }
}

TEST_F(StoreDedup, FindsContentInClusters) {
  make_dedup();
  write_pages(0, 32, PageKind::Text);
  cluster_pages(8);
  ASSERT_EQ(state(5), SlotState::Member);
  for (std::uint64_t page = 0; page < 32; ++page) write(page + 100, Page(mirror_[page]));
  EXPECT_EQ(contents(), 32);
  EXPECT_EQ(shared_word(5).state(), SlotState::Member);
  expect_sound();
  expect_content();
  for (std::uint64_t page = 0; page < 32; ++page) free_page(page);
  EXPECT_EQ(store_->sums().clusters, 4);
  reopen_backed();
  expect_content();
  for (std::uint64_t page = 100; page < 132; ++page) free_page(page);
  EXPECT_EQ(store_->sums().clusters, 0);
}

TEST_F(StoreDedup, DoesNotAskTheBackingStoreForCopies) {
  make_dedup();
  write(0, text_);
  write_copies(1, 2, random_);
  write_back_all();
  disk_->fail(FakeDisk::Kind::Read, EIO);
  write(10, text_);
  write(11, random_);
  write_copies(12, 2, text_);
  EXPECT_EQ(users_of(12), 3U);
  EXPECT_EQ(counters().blocks_read, 0U);
  disk_->work_again();
  expect_content();
  expect_sound();
}

TEST_F(StoreDedup, GoesByNumberForAllWhoShareIt) {
  make_dedup();
  write_copies(0, 3, text_);
  EXPECT_EQ(write_back_range(1, 1).written_pages, 1U);
  EXPECT_EQ(pages_away(), (std::vector<std::uint64_t>{0, 1, 2}));
  touch(2);
  EXPECT_EQ(pages_away().size(), 0U);
}

TEST_F(StoreDedup, IsMovedByCompaction) {
  make_dedup(2000);
  Random random(8);
  for (std::uint64_t page = 0; page < 2000; ++page)
    write(page, page_with_random_bytes(300 + random.below(3000), random.below(700)));
  for (std::uint64_t page = 0; page < 2000; ++page)
    if (random.below(4) != 0) free_page(page);
  const std::uint64_t before = store_->pool().resident_pages();
  store_->compact();
  EXPECT_LT(store_->pool().resident_pages(), before);
  expect_content();
}

TEST_F(StoreDedup, StoresCopiesAtTheMemoryLimit) {
  make_dedup();
  write_pages(0, 20, PageKind::Random);
  store_->pool().set_limit_pages(store_->pool().resident_pages());
  for (std::uint64_t page = 0; page < 20; ++page) write(page + 100, Page(mirror_[page]));
  EXPECT_EQ(contents(), 20);
  std::uint64_t refused = 0;
  for (std::uint64_t page = 0; page < 20; ++page)
    refused += code_of(store_->write({page}, page_of(PageKind::Random, 900 + page))) == ENOSPC;
  EXPECT_EQ(refused, 20U) << "the other sharer still needs the old content";
  expect_content();
  free_page(103);
  write(3, page_of(PageKind::Text, 3));
  expect_content();
  expect_sound();
}

// Where copies are rare, pages are packed before the index is asked.
TEST_F(StoreDedup, FindsCopiesAfterManyPagesWithout) {
  make_dedup();
  write_pages(0, 400, PageKind::Random);
  write(400, text_);
  const std::uint64_t bytes_before = pool_bytes_of_all(*store_);
  write_copies(401, 10, text_);
  write(411, Page(mirror_[7]));
  EXPECT_EQ(percent_found(), 100.0);
  EXPECT_EQ(pool_bytes_of_all(*store_), bytes_before);
  // What was packed for nothing is free again, and a copy needs no room for it.
  store_->pool().set_limit_pages(store_->pool().resident_pages());
  for (std::uint64_t page = 412; page < 440; ++page) write(page, Page(mirror_[page - 400]));
  EXPECT_EQ(percent_found(), 100.0);
  expect_content();
}

TEST_F(StoreDedup, KeepsTheFlagThatAPageDoesNotShrink) {
  make_dedup();
  write(0, random_);
  recompress_pages();
  ASSERT_TRUE(word(0).is_incompressible());
  write(1, random_);
  EXPECT_TRUE(shared_word(0).is_incompressible());
  EXPECT_TRUE(state_of(*store_, {1})->is_incompressible());
}

}  // namespace
}  // namespace uzram
