// SPDX-License-Identifier: Apache-2.0
// What a device does after the write, as its callers see it: settings, limits, numbers, and an end
// in bounded time whatever the backing store does.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "backing/backing_store_rows.h"
#include "device/device.h"
#include "device/device_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kBlocks = 512;

class DeviceBackground : public testing::Test {
 protected:
  std::string make_store(std::uint64_t blocks = kBlocks, const std::string& name = "store") {
    return folder_.make_file(name, blocks * kBlockBytes);
  }
  // A device of 4 MiB with a backing store.
  void start(bool keeps_packed = false, std::uint64_t blocks = kBlocks) {
    ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
    ASSERT_EQ(code_of(device_.set_recompression_algorithm("zstd", 1)), 0);
    ASSERT_EQ(code_of(device_.set_compressed_writeback(keeps_packed)), 0);
    ASSERT_EQ(code_of(device_.set_backing(make_store(blocks))), 0);
    ASSERT_EQ(code_of(device_.set_disksize(4 * kMiB)), 0);
  }
  void write_pages(std::uint64_t first, std::uint64_t count, PageKind kind) {
    for (std::uint64_t page = first; page < first + count; ++page)
      ASSERT_EQ(code_of(device_.write(page * kPageBytes, page_of(kind, page))), 0);
  }
  void expect_pages(std::uint64_t first, std::uint64_t count, PageKind kind) {
    for (std::uint64_t page = first; page < first + count; ++page) {
      Page out;
      ASSERT_EQ(code_of(device_.read(page * kPageBytes, out)), 0) << page;
      ASSERT_EQ(out, page_of(kind, page)) << page;
    }
  }
  int write_back_error(const WritebackRequest& request = {}) {
    return code_of(device_.write_back(request));
  }
  static WritebackRequest range(std::uint64_t first, std::uint64_t last) {
    WritebackRequest request;
    request.ranges = {{{first}, {last}}};
    return request;
  }
  [[nodiscard]] std::uint64_t pages_away() const {
    std::uint64_t count = 0;
    const auto states = device_.page_states({0}, 100'000);
    for (const PageState& state : *states) count += state.is_written_back;
    return count;
  }

  TemporaryFolder folder_;
  Device device_{3};
};

// --- settings ------------------------------------------------------------------------------------

TEST_F(DeviceBackground, RefusesStoresThatItCannotHave) {
  EXPECT_EQ(code_of(device_.set_backing(folder_.path("nothing"))), ENOENT);
  EXPECT_EQ(code_of(device_.set_backing("/dev/null")), ENOTBLK);
  EXPECT_EQ(code_of(device_.set_backing(folder_.make_file("small", 100))), EINVAL);
  EXPECT_EQ(device_.backing(), "");
  const std::string file = make_store();
  ASSERT_EQ(code_of(device_.set_backing(file)), 0);
  EXPECT_EQ(code_of(device_.set_backing(file)), 0) << "the same again";
  EXPECT_EQ(device_.backing(), file);
  Device other(4);
  EXPECT_EQ(code_of(other.set_backing(file)), EBUSY);
  EXPECT_EQ(code_of(device_.set_backing(folder_.path("nothing else"))), ENOENT);
  EXPECT_EQ(device_.backing(), file) << "a refused one changes nothing";
  const std::string second = make_store(kBlocks, "second");
  EXPECT_EQ(code_of(device_.set_backing(second)), 0);
  EXPECT_EQ(code_of(other.set_backing(file)), 0) << "the first is free again";
  ASSERT_EQ(code_of(device_.set_disksize(kMiB)), 0);
  EXPECT_EQ(code_of(device_.set_backing(second)), EBUSY);
  EXPECT_EQ(code_of(device_.reset()), 0);
  EXPECT_EQ(device_.backing(), "");
  EXPECT_EQ(code_of(other.set_backing(second)), 0) << "a reset gives it back";
}

TEST_F(DeviceBackground, KeepsItsStoreWhenItsSizeIsRefused) {
  const std::string file = make_store();
  Device other(4);
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  ASSERT_EQ(code_of(device_.set_backing(file)), 0);
  ASSERT_EQ(code_of(device_.set_algorithm_params(0, {.level = 99})), 0);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(code_of(device_.set_disksize(kMiB)), EINVAL);
    EXPECT_EQ(device_.backing(), file);
    EXPECT_EQ(code_of(other.set_backing(file)), EBUSY) << "nobody took it meanwhile";
  }
  ASSERT_EQ(code_of(device_.set_algorithm_params(0, {.level = 3})), 0);
  ASSERT_EQ(code_of(device_.set_disksize(kMiB)), 0);
  write_pages(0, 20, PageKind::Random);
  EXPECT_EQ(write_back_error(), 0);
  EXPECT_EQ(device_.stats().backing_blocks, 20U);
}

TEST(DeviceWithAttachment, KeepsEverySettingWhenItsDiskCannotBeAttached) {
  TemporaryFolder folder;
  TestAttachment attachment;
  attachment.attach_error = ENOENT;
  Device device(5, &attachment);
  const std::string file = folder.make_file("store", 64 * kPageBytes);
  ASSERT_EQ(code_of(device.set_backing(file)), 0);
  ASSERT_EQ(code_of(device.set_backing_encryption(false)), 0);
  ASSERT_EQ(code_of(device.set_dedup(true)), 0);
  ASSERT_EQ(code_of(device.set_page_checks(false)), 0);
  EXPECT_EQ(code_of(device.set_disksize(kMiB)), ENOENT);
  EXPECT_EQ(device.backing(), file);
  EXPECT_FALSE(device.encrypts_backing());
  EXPECT_TRUE(device.uses_dedup());
  EXPECT_FALSE(device.has_page_checks());
  attachment.attach_error = 0;
  ASSERT_EQ(code_of(device.set_disksize(kMiB)), 0);
  EXPECT_EQ(device.backing(), file);
}

TEST_F(DeviceBackground, KeepsItsSettingsOnceItHasASize) {
  start();
  EXPECT_EQ(code_of(device_.set_backing_encryption(false)), EBUSY);
  EXPECT_EQ(code_of(device_.set_compressed_writeback(true)), EBUSY);
  EXPECT_EQ(code_of(device_.set_dedup(true)), EBUSY);
  EXPECT_EQ(code_of(device_.set_access_tracking(true)), EBUSY);
  EXPECT_EQ(code_of(device_.set_recompression_algorithm("lz4", 2)), EBUSY);
}

TEST_F(DeviceBackground, ForgetsEverySettingWhenItIsReset) {
  ASSERT_EQ(code_of(device_.set_backing_encryption(false)), 0);
  ASSERT_EQ(code_of(device_.set_dedup(true)), 0);
  ASSERT_EQ(code_of(device_.set_access_tracking(false)), 0);
  start(true);
  device_.set_writeback_limit(77);
  device_.set_writeback_limit_enabled(true);
  write_pages(0, 20, PageKind::Random);
  ASSERT_EQ(write_back_error(), 0);
  ASSERT_EQ(code_of(device_.reset()), 0);
  EXPECT_TRUE(device_.encrypts_backing());
  EXPECT_FALSE(device_.has_compressed_writeback());
  EXPECT_FALSE(device_.uses_dedup());
  EXPECT_TRUE(device_.tracks_access());
  EXPECT_EQ(device_.backing(), "");
  EXPECT_EQ(device_.algorithm_at(1), nullptr);
  EXPECT_EQ(device_.writeback_limit(), 0U);
  EXPECT_FALSE(device_.is_writeback_limit_enabled());
  EXPECT_EQ(device_.stats().backing_writes, 0U);
  EXPECT_EQ(device_.stats().backing_blocks, 0U);
  start();
  EXPECT_EQ(pages_away(), 0U);
}

TEST_F(DeviceBackground, DoesNothingBeforeItHasASize) {
  EXPECT_EQ(code_of(device_.mark_idle(std::nullopt)), EINVAL);
  EXPECT_EQ(code_of(device_.recompress({})), EINVAL);
  EXPECT_EQ(code_of(device_.make_clusters({})), EINVAL);
  EXPECT_EQ(code_of(device_.write_back({})), EINVAL);
  EXPECT_EQ(code_of(device_.sweep_ages({})), EINVAL);
  EXPECT_EQ(code_of(device_.page_states({0}, 1)), EINVAL);
  ASSERT_EQ(code_of(device_.set_access_tracking(false)), 0);
  ASSERT_EQ(code_of(device_.set_disksize(kMiB)), 0);
  EXPECT_EQ(write_back_error(), ENODEV);
  EXPECT_EQ(code_of(device_.mark_idle(std::chrono::seconds(1))), EINVAL)
      << "nobody keeps the times";
  EXPECT_EQ(code_of(device_.mark_idle(std::nullopt)), 0);
}

// --- writing back --------------------------------------------------------------------------------

TEST_F(DeviceBackground, RefusesPagesThatItDoesNotHave) {
  start();
  const std::uint64_t pages = 4 * kMiB / kPageBytes;
  EXPECT_EQ(write_back_error(range(0, pages)), ERANGE);
  EXPECT_EQ(write_back_error(range(5, 4)), ERANGE);
  EXPECT_EQ(write_back_error(range(pages, pages)), ERANGE);
  EXPECT_EQ(write_back_error(range(0, pages - 1)), 0);
}

TEST_F(DeviceBackground, WritesPackedPagesOnlyWhenToldTo) {
  for (const bool keeps_packed : {false, true}) {
    start(keeps_packed);
    write_pages(0, 100, PageKind::Text);
    ASSERT_EQ(write_back_error(), 0);
    EXPECT_EQ(pages_away(), 100U);
    EXPECT_EQ(device_.stats().backing_writes == 100U, !keeps_packed);
    expect_pages(0, 100, PageKind::Text);
    ASSERT_EQ(code_of(device_.reset()), 0);
  }
}

TEST_F(DeviceBackground, CountsItsLimitDownByBlocks) {
  start();
  write_pages(0, 100, PageKind::Random);
  device_.set_writeback_limit(30);
  EXPECT_EQ(write_back_error(range(0, 9)), 0) << "the limit does not count";
  EXPECT_EQ(device_.writeback_limit(), 30U);
  device_.set_writeback_limit_enabled(true);
  EXPECT_EQ(write_back_error(range(10, 29)), 0);
  EXPECT_EQ(device_.writeback_limit(), 10U);
  EXPECT_EQ(write_back_error(), EIO) << "used up in the middle";
  EXPECT_EQ(device_.writeback_limit(), 0U);
  EXPECT_EQ(pages_away(), 40U) << "what was allowed is done";
  EXPECT_EQ(write_back_error(), EIO);
  EXPECT_EQ(device_.stats().backing_writes, 40U);
  device_.set_writeback_limit(60);
  EXPECT_EQ(write_back_error(), 0) << "exactly enough";
  EXPECT_EQ(device_.writeback_limit(), 0U);
  expect_pages(0, 100, PageKind::Random);
  device_.set_writeback_limit_enabled(false);
  EXPECT_EQ(write_back_error(), 0);
}

TEST_F(DeviceBackground, KeepsItsLimitWithPackedPages) {
  start(true);
  write_pages(0, 300, PageKind::Text);
  device_.set_writeback_limit(5);
  device_.set_writeback_limit_enabled(true);
  EXPECT_EQ(write_back_error(), EIO);
  EXPECT_LE(device_.stats().backing_writes, 5U);
  EXPECT_EQ(device_.stats().backing_writes + device_.writeback_limit(), 5U);
}

// As in the kernel: whoever asks afterwards finds the memory free, not a moment later.
TEST_F(DeviceBackground, HasGivenMemoryBackWhenARequestReturns) {
  for (int round = 0; round < 5; ++round) {
    start();
    write_pages(0, kBlocks, PageKind::Random);
    ASSERT_GE(device_.stats().mem_used_bytes, kBlocks * kPageBytes);
    ASSERT_EQ(write_back_error(), 0);
    EXPECT_LE(device_.stats().mem_used_bytes, kBlocks * kPageBytes / 4);
    ASSERT_EQ(code_of(device_.reset()), 0);
  }
}

TEST_F(DeviceBackground, TellsACallersOwnLimitFromThatOfTheDevice) {
  start();
  write_pages(0, 100, PageKind::Random);
  device_.set_writeback_limit(1000);
  device_.set_writeback_limit_enabled(true);
  WritebackRequest request;
  request.most_blocks = 10;
  const Result<WritebackOutcome> outcome = device_.write_back(request);
  ASSERT_TRUE(outcome.has_value()) << "the device has blocks left";
  EXPECT_EQ(outcome->written_pages, 10U);
  EXPECT_FALSE(outcome->has_seen_all);
  EXPECT_EQ(device_.writeback_limit(), 990U);
}

TEST_F(DeviceBackground, SpendsNoLimitTwice) {
  start();
  write_pages(0, 400, PageKind::Random);
  device_.set_writeback_limit(50);
  device_.set_writeback_limit_enabled(true);
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      static_cast<void>(device_.write_back(range(thread * 100, thread * 100 + 99)));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(device_.stats().backing_writes, 50U);
  EXPECT_EQ(device_.writeback_limit(), 0U);
}

TEST_F(DeviceBackground, SaysThatTheStoreIsFull) {
  start(false, 40);
  write_pages(0, 100, PageKind::Random);
  EXPECT_EQ(write_back_error(), ENOSPC);
  EXPECT_EQ(pages_away(), 40U);
  expect_pages(0, 100, PageKind::Random);
}

TEST_F(DeviceBackground, CountsWhatGoesAndComesBack) {
  start();
  write_pages(0, 64, PageKind::Random);
  ASSERT_EQ(write_back_error(), 0);
  DeviceStats stats = device_.stats();
  EXPECT_EQ(stats.backing_blocks, 64U);
  EXPECT_EQ(stats.backing_writes, 64U);
  EXPECT_EQ(stats.backing_reads, 0U);
  EXPECT_EQ(stats.compr_data_bytes, 0U);
  EXPECT_EQ(stats.orig_data_bytes, 64 * kPageBytes) << "they are stored all the same";
  EXPECT_EQ(stats.huge_pages, 0U);
  EXPECT_EQ(stats.huge_pages_since, 64U);
  expect_pages(0, 64, PageKind::Random);
  stats = device_.stats();
  EXPECT_EQ(stats.backing_blocks, 0U);
  EXPECT_GE(stats.backing_reads, 64U);
  EXPECT_EQ(stats.huge_pages, 64U);
  EXPECT_EQ(stats.huge_pages_since, 64U);
  EXPECT_GT(stats.backing_bytes, 0U);
  device_.check_invariants();
}

TEST_F(DeviceBackground, CountsWhatIsShared) {
  ASSERT_EQ(code_of(device_.set_dedup(true)), 0);
  start();
  EXPECT_EQ(device_.stats().dup_data_bytes, 0U);
  const Page page = page_of(PageKind::Random, 1);
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_EQ(code_of(device_.write(i * kPageBytes, page)), 0);
  EXPECT_EQ(device_.stats().dup_data_bytes, 4 * kPageBytes);
  EXPECT_EQ(device_.stats().compr_data_bytes, kPageBytes);
  EXPECT_EQ(device_.stats().orig_data_bytes, 5 * kPageBytes);
  EXPECT_GT(device_.stats().meta_data_bytes, 0U);
  EXPECT_EQ(device_.stats().huge_pages, 1U);
}

TEST_F(DeviceBackground, TellsThePagesInPieces) {
  start();
  write_pages(0, 30, PageKind::Text);
  write_pages(700, 30, PageKind::Random);
  std::vector<std::uint64_t> pages;
  PageIndex next{0};
  for (;;) {
    const auto states = device_.page_states(next, 7);
    ASSERT_TRUE(states.has_value());
    if (states->empty()) break;
    for (const PageState& state : *states) pages.push_back(state.page.value);
    next = {states->back().page.value + 1};
  }
  ASSERT_EQ(pages.size(), 60U);
  EXPECT_EQ(pages[29], 29U);
  EXPECT_EQ(pages[30], 700U);
  EXPECT_EQ(device_.page_states({1'000'000}, 7)->size(), 0U);
  EXPECT_EQ(device_.page_states({0}, 0)->size(), 0U);
}

// --- a second life -------------------------------------------------------------------------------

TEST_F(DeviceBackground, GoesOnWithTheStoreOfAnother) {
  ASSERT_EQ(code_of(device_.set_dedup(true)), 0);
  start();
  write_pages(0, 50, PageKind::Text);
  write_pages(50, 50, PageKind::Random);
  ASSERT_EQ(write_back_error(range(20, 70)), 0);
  const std::string where = device_.backing();
  const int memfd = ::dup(device_.arena_descriptor());
  ASSERT_EQ(code_of(device_.reset()), 0);
  Device other(5);
  ASSERT_EQ(code_of(other.adopt_arena(memfd)), 0);
  EXPECT_EQ(other.backing(), where);
  EXPECT_TRUE(other.uses_dedup());
  EXPECT_EQ(other.stats().backing_blocks, 51U);
  Page out;
  for (std::uint64_t page = 0; page < 100; ++page) {
    ASSERT_EQ(code_of(other.read(page * kPageBytes, out)), 0) << page;
    ASSERT_EQ(out, page_of(page < 50 ? PageKind::Text : PageKind::Random, page));
  }
  // The index of content is made again behind the requests.
  for (int i = 0; i < 500 && other.stats().dup_data_bytes == 0; ++i) {
    ASSERT_EQ(code_of(other.write(900 * kPageBytes, page_of(PageKind::Text, 7))), 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_GT(other.stats().dup_data_bytes, 0U);
  other.check_invariants();
}

TEST_F(DeviceBackground, MissesOnlyPagesOnAStoreThatIsGone) {
  start();
  write_pages(0, 50, PageKind::Text);
  ASSERT_EQ(write_back_error(range(20, 29)), 0);
  const std::string where = device_.backing();
  const int memfd = ::dup(device_.arena_descriptor());
  ASSERT_EQ(code_of(device_.reset()), 0);
  ASSERT_EQ(::unlink(where.c_str()), 0);
  Device other(5);
  ASSERT_EQ(code_of(other.adopt_arena(memfd)), 0);
  Page out;
  for (std::uint64_t page = 0; page < 50; ++page)
    EXPECT_EQ(code_of(other.read(page * kPageBytes, out)), page / 10 == 2 ? EIO : 0) << page;
  EXPECT_EQ(code_of(other.write_back({})), ENODEV);
  EXPECT_EQ(code_of(other.write(20 * kPageBytes, page_of(PageKind::Text, 1))), 0);
  EXPECT_EQ(code_of(other.read(20 * kPageBytes, out)), 0);
  EXPECT_EQ(code_of(other.discard(21 * kPageBytes, kPageBytes)), 0);
  EXPECT_EQ(code_of(other.read(21 * kPageBytes, out)), 0);
  other.check_invariants();
}

// --- an end in bounded time ----------------------------------------------------------------------

class DeviceStall : public DeviceBackground {
 protected:
  using Clock = std::chrono::steady_clock;
  void SetUp() override {
    server_ = std::make_unique<NbdServer>(
        folder_,
        std::vector<std::string>{"-t", "1", "memory", std::to_string(kBlocks * kBlockBytes)});
    if (!server_->is_up()) GTEST_SKIP() << "nbdkit does not start here";
    ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
    ASSERT_EQ(code_of(device_.set_backing(server_->uri())), 0);
    ASSERT_EQ(code_of(device_.set_disksize(4 * kMiB)), 0);
    write_pages(0, 100, PageKind::Random);
    ASSERT_EQ(write_back_error(range(0, 49)), 0);
  }
  // The store's own time limit is half a minute.
  void expect_quick_end() {
    const auto start = Clock::now();
    EXPECT_EQ(code_of(device_.reset()), 0);
    EXPECT_LT(Clock::now() - start, std::chrono::seconds(8));
  }
  std::unique_ptr<NbdServer> server_;
};

TEST_F(DeviceStall, IsResetWhileReadsWait) {
  server_->stall();
  std::atomic<int> error{-1};
  std::thread reader([&] {
    Page out;
    error = code_of(device_.read(3 * kPageBytes, out));
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  expect_pages(50, 50, PageKind::Random);
  expect_quick_end();
  reader.join();
  EXPECT_EQ(error, EIO);
  server_->go_on();
}

TEST_F(DeviceStall, IsResetWhileWritesWait) {
  server_->stall();
  std::atomic<int> error{-1};
  std::thread writer([&] { error = write_back_error(); });
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  expect_pages(50, 50, PageKind::Random);
  EXPECT_EQ(code_of(device_.write(60 * kPageBytes, page_of(PageKind::Text, 1))), 0);
  expect_quick_end();
  writer.join();
  EXPECT_NE(error, 0);
  server_->go_on();
}

TEST_F(DeviceStall, LivesOnWhenTheServerIsKilled) {
  server_->end();
  Page out;
  EXPECT_EQ(code_of(device_.read(3 * kPageBytes, out)), EIO);
  expect_pages(50, 50, PageKind::Random);
  EXPECT_NE(write_back_error(), 0);
  expect_pages(50, 50, PageKind::Random);
  write_pages(0, 50, PageKind::Random);
  expect_pages(0, 100, PageKind::Random);
  device_.check_invariants();
  expect_quick_end();
}

}  // namespace
}  // namespace uzram
