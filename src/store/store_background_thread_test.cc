// SPDX-License-Identifier: Apache-2.0
// Everything that happens after the write, while many threads write and read the same pages.
//
// A page holds a version; pages with the same version hold the same bytes, so most content is
// shared most of the time. A reader that begins after a version was acknowledged sees it or a later
// one.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>

#include "store/writeback_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kPages = 48;
constexpr int kRounds = UZ_UNDER_SANITIZER ? 1200 : 4000;

Page content_of(std::uint64_t version) {
  Page page = page_of(version % 5 == 0 ? PageKind::Random : PageKind::Text, version);
  for (std::size_t i = 0; i < kPageBytes; i += 512) std::memcpy(&page[i], &version, sizeof version);
  return page;
}

class StoreBackgroundThread : public WritebackTest {
 protected:
  void SetUp() override {
    StoreConfig config = config_of("lz4", "zstd", kPages);
    config.uses_dedup = true;
    config.tracks_access = true;
    make_backed(config, 3);
  }
  // Writers own pages by their number; versions only grow.
  void write_next(std::uint64_t page) {
    const std::uint64_t version = acknowledged_[page].load() + 1;
    const Page content = content_of(version);
    ASSERT_TRUE(store_->write({page}, content).has_value());
    acknowledged_[page].store(version);
  }
  // The same in two steps, by parts: in between the page is neither.
  void write_same_part(std::uint64_t page) {
    const Page content = content_of(acknowledged_[page].load());
    if (acknowledged_[page].load() == 0) return;
    ASSERT_TRUE(store_->write_part({page}, 700, ConstBytes(content).subspan(700, 900)).has_value());
  }
  void expect_version(std::uint64_t page) {
    const std::uint64_t before = acknowledged_[page].load();
    Page out;
    const int error = code_of(store_->read({page}, out));
    ASSERT_EQ(error, 0) << "page " << page;
    std::uint64_t version = 0;
    std::memcpy(&version, out.data(), sizeof version);
    ASSERT_GE(version, before) << "page " << page;
    ASSERT_EQ(out, version == 0 ? Page{} : content_of(version)) << "page " << page;
  }
  void work_on_slots(Random& random) {
    switch (random.below(8)) {
      case 0: {
        RecompressRequest request;
        request.most_pages = 20;
        ASSERT_TRUE(recompress(*store_, request, stop_).has_value());
        break;
      }
      case 1: {
        ClusterRequest request;
        request.cluster_pages = 2 + random.below(8);
        ASSERT_TRUE(make_clusters(*store_, request, stop_).has_value());
        break;
      }
      case 2:
      case 3: {
        WritebackRequest request;
        request.keep_packed = random.below(2) == 0;
        request.pages.type = random.below(2) == 0 ? PageType::Idle : PageType::All;
        if (random.below(3) == 0) request.ranges = {{{random.below(kPages)}, {kPages - 1}}};
        const int error = write_back(*store_, request, stop_).error;
        ASSERT_TRUE(error == 0 || error == ENOSPC) << error;
        break;
      }
      case 4:
        mark_all_idle(*store_);
        break;
      case 5:
        sweep_ages(*store_, {.advancing = 0xff, .idle_age = 2});
        break;
      case 6:
        store_->compact();
        break;
      default:
        for (std::uint64_t page = 0; page < kPages; ++page)
          static_cast<void>(state_of(*store_, {page}));
        static_cast<void>(store_->dedup_stats());
        break;
    }
  }
  void start(std::function<void(Random&)> work) {
    const std::uint64_t seed = threads_.size() + 1;
    ++still_working_;
    threads_.emplace_back([this, seed, work = std::move(work)] {
      Random random(seed);
      for (int round = 0; round < kRounds && !HasFatalFailure(); ++round) work(random);
      --still_working_;
    });
  }
  void run_with_background(int count = 1) {
    std::vector<std::thread> behind;
    for (int i = 0; i < count; ++i) {
      behind.emplace_back([this, i] {
        Random random(99 + static_cast<std::uint64_t>(i));
        while (still_working_.load() > 0 && !HasFatalFailure()) work_on_slots(random);
      });
    }
    for (std::thread& thread : threads_) thread.join();
    for (std::thread& thread : behind) thread.join();
    for (std::uint64_t page = 0; page < kPages; ++page) expect_version(page);
    expect_sound();
    reopen_backed();
    for (std::uint64_t page = 0; page < kPages; ++page) expect_version(page);
    expect_sound();
  }

  std::array<std::atomic<std::uint64_t>, kPages> acknowledged_{};
  std::vector<std::thread> threads_;
  std::atomic<int> still_working_{0};
};

TEST_F(StoreBackgroundThread, ReadsWholeVersionsThatAreNotOlderThanTheAcknowledgedOne) {
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    start([this, writer](Random& random) {
      const std::uint64_t page = random.below(kPages / 2) * 2 + writer;
      random.below(6) == 0 ? write_same_part(page) : write_next(page);
    });
  }
  for (int reader = 0; reader < 2; ++reader)
    start([this](Random& random) { expect_version(random.below(kPages)); });
  run_with_background(2);
}

// Few pages, so that writers meet sharers that are being written themselves.
TEST_F(StoreBackgroundThread, SharesBetweenPagesThatBothAreWritten) {
  for (std::uint64_t writer = 0; writer < 3; ++writer) {
    start([this, writer](Random& random) {
      const std::uint64_t page = random.below(2) * 3 + writer;
      random.below(8) == 0 ? write_same_part(page) : write_next(page);
    });
  }
  start([this](Random& random) { expect_version(random.below(6)); });
  run_with_background();
}

// The last sharers leave while others join.
TEST_F(StoreBackgroundThread, EndsSharedContentWhileOthersJoinIt) {
  const std::array<Page, 3> contents = {content_of(1), content_of(5), content_of(7)};
  for (std::uint64_t writer = 0; writer < 3; ++writer) {
    start([this, writer, &contents](Random& random) {
      const std::uint64_t page = 10 + writer;
      const Page& content = contents[random.below(3)];
      ASSERT_TRUE(store_->write({page}, content).has_value());
      ASSERT_EQ(read_page_of(*store_, page), content);
      if (random.below(2) == 0) store_->free({page}, 1);
    });
  }
  start([this](Random&) { store_->free({20}, 2); });
  std::thread([] {}).join();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  store_->free({0}, kPages);
  EXPECT_EQ(store_->sums(), StoreSums{});
  expect_sound();
}

// A store so small that its blocks are used again at once, and memory so small that pages stay
// there.
TEST_F(StoreBackgroundThread, UsesBlocksAgainThatOthersAreReading) {
  store_.reset();
  disk_ = std::make_unique<FakeDisk>(70);
  SetUp();
  start([this](Random& random) { write_next(random.below(kPages)); });
  for (int reader = 0; reader < 3; ++reader)
    start([this](Random& random) { expect_version(random.below(kPages)); });
  run_with_background();
}

}  // namespace
}  // namespace uzram
