// SPDX-License-Identifier: Apache-2.0
// Backing stores that fail, stall, fill up, lie and vanish, in the middle of writes and of reads:
// no page is lost or changed unless its only copy was there, and then it alone.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string_view>
#include <thread>
#include <tuple>

#include "backing/backing_store_rows.h"
#include "store/writeback_fixture.h"

namespace uzram {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Kind = FakeDisk::Kind;

class WritebackFault : public WritebackTest {
 protected:
  void fill(std::size_t lane_count = 4) {
    StoreConfig config = config_of("lz4", "zstd", 300);
    config.uses_dedup = true;
    make_backed(config, lane_count);
    write_pages(0, 64, PageKind::Text);
    cluster_pages(8);
    write_pages(64, 60, PageKind::Text);
    write_pages(124, 60, PageKind::Random);
    for (std::uint64_t page = 184; page < 200; ++page) write(page, Page(mirror_[page - 100]));
  }
  void expect_all_but_those_away() {
    for (const auto& [page, content] : mirror_) {
      if (is_away(page)) continue;
      ASSERT_EQ(read_page_of(*store_, page), content) << "page " << page;
    }
  }
  // Every page reads as it was written or, if it is away, not at all.
  void expect_content_or_error() {
    for (const auto& [page, content] : mirror_) {
      const bool was_away = is_away(page);
      Page out;
      const int error = code_of(store_->read({page}, out));
      ASSERT_TRUE((error == 0 && out == content) || (error == EIO && was_away)) << "page " << page;
    }
  }
  template <typename Work>
  static milliseconds time_of(Work work) {
    const auto start = Clock::now();
    work();
    return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  }
};

// --- in the middle of writes ---------------------------------------------------------------------

TEST_F(WritebackFault, LosesNothingWhicheverWriteFails) {
  options_.writer_count = 2;
  for (std::uint64_t n = 0; n < 6; ++n) {
    fill();
    for (std::uint64_t i = 0; i < 100; ++i) write(200 + i, page_of(PageKind::Random, 500 + i));
    disk_->fail(Kind::Write, ENOSPC, n, 1);
    const WritebackOutcome outcome = write_back_all();
    disk_->work_again();
    const bool has_failed = n < disk_->request_count(Kind::Write);
    EXPECT_EQ(outcome.error, has_failed ? ENOSPC : 0) << n;
    EXPECT_TRUE(outcome.has_seen_all) << "the others are tried";
    expect_content();
    EXPECT_EQ(write_back_all().error, 0);
    EXPECT_EQ(counters().retired_blocks, 0U);
    expect_content();
    store_.reset();
    disk_ = std::make_unique<FakeDisk>(kBlocks);
  }
}

TEST_F(WritebackFault, LosesNothingWhenAllWritesFail) {
  fill();
  disk_->fail(Kind::Write, EIO);
  const WritebackOutcome outcome = write_back_all();
  EXPECT_EQ(outcome.error, EIO);
  EXPECT_EQ(outcome.written_pages, 0U);
  EXPECT_EQ(outcome.written_blocks, 0U);
  EXPECT_EQ(pages_away().size(), 0U);
  EXPECT_EQ(counters().blocks_in_use, 0U);
  disk_->fail(Kind::Read, EIO);
  expect_content();
}

TEST_F(WritebackFault, DoesNotUseBlocksAgainWhoseWriteMayStillHappen) {
  fill();
  disk_->lose_writes(1);
  EXPECT_EQ(write_back_all().error, EIO);
  EXPECT_GT(counters().retired_blocks, 0U);
  expect_content();
  write_back_all();
  expect_content();
}

TEST_F(WritebackFault, GivesUpOnWritesThatDoNotEnd) {
  options_.time_limit = milliseconds(150);
  fill();
  disk_->hold_up();
  WritebackOutcome outcome;
  const milliseconds time = time_of([&] { outcome = write_back(*store_, {}, stop_); });
  EXPECT_LT(time, milliseconds(5'000));
  EXPECT_EQ(outcome.error, EIO);
  EXPECT_EQ(outcome.written_pages, 0U);
  EXPECT_EQ(pages_away().size(), 0U);
  expect_sound();
  expect_content();
  disk_->answer_new_requests();
  write_back(*store_, {}, stop_);
  disk_->let_go();  // What was given up arrives after all.
  expect_content();
  write_back_all();
  expect_content();
  expect_sound();
}

TEST_F(WritebackFault, StopsWhenTheDeviceIsTakenDown) {
  fill();
  disk_->hold_up();
  WritebackOutcome outcome;
  std::thread writer([&] { outcome = write_back(*store_, {}, stop_); });
  while (disk_->request_count(Kind::Write) == 0) std::this_thread::yield();
  const milliseconds time = time_of([&] {
    stop_ = true;
    store_->backing()->store().shut_down();
    writer.join();
  });
  EXPECT_LT(time, milliseconds(2'000));
  EXPECT_EQ(outcome.written_pages, 0U);
  disk_->let_go();
  expect_content();
}

// --- in the middle of reads ----------------------------------------------------------------------

TEST_F(WritebackFault, FailsReadsOfThatPageAloneAndAWriteHealsIt) {
  fill();
  write_back_range(64, 150);
  disk_->fail(Kind::Read, EIO);
  for (std::uint64_t page = 64; page <= 150; ++page) ASSERT_EQ(read_error(page), EIO);
  expect_all_but_those_away();
  write(70, page_of(PageKind::Text, 7));
  write(130, page_of(PageKind::Random, 7));
  EXPECT_EQ(code_of(store_->write_part({71}, 5, ConstBytes(mirror_[70]).first(9))), EIO)
      << "a part needs the rest";
  free_page(131);
  expect_all_but_those_away();
  expect_sound();
  disk_->work_again();
  expect_content();
}

TEST_F(WritebackFault, FailsOneReadAndNotTheNext) {
  fill();
  write_back_all();
  disk_->fail(Kind::Read, EIO, 2, 3);
  expect_content_or_error();
  expect_content();
  expect_sound();
}

TEST_F(WritebackFault, FailsReadsOfPagesWhoseBlocksHaveChanged) {
  for (const bool encrypts : {true, false}) {
    StoreConfig config = config_of("lz4", "zstd", 300);
    config.backing.encrypts = encrypts;
    make_backed(config);
    write_pages(0, 100, PageKind::Random);
    write_back_all();
    const std::uint64_t victim = word(42).place().value / kStepsPerBlock;
    disk_->block(victim)[77] ^= std::byte{4};
    for (std::uint64_t page = 0; page < 100; ++page)
      EXPECT_EQ(read_error(page), page == 42 ? EIO : 0) << page;
    EXPECT_TRUE(is_away(42));
    write(42, page_of(PageKind::Text, 42));
    expect_content();
    expect_sound();
  }
}

TEST_F(WritebackFault, FailsEveryPageOfADamagedCluster) {
  fill();
  write_back_all();
  const SlotWord cluster = store_->word_of_slot(cluster_of(9));
  disk_->block(cluster.place().value /
               kStepsPerBlock)[(cluster.place().value % kStepsPerBlock) * 16 + 30] ^= std::byte{1};
  store_->pool().set_limit_pages(1);  // So that nothing else in the block comes back either.
  for (std::uint64_t page = 8; page < 16; ++page) EXPECT_EQ(read_error(page), EIO);
  for (std::uint64_t page = 24; page < 64; ++page) touch(page);
  store_->pool().set_limit_pages(0);
  for (std::uint64_t page = 8; page < 16; ++page) write(page, page_of(PageKind::Text, 3 * page));
  expect_content();
}

// Pages that were changed where they lie outside, of every form: singles and clusters, packed and
// raw, encrypted and not, with checks in memory and without.
class TamperedPages : public WritebackFault,
                      public testing::WithParamInterface<std::tuple<bool, bool, const char*>> {
 protected:
  static constexpr std::uint64_t kPages = 2000;

  void make_and_write_back() {
    const auto& [has_page_checks, encrypts, form] = GetParam();
    StoreConfig config = config_of("lz4", "zstd", kPages);
    config.has_page_checks = has_page_checks;
    config.backing.encrypts = encrypts;
    make_backed(config);
    const bool is_raw = std::string_view(form) == "raw";
    write_pages(0, kPages, is_raw ? PageKind::Random : PageKind::Text);
    if (std::string_view(form) == "clusters") cluster_pages(8);
    ASSERT_EQ(write_back_all().error, 0);
    ASSERT_EQ(pages_away().size(), kPages);
  }
  // A bit in every 128 bytes.
  void tamper() {
    for (std::size_t at = 5; at < disk_->bytes().size(); at += 128)
      disk_->bytes()[at] ^= std::byte{1} << (at / 128 % 8);
  }
};

INSTANTIATE_TEST_SUITE_P(Forms, TamperedPages,
                         testing::Combine(testing::Bool(), testing::Bool(),
                                          testing::Values("raw", "packed", "clusters")));

TEST_P(TamperedPages, NeverReadAsOtherBytes) {
  make_and_write_back();
  tamper();
  std::uint64_t wrong = 0;
  std::uint64_t failed = 0;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    Page out;
    const int error = code_of(store_->read({page}, out));
    failed += error == EIO ? 1 : 0;
    wrong += error == 0 && out != mirror_[page] ? 1 : 0;
  }
  EXPECT_EQ(wrong, 0U);
  EXPECT_GT(failed, kPages * 9 / 10);
}

// --- a store that stalls -------------------------------------------------------------------------

// With a single lane of each kind, whoever kept one while the store is asked would stop everybody.
TEST_F(WritebackFault, KeepsServingMemoryWhileReadsStall) {
  fill(1);
  write_back_range(64, 150);
  disk_->hold_up();
  std::vector<std::thread> waiting;
  std::atomic<int> failed{0};
  const auto read_one = [&](std::uint64_t page) {
    Page out;
    if (!store_->read({page}, out) || out != mirror_.at(page)) ++failed;
  };
  for (const std::uint64_t page : {64, 80, 130}) waiting.emplace_back(read_one, page);
  const Page part = page_of(PageKind::Text, 999);
  waiting.emplace_back([&] {
    if (!store_->write_part({140}, 100, ConstBytes(part).first(50))) ++failed;
  });
  std::this_thread::sleep_for(milliseconds(50));
  const milliseconds time = time_of([&] {
    for (std::uint64_t page = 0; page < 64; ++page) touch(page);
    for (std::uint64_t page = 160; page < 180; ++page) {
      touch(page);
      write(page, page_of(PageKind::Text, page + 1));
      write_part(page, 9, ConstBytes(part).first(50));
    }
    write(65, page_of(PageKind::Text, 4));
    free_page(66);
    mark_all_idle(*store_);
    store_->compact();
    EXPECT_TRUE(make_clusters(*store_, {}, stop_).has_value());
  });
  EXPECT_LT(time, milliseconds(3'000)) << "the store's time limit is ten seconds";
  disk_->let_go();
  for (std::thread& thread : waiting) thread.join();
  EXPECT_EQ(failed, 0);
  std::copy_n(part.begin(), 50, mirror_[140].begin() + 100);
  expect_content();
}

TEST_F(WritebackFault, GivesUpOnReadsThatDoNotEnd) {
  options_.time_limit = milliseconds(150);
  fill();
  write_back_range(64, 150);
  disk_->hold_up();
  EXPECT_LT(time_of([&] { EXPECT_EQ(read_error(70), EIO); }), milliseconds(2'000));
  EXPECT_LT(time_of([&] { EXPECT_EQ(read_error(71), EIO); }), milliseconds(2'000));
  expect_all_but_those_away();
  disk_->let_go();
  expect_content();
}

// Parts of pages need the store, and pages that come back need a lane to be packed: with one of
// each they must not wait for each other.
TEST_F(WritebackFault, DoesNotWaitForItself) {
  options_.reader_count = 1;
  make_backed(config_of("lz4", "zstd", 200), 1);
  write_pages(0, 120, PageKind::Text);
  WritebackRequest request;
  request.keep_packed = false;
  std::atomic<int> failed{0};
  const milliseconds time = time_of([&] {
    for (int round = 0; round < 20; ++round) {
      write_back_pages(request);
      std::vector<std::thread> threads;
      for (std::uint64_t thread = 0; thread < 4; ++thread) {
        threads.emplace_back([&, thread] {
          for (std::uint64_t page = thread; page < 120; page += 4) {
            Page out;
            const bool is_fine =
                thread % 2 == 0
                    ? store_->read({page}, out).has_value()
                    : store_->write_part({page}, 3, ConstBytes(mirror_.at(page)).subspan(3, 9))
                          .has_value();
            if (!is_fine) ++failed;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
  });
  EXPECT_EQ(failed, 0);
  EXPECT_LT(time, milliseconds(9'000));
  expect_content();
}

// --- a store that vanishes -----------------------------------------------------------------------

TEST_F(WritebackFault, KeepsWhatIsInMemoryWhenAServerIsKilled) {
  TemporaryFolder folder;
  const std::string image = folder.make_file("image", kBlocks * kBlockBytes);
  NbdServer server(folder, {"-t", "1", "file", image});
  if (!server.is_up()) GTEST_SKIP() << "nbdkit does not start here";
  options_.time_limit = milliseconds(1'000);
  StoreConfig config = config_of("lz4", "zstd", 300);
  choose_fake_disk(config, *disk_);
  auto backing = open_backing_store(server.uri(), options_);
  ASSERT_TRUE(backing.has_value());
  ASSERT_EQ((*backing)->block_count(), kBlocks);
  auto made = Store::create(config, 4, std::move(*backing));
  ASSERT_TRUE(made.has_value());
  store_ = std::move(*made);
  write_pages(0, 64, PageKind::Text);
  cluster_pages(8);
  write_pages(64, 100, PageKind::Random);
  write_back_range(0, 100);
  ASSERT_EQ(pages_away().size(), 101U);
  server.end();
  expect_all_but_those_away();
  EXPECT_EQ(read_error(70), EIO);
  EXPECT_EQ(read_error(3), EIO);
  write(70, page_of(PageKind::Text, 1));
  write(3, page_of(PageKind::Text, 2));
  EXPECT_NE(write_back(*store_, {}, stop_).error, 0);
  expect_all_but_those_away();
  expect_content_or_error();
  server.start();
  const auto last = Clock::now() + milliseconds(10'000);
  while (read_error(71) != 0 && Clock::now() < last) std::this_thread::sleep_for(milliseconds(50));
  expect_content();
  expect_sound();
}

// Faults of every kind between everything else.
TEST_F(WritebackFault, KeepsEveryPageThroughRandomFaults) {
  options_.time_limit = milliseconds(20);
  Random random(17);
  for (int life = 0; life < 4; ++life) {
    fill();
    for (int round = 0; round < 60; ++round) {
      switch (random.below(8)) {
        case 0:
          disk_->fail(random.below(2) == 0 ? Kind::Read : Kind::Write, EIO, random.below(3), 2);
          break;
        case 1:
          disk_->lose_writes(1);
          break;
        case 2:
          disk_->hold_up();
          break;
        case 3:
          disk_->let_go();
          disk_->work_again();
          break;
        case 4:
          for (int i = 0; i < 20; ++i)
            write(random.below(200), page_of(PageKind::Text, random.below(90)));
          break;
        case 5:
          cluster_pages(4);
          break;
        default:
          write_back(*store_, {}, stop_);
          break;
      }
      const std::uint64_t page = random.below(200);
      const bool was_away = is_away(page);
      Page out;
      const int error = code_of(store_->read({page}, out));
      ASSERT_TRUE((error == 0 && out == mirror_[page]) || (error == EIO && was_away)) << page;
    }
    disk_->let_go();
    disk_->work_again();
    expect_content();
    expect_sound();
  }
}

}  // namespace
}  // namespace uzram
