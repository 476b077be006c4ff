// SPDX-License-Identifier: Apache-2.0
#include "store/page_ages.h"

#include <gtest/gtest.h>

#include <thread>

#include "store/writeback_fixture.h"

namespace uzram {
namespace {

using Pages = std::vector<std::uint64_t>;

class PageAges : public WritebackTest {
 protected:
  void fill(bool tracks_access = false) {
    StoreConfig config = config_of("lz4", "zstd", 300);
    config.uses_dedup = true;
    config.tracks_access = tracks_access;
    make_backed(config);
    write_pages(0, 10, PageKind::Text);
    write_pages(10, 5, PageKind::Random);
    write(15, filled_page(3));
    write(16, filled_page(0x0123456789abcdef));
    write(20, page_of(PageKind::Records, 1));
    write(21, page_of(PageKind::Records, 1));
  }
  [[nodiscard]] Pages idle_pages() const {
    Pages pages;
    for (std::uint64_t page = 0; page < 300; ++page)
      if (word(page).is_idle()) pages.push_back(page);
    return pages;
  }
  [[nodiscard]] SlotWord shared_word() const { return store_->word_of_slot(word(20).slot()); }
  [[nodiscard]] PageState state_at(std::uint64_t page) const {
    const std::optional<PageState> state = state_of(*store_, {page});
    EXPECT_TRUE(state.has_value()) << page;
    return state.value_or(PageState{});
  }
  // The letters of block_state.
  [[nodiscard]] std::string letters(std::uint64_t page) const {
    const PageState state = state_at(page);
    std::string text;
    text += state.is_same() ? 's' : '.';
    text += state.is_written_back ? 'w' : '.';
    text += state.is_huge() ? 'h' : '.';
    text += state.content.is_idle() || state.word.is_idle() ? 'i' : '.';
    text += state.is_recompressed() ? 'r' : '.';
    text += state.is_incompressible() ? 'n' : '.';
    return text;
  }
  static std::uint64_t sum_of(const SlotCensus& census) {
    std::uint64_t sum = 0;
    for (const auto& row : census)
      for (const std::uint64_t count : row) sum += count;
    return sum;
  }
  [[nodiscard]] static std::uint64_t at(const SlotCensus& census, SlotForm form, std::size_t age) {
    return census[static_cast<std::size_t>(form)][age];
  }
};

// --- idle marks ----------------------------------------------------------------------------------

TEST_F(PageAges, MarksEveryPageThatHasBytesOfItsOwn) {
  fill();
  mark_all_idle(*store_);
  EXPECT_EQ(idle_pages(), (Pages{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 20, 21}));
  EXPECT_TRUE(shared_word().is_idle());
  store_->check_invariants();
  expect_content();
  EXPECT_EQ(idle_pages(), Pages{}) << "they were read";
  EXPECT_FALSE(shared_word().is_idle());
}

TEST_F(PageAges, ClearsTheMarkOfWhatIsUsed) {
  fill();
  ClusterRequest request;
  request.most_pages = 4;
  cluster_pages(request);
  ASSERT_EQ(state(3), SlotState::Member);
  mark_all_idle(*store_);
  touch(0);
  write(1, Page(mirror_[1]));
  write_part(2, 0, ConstBytes(mirror_[3]).first(9));
  std::array<std::byte, 5> part{};
  ASSERT_EQ(code_of(store_->read_part({11}, 100, part)), 0);
  touch(20);
  free_page(4);
  for (const std::uint64_t page : {0, 1, 2, 11, 20}) EXPECT_FALSE(word(page).is_idle()) << page;
  for (const std::uint64_t page : {3, 5, 12, 21}) EXPECT_TRUE(word(page).is_idle()) << page;
  EXPECT_FALSE(shared_word().is_idle()) << "one of its pages was used";
  EXPECT_EQ(write_back_type(PageType::HugeIdle).written_pages, 4U);
}

TEST_F(PageAges, KeepsTheMarkWhenTheStoreMovesThings) {
  fill();
  mark_all_idle(*store_);
  store_->compact();
  reopen_backed();
  EXPECT_EQ(idle_pages().size(), 17U);
}

TEST_F(PageAges, MarksNothingOnAnEmptyDevice) {
  make_backed(1);
  mark_all_idle(*store_);
  EXPECT_EQ(sum_of(sweep_ages(*store_, {})), 0U);
  EXPECT_FALSE(state_of(*store_, {0}).has_value());
}

TEST_F(PageAges, NeedsAccessTimesForAnAge) {
  fill();
  EXPECT_EQ(code_of(mark_idle_for(*store_, std::chrono::seconds(1))), EINVAL);
  EXPECT_EQ(store_->access_seconds({0}), 0U);
}

TEST_F(PageAges, MarksThoseThatWereNotUsedForSoLongAndNoOthers) {
  fill(true);
  std::this_thread::sleep_for(std::chrono::milliseconds(2'100));
  touch(3);
  touch(12);
  write(5, page_of(PageKind::Text, 55));
  touch(21);
  mark_all_idle(*store_);
  ASSERT_EQ(code_of(mark_idle_for(*store_, std::chrono::seconds(2))), 0);
  EXPECT_EQ(idle_pages(), (Pages{0, 1, 2, 4, 6, 7, 8, 9, 10, 11, 13, 14, 20}))
      << "the younger ones lose their mark";
  EXPECT_FALSE(shared_word().is_idle()) << "as young as its youngest page";
  ASSERT_EQ(code_of(mark_idle_for(*store_, std::chrono::seconds(0))), 0);
  EXPECT_EQ(idle_pages().size(), 17U);
  EXPECT_TRUE(shared_word().is_idle());
  ASSERT_EQ(code_of(mark_idle_for(*store_, std::chrono::hours(1'000'000))), 0);
  EXPECT_EQ(idle_pages(), Pages{});
  const std::uint32_t now = Store::boot_seconds();
  EXPECT_LE(now - store_->access_seconds({3}), 2U);
  EXPECT_GE(now - store_->access_seconds({0}), 2U);
  EXPECT_EQ(store_->access_seconds({200}), 0U) << "never used";
}

// --- ages ----------------------------------------------------------------------------------------

TEST_F(PageAges, CountsContentsByForm) {
  fill();
  SlotCensus census = sweep_ages(*store_, {});
  EXPECT_EQ(at(census, SlotForm::Packed, 0), 11U) << "what two pages share counts once";
  EXPECT_EQ(at(census, SlotForm::Raw, 0), 5U);
  EXPECT_EQ(sum_of(census), 16U);
  RecompressRequest raw;
  raw.pages.type = PageType::Huge;
  recompress_pages(raw);
  for (std::uint64_t page = 30; page < 62; ++page) write(page, page_of(PageKind::Text, page));
  cluster_pages(8);
  write_back_range(10, 12);
  census = sweep_ages(*store_, {});
  EXPECT_EQ(at(census, SlotForm::WrittenBack, 0), 3U);
  EXPECT_EQ(at(census, SlotForm::Incompressible, 0), 2U);
  EXPECT_EQ(at(census, SlotForm::Raw, 0), 0U);
  EXPECT_GE(at(census, SlotForm::Cluster8, 0), 32U);
  EXPECT_EQ(sum_of(census), 48U);
}

TEST_F(PageAges, NamesClustersByWhatTheyWereMadeOf) {
  const std::vector<std::pair<std::size_t, SlotForm>> rows = {
      {2, SlotForm::Cluster2},   {3, SlotForm::Cluster2},   {4, SlotForm::Cluster4},
      {7, SlotForm::Cluster4},   {8, SlotForm::Cluster8},   {15, SlotForm::Cluster8},
      {16, SlotForm::Cluster16}, {31, SlotForm::Cluster16}, {32, SlotForm::Cluster32}};
  for (const auto& [size, form] : rows) {
    make_backed();
    write_pages(0, size, PageKind::Text);
    cluster_pages(size);
    EXPECT_EQ(at(sweep_ages(*store_, {}), form, 0), size);
    free_page(0);
    EXPECT_EQ(at(sweep_ages(*store_, {}), form, 0), size - 1);
    write_back_all();
    EXPECT_EQ(at(sweep_ages(*store_, {}), SlotForm::WrittenBack, 0), size - 1);
  }
}

TEST_F(PageAges, AdvanceOnlyWhereTheSweepSaysSo) {
  fill();
  SlotCensus census = sweep_ages(*store_, {.advancing = 0b1});
  EXPECT_EQ(at(census, SlotForm::Packed, 1), 11U);
  touch(0);
  touch(21);
  census = sweep_ages(*store_, {.advancing = 0b10});
  EXPECT_EQ(at(census, SlotForm::Packed, 2), 9U);
  EXPECT_EQ(at(census, SlotForm::Packed, 0), 2U) << "page 0, and what 20 and 21 share";
  census = sweep_ages(*store_, {.advancing = 0b10});
  EXPECT_EQ(at(census, SlotForm::Packed, 2), 9U) << "nobody is of age 1";
  for (int i = 0; i < 12; ++i) census = sweep_ages(*store_, {.advancing = 0xff});
  EXPECT_EQ(at(census, SlotForm::Packed, kAgeCount - 1), 11U) << "the oldest stay as they are";
  census = sweep_ages(*store_, {.advancing = 0xff, .is_restart = true});
  EXPECT_EQ(at(census, SlotForm::Packed, 0), 11U);
  expect_content();
}

TEST_F(PageAges, GiveTheIdleMarkFromAnAgeOn) {
  fill();
  sweep_ages(*store_, {.advancing = 0xff, .idle_age = 2});
  EXPECT_EQ(idle_pages(), Pages{});
  touch(4);
  sweep_ages(*store_, {.advancing = 0xff, .idle_age = 2});
  EXPECT_EQ(idle_pages().size(), 16U);
  EXPECT_FALSE(word(4).is_idle());
}

TEST_F(PageAges, SurviveACrash) {
  fill();
  set_age(3, 5);
  set_age(12, 7);
  reopen_backed();
  EXPECT_EQ(word(3).age(), 5);
  EXPECT_EQ(word(12).age(), 7);
}

// --- one page ------------------------------------------------------------------------------------

TEST_F(PageAges, SayWhatAPageIs) {
  fill();
  EXPECT_EQ(letters(0), "......");
  EXPECT_EQ(letters(10), "..h...");
  EXPECT_EQ(letters(15), "s.....");
  EXPECT_EQ(letters(16), "s.....");
  EXPECT_EQ(letters(20), "......");
  EXPECT_FALSE(state_of(*store_, {17}).has_value());
  mark_idle(0, 1);
  mark_idle(10, 1);
  EXPECT_EQ(letters(0), "...i..");
  EXPECT_EQ(letters(10), "..hi..");
  RecompressRequest request;
  recompress_pages(request);
  EXPECT_EQ(letters(1), "....r.");
  EXPECT_EQ(letters(11), "..h..n");
  EXPECT_EQ(letters(20), "....r.");
  EXPECT_EQ(state_at(20).sharers, 2U);
  write_back_range(1, 1);
  write_back_range(11, 11);
  EXPECT_EQ(letters(1), ".w..r.");
  EXPECT_EQ(letters(11), ".wh..n");
  write_pages(30, 8, PageKind::Text);
  mark_idle(30, 8);
  ClusterRequest idle;
  idle.cluster_pages = 8;
  idle.pages.type = PageType::Idle;
  cluster_pages(idle);
  EXPECT_EQ(letters(30), "....r.");
  EXPECT_EQ(state_at(30).cluster_pages, 8U);
  write_back_range(30, 37);
  EXPECT_EQ(letters(30), ".w..r.");
  write_back_range(20, 20);
  EXPECT_EQ(letters(21).substr(0, 2), ".w") << "shared, and its content is away";
}

TEST_F(PageAges, SharePackedBytesThatAddUpToAll) {
  fill();
  for (std::uint64_t page = 30; page < 100; ++page) write(page, page_of(PageKind::Text, page % 50));
  cluster_pages(8);
  write_pages(100, 20, PageKind::Random);
  double sum = 0;
  for (std::uint64_t page = 0; page < 300; ++page)
    if (const auto state = state_of(*store_, {page})) sum += state->packed_share_bytes;
  EXPECT_NEAR(sum, static_cast<double>(store_->sums().packed_bytes), 1.0);
}

}  // namespace
}  // namespace uzram
