// SPDX-License-Identifier: Apache-2.0
#include "store/recompressor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>

#include "store/background_fixture.h"

namespace uzram {
namespace {

class RecompressorTest : public BackgroundTest {
 protected:
  // A page that lz4 packs to about `bytes` bytes and zstd to about as many.
  void write_of_size(std::uint64_t page, std::size_t bytes) {
    write(page, page_with_random_bytes(bytes, page + 1));
  }
  [[nodiscard]] int error_of(const RecompressRequest& request) {
    return code_of(recompress(*store_, request, stop_));
  }
  [[nodiscard]] std::vector<std::uint64_t> repacked_pages() const {
    std::vector<std::uint64_t> pages;
    for_each_stored_slot(*store_, [&](PageIndex slot, SlotWord word) {
      if (word.state() == SlotState::Packed && word.priority() > 0) pages.push_back(slot.value);
    });
    return pages;
  }
};

using Pages = std::vector<std::uint64_t>;

// --- what is asked for ---------------------------------------------------------------------------

TEST_F(RecompressorTest, RefusesAPriorityWithoutAnAlgorithm) {
  make();
  write_pages(0, 4, PageKind::Text);
  for (const int priority : {-1, 0, 2, 3, 4, 100}) {
    RecompressRequest request;
    request.priority = priority;
    EXPECT_EQ(error_of(request), EINVAL) << priority;
  }
  EXPECT_EQ(repacked_pages(), Pages{});
}

TEST_F(RecompressorTest, RefusesAThresholdThatNoPageReaches) {
  make();
  RecompressRequest request;
  request.threshold_bytes = kPageBytes;
  EXPECT_EQ(error_of(request), EINVAL);
  request.threshold_bytes = ~std::size_t{0};
  EXPECT_EQ(error_of(request), EINVAL);
  request.threshold_bytes = kPageBytes - 1;
  EXPECT_EQ(error_of(request), 0);
}

TEST_F(RecompressorTest, FindsNothingOnAnEmptyDevice) {
  make(1);
  EXPECT_EQ(recompress_pages().tried_pages, 0U);
  free_page(0);
  EXPECT_TRUE(recompress_pages().has_seen_all);
}

// --- what becomes of pages -----------------------------------------------------------------------

TEST_F(RecompressorTest, PacksPagesSmallerAndSaysHowMuch) {
  make();
  write_pages(0, 40, PageKind::Text);
  const std::uint64_t before = pool_bytes_of_all(*store_);
  const std::int64_t packed_before = store_->sums().packed_bytes;
  const BackgroundOutcome outcome = recompress_pages();
  EXPECT_EQ(outcome.tried_pages, 40U);
  EXPECT_EQ(outcome.changed_pages, 40U);
  EXPECT_TRUE(outcome.has_seen_all);
  EXPECT_EQ(outcome.saved_bytes, before - pool_bytes_of_all(*store_));
  EXPECT_LT(store_->sums().packed_bytes, packed_before);
  for (std::uint64_t page = 0; page < 40; ++page) EXPECT_EQ(word(page).priority(), 1);
  expect_content();
  reopen_store();
  expect_content();
  for (std::uint64_t page = 0; page < 40; ++page) EXPECT_EQ(word(page).priority(), 1);
}

TEST_F(RecompressorTest, LeavesEveryPageThatGetsNoSmallerSizeClass) {
  make();
  std::uint64_t page = 0;
  for (std::uint64_t seed = 0; seed < 3; ++seed)
    for (const PageKind kind : kPageKinds) write(page++, page_of(kind, seed));
  for (std::size_t bytes = 40; bytes < 3900; bytes += 67) write_of_size(page++, bytes);
  std::vector<SlotWord> before;
  for (std::uint64_t i = 0; i < page; ++i) before.push_back(word(i));
  recompress_pages();
  for (std::uint64_t i = 0; i < page; ++i) {
    const bool is_smaller = store_->pool_bytes_of(word(i)) < store_->pool_bytes_of(before[i]);
    EXPECT_EQ(word(i).bits() != before[i].with(SlotWord::kIncompressible).bits(),
              is_smaller || before[i].state() == SlotState::Same || before[i].is_empty())
        << "page " << i;
  }
  expect_content();
}

TEST_F(RecompressorTest, TakesEveryAlgorithmAsTheSecond) {
  for (const CodecInfo& row : all_codecs()) {
    mirror_.clear();
    make(config_of("lzo-rle", row.name, 256));
    std::uint64_t page = 0;
    for (const PageKind kind : kPageKinds)
      for (std::uint64_t seed = 0; seed < 6; ++seed) write(page++, page_of(kind, seed));
    recompress_pages();
    expect_content();
    reopen_store();
    expect_content();
  }
}

TEST_F(RecompressorTest, ClimbsFromPriorityToPriorityAndNeverDown) {
  StoreConfig config = config_of("lz4", "lz4hc", 64);
  config.codecs[2].info = find_codec("deflate");
  config.codecs[3].info = find_codec("zstd");
  make(config);
  write_pages(0, 10, PageKind::Text);
  RecompressRequest request;
  for (const int priority : {1, 2, 3}) {
    request.priority = priority;
    recompress_pages(request);
    for (std::uint64_t page = 0; page < 10; ++page) EXPECT_LE(word(page).priority(), priority);
  }
  std::vector<SlotWord> top;
  for (std::uint64_t page = 0; page < 10; ++page) top.push_back(word(page));
  for (const int priority : {2, 1}) {
    request.priority = priority;
    EXPECT_EQ(recompress_pages(request).changed_pages, 0U);
  }
  for (std::uint64_t page = 0; page < 10; ++page) EXPECT_EQ(word(page).bare(), top[page].bare());
  expect_content();
}

TEST_F(RecompressorTest, DoesNotTryAgainWhatItHasPacked) {
  make();
  write_pages(0, 20, PageKind::Text);
  ASSERT_EQ(recompress_pages().changed_pages, 20U);
  EXPECT_EQ(recompress_pages().tried_pages, 0U);
}

TEST_F(RecompressorTest, LeavesPatternsAndMembersOfClustersAlone) {
  make();
  write(0, filled_page(7));
  write(1, filled_page(0x0123456789abcdef));
  write_pages(2, 4, PageKind::Text);
  cluster_pages(4);
  ASSERT_EQ(state(2), SlotState::Member);
  EXPECT_EQ(recompress_pages().tried_pages, 0U);
  expect_content();
}

// --- incompressible ------------------------------------------------------------------------------

TEST_F(RecompressorTest, MarksWhatTheLastAlgorithmCannotPackEither) {
  StoreConfig config = config_of("lz4", "lz4hc", 64);
  config.codecs[3].info = find_codec("zstd");
  make(config);
  write_pages(0, 3, PageKind::Random);
  RecompressRequest request;
  EXPECT_EQ(recompress_pages(request).tried_pages, 3U);
  EXPECT_FALSE(word(0).is_incompressible()) << "zstd has not been asked yet";
  request.priority = 3;
  EXPECT_EQ(recompress_pages(request).tried_pages, 3U);
  for (std::uint64_t page = 0; page < 3; ++page) EXPECT_TRUE(word(page).is_incompressible());
  EXPECT_EQ(recompress_pages(request).tried_pages, 0U);
  request.priority = 1;
  EXPECT_EQ(recompress_pages(request).tried_pages, 0U);
  expect_content();
}

TEST_F(RecompressorTest, KeepsTheIncompressibleMarkUntilThePageIsWritten) {
  make();
  write_pages(0, 5, PageKind::Random);
  recompress_pages();
  touch(0);
  store_->compact();
  reopen_store();
  for (std::uint64_t page = 0; page < 5; ++page) EXPECT_TRUE(word(page).is_incompressible());
  write(1, page_of(PageKind::Random, 77));
  write_part(2, 5, ConstBytes(page_of(PageKind::Random, 78)).first(9));
  free_page(3);
  EXPECT_TRUE(word(0).is_incompressible());
  for (const std::uint64_t page : {1, 2, 3}) EXPECT_FALSE(word(page).is_incompressible());
  EXPECT_EQ(recompress_pages().tried_pages, 2U);
  expect_content();
}

// --- which pages ---------------------------------------------------------------------------------

TEST_F(RecompressorTest, TakesThePagesThatTheFilterWants) {
  make();
  write_pages(0, 6, PageKind::Text);
  write_pages(6, 6, PageKind::Random);
  mark_idle(0, 3);
  mark_idle(6, 3);
  RecompressRequest request;
  const auto tried = [&](PageType type) {
    request.pages.type = type;
    return recompress_pages(request).tried_pages;
  };
  EXPECT_EQ(tried(PageType::HugeIdle), 3U);
  EXPECT_EQ(tried(PageType::Huge), 3U) << "the idle ones are marked incompressible by now";
  EXPECT_EQ(tried(PageType::Idle), 3U);
  EXPECT_EQ(repacked_pages(), (Pages{0, 1, 2}));
  EXPECT_EQ(tried(PageType::Incompressible), 0U) << "they were tried";
  EXPECT_EQ(tried(PageType::All), 3U);
  EXPECT_EQ(repacked_pages(), (Pages{0, 1, 2, 3, 4, 5}));
}

TEST_F(RecompressorTest, TakesThePagesOfTheAgesAskedFor) {
  make();
  write_pages(0, 8, PageKind::Text);
  for (int age = 0; age < 8; ++age) set_age(static_cast<std::uint64_t>(age), age);
  RecompressRequest request;
  request.pages.least_age = 3;
  request.pages.below_age = 5;
  EXPECT_EQ(recompress_pages(request).changed_pages, 2U);
  EXPECT_EQ(repacked_pages(), (Pages{3, 4}));
  request.pages = {.type = PageType::All, .least_age = 7};
  recompress_pages(request);
  EXPECT_EQ(repacked_pages(), (Pages{3, 4, 7}));
}

TEST_F(RecompressorTest, LooksForNewlyIdlePagesAmongThoseItHasTried) {
  make();
  write_pages(0, 2, PageKind::Random);
  mark_idle(0, 2);
  RecompressRequest request;
  request.pages.type = PageType::Idle;
  EXPECT_EQ(recompress_pages(request).tried_pages, 2U);
  EXPECT_FALSE(word(0).is_idle()) << "so that it is not tried each time";
}

TEST_F(RecompressorTest, LeavesPagesBelowTheThreshold) {
  make();
  for (std::uint64_t page = 0; page < 40; ++page) write_of_size(page, 100 + page * 90);
  std::vector<SlotWord> before;
  for (std::uint64_t page = 0; page < 40; ++page) before.push_back(word(page));
  RecompressRequest request;
  request.threshold_bytes = 2000;
  recompress_pages(request);
  for (std::uint64_t page = 0; page < 40; ++page) {
    if (before[page].state() == SlotState::Raw || before[page].packed_bytes() >= 2000) continue;
    EXPECT_EQ(word(page), before[page]) << "page " << page;
  }
}

// As the kernel: what packs to the threshold or more is not worth keeping.
TEST_F(RecompressorTest, KeepsNoResultThatReachesTheThreshold) {
  make();
  write_pages(0, 30, PageKind::Text);
  const std::size_t lz4_bytes = word(0).packed_bytes();
  RecompressRequest request;
  request.threshold_bytes = lz4_bytes / 8;
  const BackgroundOutcome outcome = recompress_pages(request);
  EXPECT_GT(outcome.tried_pages, 0U);
  EXPECT_EQ(outcome.changed_pages, 0U);
  EXPECT_EQ(repacked_pages(), Pages{});
}

TEST_F(RecompressorTest, TriesNoMorePagesThanAskedFor) {
  make();
  write_pages(0, 50, PageKind::Text);
  for (const std::uint64_t most : {0, 1, 7, 13}) {
    RecompressRequest request;
    request.most_pages = most;
    const std::size_t before = repacked_pages().size();
    const BackgroundOutcome outcome = recompress_pages(request);
    EXPECT_EQ(outcome.tried_pages, most);
    EXPECT_FALSE(outcome.has_seen_all) << most;
    EXPECT_EQ(repacked_pages().size(), before + most);
  }
}

TEST_F(RecompressorTest, CountsPagesThatDoNotGetSmallerAsTried) {
  make();
  write_pages(0, 10, PageKind::Random);
  write_pages(10, 10, PageKind::Text);
  RecompressRequest request;
  request.most_pages = 10;
  const BackgroundOutcome outcome = recompress_pages(request);
  EXPECT_EQ(outcome.tried_pages, 10U) << "raw pages are the largest, and come first";
  EXPECT_EQ(outcome.changed_pages, 0U);
}

TEST_F(RecompressorTest, TakesTheLargestOfFewPagesFirst) {
  make();
  // Text packs to different sizes when only a part of the page is text.
  const Pages order = {3, 0, 5, 1, 6, 2, 4};  // The page of the n-th largest.
  for (std::size_t i = 0; i < order.size(); ++i) {
    Page page{};
    PageMaker(i + 1).fill(PageKind::Text, MutableBytes(page).first(4000 - i * 500));
    write(order[i], page);
  }
  for (std::size_t i = 0; i + 1 < order.size(); ++i)
    ASSERT_GT(word(order[i]).packed_bytes(), word(order[i + 1]).packed_bytes() + 64);
  RecompressRequest request;
  request.most_pages = 1;
  Pages done;
  for (const std::uint64_t page : order) {
    ASSERT_EQ(recompress_pages(request).changed_pages, 1U);
    done.push_back(page);
    std::sort(done.begin(), done.end());
    ASSERT_EQ(repacked_pages(), done);
  }
}

TEST_F(RecompressorTest, TakesTheLargerOfManyPagesFirst) {
  make(2048);
  Random random(5);
  std::vector<std::size_t> sizes;
  for (std::uint64_t page = 0; page < 1600; ++page) {
    Page content{};
    PageMaker(page + 1).fill(PageKind::Text, MutableBytes(content).first(200 + random.below(3800)));
    write(page, content);
    sizes.push_back(word(page).packed_bytes());
  }
  std::sort(sizes.rbegin(), sizes.rend());
  RecompressRequest request;
  request.most_pages = 100;
  std::vector<SlotWord> before;
  for (std::uint64_t page = 0; page < 1600; ++page) before.push_back(word(page));
  recompress_pages(request);
  // The table is walked for an eighth of the pages at a time, and some of one more size.
  for (const std::uint64_t page : repacked_pages())
    EXPECT_GE(before[page].packed_bytes() + 64, sizes[1600 / 8 + 100]) << "page " << page;
}

// Nobody has compacted meanwhile: without looking after its own holes it would need a tenth more.
TEST_F(RecompressorTest, NeedsLittleMemoryOnTheWayToLess) {
  make(8192);
  Random random(6);
  for (std::uint64_t page = 0; page < 8192; ++page) {
    Page content{};
    PageMaker(page + 1).fill(PageKind::Text, MutableBytes(content).first(800 + random.below(3200)));
    write(page, content);
  }
  store_->maintain();
  const std::uint64_t before = store_->pool().resident_pages();
  EXPECT_GT(recompress_pages().changed_pages, 7000U);
  EXPECT_LE(store_->pool().resident_pages_max(), before + before / 32 + 300);
  store_->maintain();
  EXPECT_LT(store_->pool().resident_pages(), before * 9 / 10);
  expect_content();
}

// --- stops ---------------------------------------------------------------------------------------

TEST_F(RecompressorTest, StopsWhenTold) {
  make();
  write_pages(0, 20, PageKind::Text);
  stop_ = true;
  const BackgroundOutcome outcome = recompress_pages();
  EXPECT_EQ(outcome.tried_pages, 0U);
  EXPECT_FALSE(outcome.has_seen_all);
  stop_ = false;
  EXPECT_EQ(recompress_pages().changed_pages, 20U);
}

TEST_F(RecompressorTest, StopsWhenItsProcessorTimeIsSpent) {
  make(4096);
  write_pages(0, 2000, PageKind::Text);
  RecompressRequest request;
  request.most_cpu = std::chrono::microseconds(0);
  const BackgroundOutcome first = recompress_pages(request);
  EXPECT_FALSE(first.has_seen_all);
  EXPECT_LE(first.tried_pages, 16U) << "the clock is looked at every so often";
  request.most_cpu = std::chrono::minutes(10);
  EXPECT_TRUE(recompress_pages(request).has_seen_all);
}

// --- limits and damage ---------------------------------------------------------------------------

TEST_F(RecompressorTest, ShrinksPagesFarAboveTheLimit) {
  make();
  write_pages(0, 100, PageKind::Text);
  store_->pool().set_limit_pages(1);
  EXPECT_EQ(recompress_pages().changed_pages, 100U);
  expect_content();
}

TEST_F(RecompressorTest, PassesOverDamagedPages) {
  make();
  write_pages(0, 9, PageKind::Text);
  const ArenaView view(*store_);
  view.object(4)[10] ^= std::byte{1};
  const auto outcome = recompress(*store_, {}, stop_);
  ASSERT_TRUE(outcome);
  EXPECT_EQ(outcome->changed_pages, 8U);
  EXPECT_EQ(read_error(4), EIO);
  EXPECT_EQ(word(4).priority(), 0);
  write(4, page_of(PageKind::Text, 5));
  EXPECT_EQ(recompress_pages().changed_pages, 1U);
  expect_content();
}

// --- the two steps that it is made of ------------------------------------------------------------

class MarkedPage : public BackgroundTest {
 protected:
  void SetUp() override {
    make(64);
    write_pages(0, 4, PageKind::Text);
  }
  [[nodiscard]] bool mark(std::uint64_t page) {
    const Result<bool> is_read = store_->read_and_mark({page}, word(page), copy_);
    if (!is_read || !*is_read) return false;
    EXPECT_EQ(copy_, mirror_[page]);
    return true;
  }
  // Another object with the same content, as work in the background builds it.
  [[nodiscard]] SlotWord rebuilt(std::uint64_t page) {
    const Result<SlotWord> fresh = store_->build_alone(mirror_[page], word(page));
    EXPECT_TRUE(fresh);
    return *fresh;
  }
  // What happens between the two steps must keep the second from being done.
  template <typename Event>
  void expect_undone_by(Event event) {
    ASSERT_TRUE(mark(1));
    ASSERT_TRUE(word(1).is_marked());
    const SlotWord fresh = rebuilt(1);
    event();
    const SlotWord now = word(1);
    EXPECT_FALSE(now.is_marked());
    EXPECT_FALSE(store_->replace_marked({1}, fresh));
    EXPECT_EQ(word(1), now);
    store_->unmark({1}, SlotWord::kIncompressible);
    EXPECT_EQ(word(1), now) << "the flags are for the content that was there";
    store_->drop(fresh);
    expect_content();
    store_->check_invariants();
  }

  Page copy_{};
};

TEST_F(MarkedPage, IsReplacedWhenNothingHappens) {
  ASSERT_TRUE(mark(1));
  const SlotWord fresh = rebuilt(1);
  ASSERT_TRUE(store_->replace_marked({1}, fresh));
  EXPECT_EQ(word(1), fresh);
  EXPECT_FALSE(store_->replace_marked({1}, fresh)) << "once";
  expect_content();
}

TEST_F(MarkedPage, IsLeftAfterARead) {
  expect_undone_by([&] { touch(1); });
}
TEST_F(MarkedPage, IsLeftAfterAReadOfAPart) {
  expect_undone_by([&] {
    std::array<std::byte, 3> part;
    ASSERT_EQ(code_of(store_->read_part({1}, 7, part)), 0);
  });
}
TEST_F(MarkedPage, IsLeftAfterAWriteOfTheSameContent) {
  expect_undone_by([&] { write(1, Page(mirror_[1])); });
}
TEST_F(MarkedPage, IsLeftAfterAWriteOfAPart) {
  expect_undone_by([&] { write_part(1, 100, ConstBytes(page_of(PageKind::Random, 5)).first(1)); });
}
TEST_F(MarkedPage, IsLeftAfterAWriteOfNoBytes) {
  expect_undone_by([&] { write_part(1, 100, ConstBytes(mirror_[1]).first(0)); });
}
TEST_F(MarkedPage, IsLeftAfterAFree) {
  expect_undone_by([&] { free_page(1); });
}
TEST_F(MarkedPage, IsLeftAfterAFreeAndAWrite) {
  expect_undone_by([&] {
    const Page content = mirror_[1];
    free_page(1);
    write(1, content);
  });
}
TEST_F(MarkedPage, IsLeftAfterAWriteThatTheLimitForbids) {
  store_->pool().set_limit_pages(1);
  expect_undone_by([&] {
    const Page random = page_of(PageKind::Random, 1);
    ASSERT_EQ(code_of(store_->write_part({1}, 0, random)), ENOSPC);
  });
}

TEST_F(MarkedPage, IsReplacedAfterItsObjectWasMoved) {
  for (std::uint64_t page = 4; page < 60; ++page) write(page, page_of(PageKind::Text, page));
  for (std::uint64_t page = 4; page < 59; ++page) free_page(page);
  const std::uint64_t last = 59;
  ASSERT_TRUE(mark(last));
  const SlotWord fresh = rebuilt(last);
  store_->compact();
  EXPECT_TRUE(word(last).is_marked()) << "a move is no access";
  EXPECT_TRUE(store_->replace_marked({last}, fresh));
  expect_content();
}

TEST_F(MarkedPage, IsNotMarkedWhenItIsNotWhatWasSeen) {
  const SlotWord seen = word(1);
  write(1, page_of(PageKind::Text, 99));
  Result<bool> is_read = store_->read_and_mark({1}, seen, copy_);
  ASSERT_TRUE(is_read);
  EXPECT_FALSE(*is_read);
  EXPECT_FALSE(word(1).is_marked());
  is_read = store_->read_and_mark({1}, word(1).with(SlotWord::kIdle), copy_);
  ASSERT_TRUE(is_read);
  EXPECT_FALSE(*is_read);
  expect_content();
}

TEST_F(MarkedPage, IsAsOldButNotIdleWhenItsMarkEnds) {
  mark_idle(1, 1);
  set_age(1, 5);
  ASSERT_TRUE(mark(1));
  EXPECT_TRUE(word(1).is_idle()) << "work in the background is no access";
  store_->unmark({1}, SlotWord::kIncompressible);
  EXPECT_FALSE(word(1).is_idle() || word(1).is_marked());
  EXPECT_EQ(word(1).age(), 5) << "later stages wait for pages that nobody has touched for longer";
  EXPECT_TRUE(word(1).is_incompressible());
}

TEST_F(MarkedPage, IsAsOldAfterItWasReplaced) {
  set_age(1, 5);
  ASSERT_TRUE(mark(1));
  ASSERT_TRUE(store_->replace_marked({1}, rebuilt(1)));
  EXPECT_EQ(word(1).age(), 5);
  touch(1);
  EXPECT_EQ(word(1).age(), 0);
}

TEST_F(MarkedPage, IsForgottenByACrash) {
  ASSERT_TRUE(mark(1));
  mark_idle(2, 1);
  set_age(2, 3);
  reopen_store();
  EXPECT_FALSE(word(1).is_marked());
  EXPECT_TRUE(word(2).is_idle());
  EXPECT_EQ(word(2).age(), 3);
  expect_content();
}

// --- with others at the same time ----------------------------------------------------------------

class RecompressorThread : public BackgroundTest {};

TEST_F(RecompressorThread, NeverPublishesWhatAWriterHasReplaced) {
  constexpr std::uint64_t kPages = 24;
  constexpr std::uint64_t kVersions = UZ_UNDER_SANITIZER ? 400 : 1500;
  make(kPages);
  std::atomic<bool> is_over{false};
  std::thread packer([&] {
    while (!is_over.load()) UZ_CHECK(recompress(*store_, {}, stop_).has_value());
  });
  const auto content = [](std::uint64_t page, std::uint64_t version) {
    return page_of(version % 5 == 0 ? PageKind::Random : PageKind::Text, version * kPages + page);
  };
  for (std::uint64_t version = 1; version <= kVersions && !HasFailure(); ++version) {
    for (std::uint64_t page = version % 3; page < kPages; page += 3) {
      write(page, content(page, version));
      if (version % 4 == 0) touch((page * 7 + version) % kPages / 3 * 3 + version % 3);
    }
  }
  is_over = true;
  packer.join();
  expect_content();
}

TEST_F(RecompressorThread, EndsSoonWhenAnotherThreadTellsIt) {
  make(8192);
  for (std::uint64_t page = 0; page < 6000; ++page)
    ASSERT_EQ(code_of(store_->write({page}, page_of(PageKind::Text, page % 16))), 0);
  std::atomic<bool> has_begun{false};
  Result<BackgroundOutcome> outcome;
  std::thread packer([&] {
    has_begun = true;
    outcome = recompress(*store_, {}, stop_);
  });
  while (!has_begun.load() || store_->word_of({0}).priority() == 0) std::this_thread::yield();
  stop_ = true;
  packer.join();
  ASSERT_TRUE(outcome);
  EXPECT_FALSE(outcome->has_seen_all);
  EXPECT_LT(outcome->changed_pages, 6000U);
}

// --- packed sizes near a page --------------------------------------------------------------------

// With its check it would be larger than any object.
TEST_F(RecompressorTest, LeavesPagesThatPackToLessThanTheirCheckBelowAPage) {
  for (const char* second : {"lz4", "deflate"}) {
    mirror_.clear();
    make(config_of("zstd", second, 512));
    for (std::uint64_t page = 0; page < 96; ++page)
      write(page, page_with_random_bytes(4000 + page, page));
    recompress_pages();
    expect_content();
  }
}

// Objects of 4,033 to 4,080 bytes cost a whole page, as they did when they were raw.
TEST_F(RecompressorTest, PacksNoPageAgainThatCostsAPageAfterwards) {
  make(config_of("zstd", "lz4", 512));
  for (std::uint64_t page = 0; page < 60; ++page)
    write(page, page_with_random_bytes(4015 + page % 30, page));
  recompress_pages();
  for (const std::uint64_t page : repacked_pages())
    EXPECT_LT(word(page).packed_bytes() + kPageCheckBytes, 4033U) << "page " << page;
}

}  // namespace
}  // namespace uzram
