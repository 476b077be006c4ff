// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_writer.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/random.h"
#include "store/background_fixture.h"

namespace uzram {
namespace {

// Gives up those pages of a call whose numbers are in `unwanted`.
class ListedKeeper final : public PageKeeper {
 public:
  explicit ListedKeeper(std::set<std::size_t> unwanted = {}) : unwanted_(std::move(unwanted)) {}
  bool try_hold(std::size_t number) override {
    EXPECT_FALSE(held_.has_value()) << "one at a time";
    if (unwanted_.contains(number)) return false;
    held_ = number;
    return true;
  }
  void release(std::size_t number) override {
    EXPECT_EQ(held_, number);
    held_.reset();
    EXPECT_TRUE(stored_.insert(number).second) << number << " twice";
  }
  [[nodiscard]] const std::set<std::size_t>& stored() const { return stored_; }

 private:
  const std::set<std::size_t> unwanted_;
  std::optional<std::size_t> held_;
  std::set<std::size_t> stored_;
};

class ClusterWriterTest : public BackgroundTest {
 protected:
  void make_writer(std::size_t cluster_pages, std::uint64_t disk_pages = 256) {
    make(config_of("zstd", "lz4", disk_pages));
    auto made = ClusterWriter::make(*store_, cluster_pages, 3, 2);
    ASSERT_TRUE(made.has_value());
    writer_ = std::move(*made);
  }
  // Writes new content of a kind to pages of one stretch; those with the numbers in `unwanted` stay
  // as they are.
  ClusterWriteOutcome write_together(const std::vector<std::uint64_t>& pages, PageKind kind,
                                     const std::set<std::size_t>& unwanted = {}) {
    std::vector<Page> contents;
    for (const std::uint64_t page : pages) contents.push_back(page_of(kind, page + 1000 * ++seed_));
    std::vector<PageToWrite> given;
    for (std::size_t i = 0; i < pages.size(); ++i)
      given.push_back({{pages[i]}, contents[i].data()});
    ListedKeeper keeper(unwanted);
    const Result<ClusterWriteOutcome> done = writer_->write(given, keeper);
    EXPECT_EQ(code_of(done), 0);
    EXPECT_EQ(keeper.stored().size(), pages.size() - unwanted.size());
    for (const std::size_t number : keeper.stored()) mirror_[pages[number]] = contents[number];
    store_->check_invariants();
    return done.value_or(ClusterWriteOutcome{});
  }
  static std::vector<std::uint64_t> pages_from(std::uint64_t first, std::uint64_t count) {
    std::vector<std::uint64_t> pages;
    for (std::uint64_t page = first; page < first + count; ++page) pages.push_back(page);
    return pages;
  }
  [[nodiscard]] std::size_t cluster_size(std::uint64_t page) const {
    return store_->cluster_slots().size(cluster_of(page));
  }

  std::unique_ptr<ClusterWriter> writer_;
  std::uint64_t seed_ = 0;
};

TEST_F(ClusterWriterTest, PacksPagesOfAStretchTogether) {
  make_writer(16);
  EXPECT_EQ(write_together(pages_from(64, 16), PageKind::Text).clustered_pages, 16U);
  EXPECT_EQ(store_->sums().clusters, 1);
  EXPECT_EQ(cluster_size(64), 16U);
  expect_content();
}

TEST_F(ClusterWriterTest, RefusesWhatNoClusterCanBe) {
  make(config_of("zstd", "lz4", 64));
  EXPECT_EQ(code_of(ClusterWriter::make(*store_, 1, 3, 1)), EINVAL);
  EXPECT_EQ(code_of(ClusterWriter::make(*store_, 33, 3, 1)), EINVAL);
  EXPECT_EQ(code_of(ClusterWriter::make(*store_, 16, 0, 1)), EINVAL);
}

TEST_F(ClusterWriterTest, CompletesTheRestOfOneCallInTheNext) {
  make_writer(4);
  write_together(pages_from(0, 10), PageKind::Text);
  EXPECT_EQ(store_->sums().clusters, 3);
  EXPECT_EQ(cluster_size(9), 2U);
  EXPECT_EQ(write_together({20, 30}, PageKind::Text).repacked_pages, 2U);
  EXPECT_EQ(cluster_of(9), cluster_of(30));
  EXPECT_EQ(store_->sums().clusters, 3);
  expect_content();
}

TEST_F(ClusterWriterTest, LeavesPagesThatNobodyWantsStoredAnyMore) {
  make_writer(16);
  write_pages(0, 16, PageKind::Records);
  write_together(pages_from(0, 16), PageKind::Text, {3, 5, 15});
  EXPECT_EQ(store_->sums().member_pages, 13);
  expect_content();
  write_together(pages_from(64, 8), PageKind::Text, {0, 1, 2, 3, 4, 5, 6, 7});
  EXPECT_EQ(store_->sums().member_pages, 13) << "a cluster without a member is none";
  EXPECT_EQ(store_->sums().clusters, 1);
  expect_content();
}

TEST_F(ClusterWriterTest, LeavesOutWhatCostsNothing) {
  make_writer(8);
  std::vector<std::uint64_t> pages = pages_from(0, 4);
  write_together(pages, PageKind::Zeros);
  EXPECT_EQ(store_->sums().same_pages, 4);
  EXPECT_EQ(store_->sums().clusters, 0);
  expect_content();
}

TEST_F(ClusterWriterTest, StoresAloneWhatDoesNotPack) {
  make_writer(8);
  write_together(pages_from(0, 8), PageKind::Random);
  EXPECT_EQ(store_->sums().raw_pages, 8);
  write_together({40}, PageKind::Text);
  EXPECT_EQ(state(40), SlotState::Packed) << "alone";
  expect_content();
}

TEST_F(ClusterWriterTest, TakesAlongWhatIsLeftOfAPartlyDeadCluster) {
  make_writer(8);
  write_together(pages_from(0, 8), PageKind::Text);
  write_together(pages_from(8, 8), PageKind::Text);
  free_page(0);
  free_page(1);
  free_page(8);
  const PageIndex mostly_alive = cluster_of(9);
  EXPECT_EQ(write_together({0, 1}, PageKind::Text).repacked_pages, 6U);
  EXPECT_EQ(cluster_of(0), cluster_of(7));
  EXPECT_EQ(cluster_of(9), mostly_alive);
  EXPECT_EQ(store_->sums().clusters, 2);
  expect_content();
}

TEST_F(ClusterWriterTest, TakesAlongPagesThatStandAlone) {
  make_writer(8);
  write_pages(0, 5, PageKind::Text);
  write_pages(64, 1, PageKind::Text);
  EXPECT_EQ(write_together({10}, PageKind::Text).repacked_pages, 5U);
  EXPECT_EQ(cluster_size(10), 6U);
  EXPECT_EQ(state(64), SlotState::Packed) << "another stretch";
  expect_content();
}

// It would free nothing.
TEST_F(ClusterWriterTest, LeavesClustersThatReachIntoAnotherStretch) {
  make_writer(8);
  write_pages(60, 8, PageKind::Text);
  ASSERT_EQ(cluster_pages(8).changed_pages, 8U);
  for (const std::uint64_t page : {60, 61, 62}) free_page(page);
  EXPECT_EQ(write_together({0}, PageKind::Text).repacked_pages, 0U);
  expect_content();
}

TEST_F(ClusterWriterTest, KeepsWhatIsThereAtTheLimit) {
  make_writer(8);
  write_pages(0, 8, PageKind::Random);
  write_pages(8, 4, PageKind::Text);
  store_->pool().set_limit_pages(store_->pool().resident_pages());
  std::vector<Page> contents;
  std::vector<PageToWrite> given;
  for (std::uint64_t page = 32; page < 64; ++page)
    contents.push_back(page_with_random_bytes(2000, page));
  for (std::uint64_t page = 32; page < 64; ++page)
    given.push_back({{page}, contents[page - 32].data()});
  ListedKeeper keeper;
  EXPECT_EQ(code_of(writer_->write(given, keeper)), ENOSPC);
  for (const std::size_t number : keeper.stored()) mirror_[32 + number] = contents[number];
  EXPECT_LT(keeper.stored().size(), given.size());
  store_->check_invariants();
  expect_content();
}

// What is written again and again, a few pages at a time, stays in clusters that are mostly alive,
// and nobody walks the table for it.
TEST_F(ClusterWriterTest, KeepsClustersAliveUnderRandomWrites) {
  for (const std::size_t size : {4, 16}) {
    mirror_.clear();
    make_writer(size, 256);
    Random random(size);
    for (std::uint64_t first = 0; first < 256; first += 64)
      write_together(pages_from(first, 64), PageKind::Text);
    for (int round = 0; round < 150; ++round) {
      const std::uint64_t stretch = random.below(4) * 64;
      std::set<std::uint64_t> chosen;
      for (std::uint64_t left = 1 + random.below(6); left > 0; --left)
        chosen.insert(stretch + random.below(64));
      for (const std::uint64_t page : chosen)
        if (random.below(4) != 0) free_page(page);
      write_together({chosen.begin(), chosen.end()}, PageKind::Text);
    }
    expect_content();
    std::uint64_t made = 0;
    const SharedSlots& clusters = store_->cluster_slots();
    for (std::uint64_t slot = clusters.begin(); slot < clusters.end(); ++slot)
      if (clusters.users({slot}) != 0) made += clusters.size({slot});
    const auto alive = static_cast<std::uint64_t>(store_->sums().member_pages);
    EXPECT_GE(alive, 240U) << "few stand alone";
    EXPECT_GE(alive * 8, made * 7) << "clusters of " << size;
  }
}

// Writers of different pages of the same stretches, who find each other's pages to take along,
// while others write, discard and read what they take.
TEST_F(ClusterWriterTest, LosesNoPageOfAnyThread) {
  constexpr std::uint64_t kWriters = 3;
  constexpr int kRounds = UZ_UNDER_SANITIZER ? 60 : 300;
  make_writer(8, 128);
  std::vector<std::thread> threads;
  std::array<std::map<std::uint64_t, Page>, kWriters> last;
  for (std::uint64_t writer = 0; writer < kWriters; ++writer) {
    threads.emplace_back([&, writer] {
      Random random(writer + 1);
      for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t stretch = random.below(2) * 64;
        std::map<std::uint64_t, Page> pages;
        for (std::uint64_t left = 1 + random.below(5); left > 0; --left) {
          const std::uint64_t page = stretch + random.below(64 / kWriters) * kWriters + writer;
          if (page < stretch + 64) pages[page] = page_of(PageKind::Text, random.next() % 100000);
        }
        std::vector<PageToWrite> given;
        for (const auto& [page, content] : pages) given.push_back({{page}, content.data()});
        ListedKeeper keeper;
        ASSERT_TRUE(writer_->write(given, keeper).has_value());
        for (const auto& [page, content] : pages) last[writer][page] = content;
        const auto& [page, content] = *last[writer].begin();
        Page out;
        ASSERT_TRUE(store_->read({page}, out).has_value());
        ASSERT_EQ(out, content) << "page " << page;
        if (random.below(3) == 0) {
          store_->free({page}, 1);
          last[writer].erase(last[writer].begin());
          if (last[writer].empty()) last[writer][stretch + writer] = Page{};
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& pages : last)
    for (const auto& [page, content] : pages) mirror_[page] = content;
  store_->check_invariants();
  expect_content();
}

}  // namespace
}  // namespace uzram
