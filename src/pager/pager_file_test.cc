// SPDX-License-Identifier: Apache-2.0
// Mappings of cluster files: whole clusters come, what is clean goes without being packed, what is
// written to a shared mapping is in the file in the end, or an error says that it is not.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/file_descriptor.h"
#include "cluster/cluster_storage.h"
#include "pager/pager_file_fixture.h"
#include "pager/uzram.h"

namespace uzram {
namespace {

class PagerFile : public PagerFileFixture {};
INSTANTIATE_TEST_SUITE_P(Backends, PagerFile, backends_with_faults(), backend_name);

// For what a thread does in its own time.
template <typename Condition>
bool comes_true(Condition condition) {
  constexpr auto kMostTime = std::chrono::seconds(60);
  const auto end = std::chrono::steady_clock::now() + kMostTime;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return true;
}

TEST_P(PagerFile, ReadsAsTheFileAndAsZerosBehindIt) {
  TestClusterFile mapped;
  mapped.fill(41, 0, 100);
  UZ_MAKE_PAGER(*this, alone());
  for (const std::uint64_t first : {0U, 3U, 40U}) {
    std::byte* const start =
        map(mapped, 60 - first, MapSharing::Private, AccessHint::Normal, first);
    EXPECT_EQ(first_wrong(start, 41 - first, first), 41 - first);
    const std::byte* const tail = start + (41 - first) * kPageBytes;
    std::array<std::byte, kPageBytes> wanted;
    fill_test_page(wanted.data(), 41);
    EXPECT_EQ(std::memcmp(tail, wanted.data(), 100), 0);
    for (std::size_t i = 100; i < kPageBytes; ++i) ASSERT_EQ(tail[i], std::byte{0}) << i;
    EXPECT_TRUE(is_zero_page(tail + kPageBytes));
    EXPECT_TRUE(is_zero_page(start + (59 - first) * kPageBytes));
    pager().check_invariants();
  }
}

TEST_P(PagerFile, EveryClusterSizeReadsRight) {
  for (const unsigned log_pages : {2U, 5U, 8U}) {
    TestClusterFile mapped(log_pages);
    mapped.fill(700);
    UZ_MAKE_PAGER(*this, alone());
    std::byte* const start = map(mapped, 690, MapSharing::Private, AccessHint::Normal, 10);
    EXPECT_EQ(first_wrong(start, 690, 10), 690U) << log_pages;
    pager().check_invariants();
    pager_.reset();
  }
}

TEST_P(PagerFile, AFaultBringsAWholeClusterAndItsNeighboursMakeNone) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  const std::byte* const start = map(mapped, 64, MapSharing::Private, AccessHint::Random);
  ASSERT_TRUE(is_test_page(start + 22 * kPageBytes, 22));
  PagerStats stats = pager().stats();
  EXPECT_EQ(stats.faults, 1U);
  EXPECT_EQ(stats.file_faults, 1U);
  EXPECT_EQ(stats.file_clusters_read, 1U);
  EXPECT_EQ(stats.readahead_pages, 3U);
  for (std::uint64_t page = 20; page < 24; ++page)
    ASSERT_TRUE(is_test_page(start + page * kPageBytes, page));
  stats = pager().stats();
  EXPECT_EQ(stats.faults, 1U);
  EXPECT_EQ(stats.file_clusters_read, 1U);
}

TEST_P(PagerFile, AScanReadsClustersAhead) {
  constexpr std::uint64_t kPages = 512;
  TestClusterFile mapped;
  mapped.fill(kPages);
  UZ_MAKE_PAGER(*this, alone());
  const auto faults_of = [&](AccessHint hint) {
    const std::byte* const start = map(mapped, kPages, MapSharing::Private, hint);
    const std::uint64_t before = pager().stats().faults;
    EXPECT_EQ(first_wrong(start, kPages), kPages);
    return pager().stats().faults - before;
  };
  EXPECT_EQ(faults_of(AccessHint::Random), kPages / 4);
  EXPECT_LE(faults_of(AccessHint::Normal), kPages / 8 + 2);
  EXPECT_LE(faults_of(AccessHint::Sequential), kPages / 64 + 2);
  EXPECT_EQ(pager().stats().file_clusters_read, 3 * kPages / 4) << "none twice";
}

TEST_P(PagerFile, WhatIsCleanGoesWithoutBeingPacked) {
  constexpr std::uint64_t kPages = 4000;
  TestClusterFile mapped;
  mapped.fill(kPages);
  UZ_MAKE_PAGER(*this, alone());
  const std::byte* const start = map(mapped, kPages, MapSharing::Shared);
  for (int round = 0; round < 2; ++round) ASSERT_EQ(first_wrong(start, kPages), kPages);
  const PagerStats stats = pager().stats();
  EXPECT_GT(stats.clean_drops, kPages);
  EXPECT_EQ(stats.packed_pages, 0U);
  EXPECT_EQ(stats.stored_bytes, 0U);
  EXPECT_EQ(stats.written_back_pages, 0U);
  EXPECT_LE(stats.total_bytes(), stats.limit_bytes + kMebibyte / 2);
}

TEST_P(PagerFile, APrivateMappingKeepsItsWritesToItself) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, 64, MapSharing::Private);
  fill(start + 8 * kPageBytes, 20, 1000);
  EXPECT_EQ(sync(start, 64), 0);
  put_away(start, 64);
  EXPECT_EQ(pager().stats().packed_pages, 20U);
  EXPECT_EQ(first_wrong(start, 8), 8U);
  EXPECT_EQ(first_wrong(start + 8 * kPageBytes, 20, 1000), 20U);
  EXPECT_EQ(first_wrong(start + 28 * kPageBytes, 36, 28), 36U);
  EXPECT_TRUE(mapped.has_page(8, 8));
  ASSERT_EQ(errno_of(pager().drop(start, 64 * kPageBytes)), 0);
  EXPECT_EQ(first_wrong(start, 64), 64U) << "as in the file";
  EXPECT_EQ(pager().stats().written_back_pages, 0U);
}

TEST_P(PagerFile, ASyncPutsWhatWasWrittenIntoTheFile) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, 60, MapSharing::Shared, AccessHint::Normal, 2);
  fill(start + 5 * kPageBytes, 9, 1000);
  ASSERT_EQ(sync(start, 60), 0);
  EXPECT_EQ(pager().stats().written_back_pages, 9U);
  // Written again, with the pages still there: that is seen.
  fill(start + 6 * kPageBytes, 1, 2000);
  ASSERT_EQ(sync(start, 60), 0);
  EXPECT_EQ(pager().stats().written_back_pages, 10U);
  ASSERT_EQ(sync(start, 60), 0);
  EXPECT_EQ(pager().stats().written_back_pages, 10U) << "nothing has changed";
  const TestClusterFile left = mapped.after_crash();
  for (std::uint64_t page = 0; page < 64; ++page) {
    std::uint64_t seed = page;
    if (page >= 7 && page < 16) seed = 1000 + page - 7;
    if (page == 8) seed = 2000;
    EXPECT_TRUE(left.has_page(page, seed)) << page;
  }
  pager().check_invariants();
}

TEST_P(PagerFile, NothingIsWrittenBehindTheEnd) {
  TestClusterFile mapped;
  mapped.fill(10, 0, 100);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, 20, MapSharing::Shared);
  fill(start + 9 * kPageBytes, 11, 500);
  ASSERT_EQ(sync(start, 20), 0);
  EXPECT_EQ(mapped.file->size_bytes(), 10 * kPageBytes + 100);
  put_away(start, 20);
  EXPECT_TRUE(is_test_page(start + 9 * kPageBytes, 500));
  EXPECT_TRUE(is_zero_page(start + 15 * kPageBytes));
  EXPECT_EQ(start[10 * kPageBytes + 100], std::byte{0});
  // A longer file is seen by pages that come in.
  ASSERT_TRUE(mapped.file->truncate(20 * kPageBytes));
  fill(start + 15 * kPageBytes, 1, 900);
  ASSERT_EQ(sync(start, 20), 0);
  EXPECT_TRUE(mapped.has_page(15, 900));
}

TEST_P(PagerFile, WhatLeavesMemoryIsWrittenSomeTimeLater) {
  constexpr std::uint64_t kPages = 6000;
  TestClusterFile mapped(4);
  mapped.fill(kPages);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, kPages, MapSharing::Shared);
  for (std::uint64_t round = 1; round <= 2; ++round) {
    fill(start, kPages, round * 10000);
    EXPECT_LE(pager().stats().total_bytes(), 8 * kMebibyte + kMebibyte / 2);
    EXPECT_LE(pager().stats().unwritten_bytes, 8 * kMebibyte / 2);
    EXPECT_EQ(first_wrong(start, kPages, round * 10000), kPages);
  }
  // Nobody asks for it.
  EXPECT_TRUE(comes_true([&] { return pager().stats().unwritten_bytes == 0; }));
  EXPECT_GT(pager().stats().written_back_pages, kPages);
  pager().check_invariants();
  ASSERT_EQ(errno_of(pager().close_region(start)), 0);
  const TestClusterFile left = mapped.after_crash();
  for (std::uint64_t page = 0; page < kPages; ++page)
    ASSERT_TRUE(left.has_page(page, 20000 + page)) << page;
}

TEST_P(PagerFile, ClosingAndEndingWriteWhatIsLeft) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const first = map(mapped, 32, MapSharing::Shared);
  map(mapped, 32, MapSharing::Shared, AccessHint::Normal, 32);
  fill(first, 32, 100);
  ASSERT_EQ(errno_of(pager().close_region(first)), 0);
  EXPECT_TRUE(mapped.after_crash().has_page(31, 131));
  std::byte* const again = map(mapped, 32, MapSharing::Shared);
  fill(again, 16, 200);
  put_away(again, 8);
  fill(again, 4, 300);
  pager_.reset();
  const TestClusterFile left = mapped.after_crash();
  for (std::uint64_t page = 0; page < 64; ++page) {
    const std::uint64_t seed = page < 4    ? 300 + page
                               : page < 16 ? 200 + page
                               : page < 32 ? 100 + page
                                           : page;
    EXPECT_TRUE(left.has_page(page, seed)) << page;
  }
}

TEST_P(PagerFile, AFullDiskLosesNothing) {
  constexpr std::uint64_t kPages = 256;
  TestClusterFile mapped;
  mapped.fill(kPages);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, kPages, MapSharing::Shared);
  mapped.disk->most_bytes = mapped.disk->bytes.size();
  fill(start, kPages, 1000);
  EXPECT_EQ(sync(start, kPages), ENOSPC);
  put_away(start, kPages);
  fill(start, 10, 2000);
  EXPECT_EQ(errno_of(pager().close_region(start)), ENOSPC);
  EXPECT_EQ(first_wrong(start, 10, 2000), 10U);
  EXPECT_EQ(first_wrong(start + 10 * kPageBytes, kPages - 10, 1010), kPages - 10);
  pager().check_invariants();
  mapped.disk->most_bytes = ~std::uint64_t{0};
  ASSERT_EQ(errno_of(pager().close_region(start)), 0);
  const TestClusterFile left = mapped.after_crash();
  for (std::uint64_t page = 0; page < kPages; ++page)
    EXPECT_TRUE(left.has_page(page, page < 10 ? 2000 + page : 1000 + page)) << page;
}

// The file takes no change at all: its own buffers, of two clusters, are full at once.
TEST_P(PagerFile, WhatAFileDoesNotTakeStaysInMemory) {
  constexpr std::uint64_t kPages = 256;
  TestClusterFile mapped;
  mapped.fill(kPages);
  mapped.open_again_without_cache();
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, kPages, MapSharing::Shared);
  mapped.disk->most_bytes = 0;
  fill(start, kPages, 1000);
  put_away(start, kPages);
  const PagerStats stats = pager().stats();
  EXPECT_GT(stats.failed_write_backs, 0U);
  EXPECT_GE(stats.unwritten_bytes, (kPages - 3 * 4) * kPageBytes);
  EXPECT_EQ(errno_of(pager().drop(start, kPages * kPageBytes)), ENOSPC);
  EXPECT_EQ(first_wrong(start, kPages, 1000), kPages);
  pager().check_invariants();
  mapped.disk->most_bytes = ~std::uint64_t{0};
  put_away(start, kPages);
  EXPECT_TRUE(comes_true([&] { return pager().stats().unwritten_bytes == 0; }));
  ASSERT_EQ(sync(start, kPages), 0);
  for (std::uint64_t page = 0; page < kPages; ++page)
    EXPECT_TRUE(mapped.has_page(page, 1000 + page)) << page;
}

TEST_P(PagerFile, ADeviceThatFailsIsAnErrorOfTheSync) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, 64, MapSharing::Shared);
  fill(start, 64, 1000);
  put_away(start, 64);
  ASSERT_TRUE(mapped.file->flush());
  mapped.disk->changes_until_failure = 1;  // The map; then the sync fails.
  EXPECT_EQ(sync(start, 64), EIO);
  EXPECT_EQ(first_wrong(start, 64, 1000), 64U);
  put_away(start, 64);
  EXPECT_EQ(first_wrong(start, 64, 1000), 64U);
  mapped.disk->changes_until_failure.reset();
  pager().check_invariants();
  // The file takes no changes until it is opened anew: what it lacks can only be given up.
  fill(start, 2, 2000);
  ASSERT_EQ(errno_of(pager().close_region(start)), EIO);
  EXPECT_EQ(first_wrong(start, 2, 2000), 2U);
  EXPECT_EQ(errno_of(pager().abandon_region(start)), 0);
  EXPECT_EQ(pager().stats().unwritten_bytes, 0U);
  pager().check_invariants();
}

TEST_P(PagerFile, TheEndOfAPagerSaysWhatItLoses) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  fill(map(mapped, 64, MapSharing::Shared), 64, 1000);
  mapped.disk->most_bytes = 0;
  ::testing::internal::CaptureStderr();
  pager_.reset();
  EXPECT_EQ(
      ::testing::internal::GetCapturedStderr(),
      "uzram pager: what was written to a mapped cluster file is lost with its pager: errno " +
          std::to_string(ENOSPC) + "\n");
}

TEST_P(PagerFile, APinnedPageIsWrittenAndStaysWritable) {
  TestClusterFile mapped;
  mapped.fill(16);
  UZ_MAKE_PAGER(*this, alone());
  std::byte* const start = map(mapped, 16, MapSharing::Shared);
  ASSERT_EQ(errno_of(pager().pin(start, 4 * kPageBytes)), 0);
  for (const std::uint64_t seed : {100U, 200U}) {
    const FileDescriptor zero(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
    ASSERT_EQ(::read(zero.get(), start, kPageBytes), static_cast<ssize_t>(kPageBytes));
    fill(start + kPageBytes, 3, seed);
    ASSERT_EQ(sync(start, 16), 0);
    EXPECT_TRUE(mapped.has_page(1, seed));
  }
  EXPECT_EQ(errno_of(pager().close_region(start)), EBUSY);
  ASSERT_EQ(errno_of(pager().unpin(start, 4 * kPageBytes)), 0);
  EXPECT_EQ(errno_of(pager().close_region(start)), 0);
}

TEST_P(PagerFile, RefusesWhatCannotBe) {
  TestClusterFile mapped;
  mapped.fill(64);
  UZ_MAKE_PAGER(*this, alone());
  const auto code_of = [&](const TestClusterFile& from, std::uint64_t offset, std::uint64_t bytes,
                           MapSharing sharing) {
    return errno_of(pager().map_cluster_file(from.file, offset, bytes, sharing));
  };
  EXPECT_EQ(code_of(mapped, 100, kPageBytes, MapSharing::Private), EINVAL);
  EXPECT_EQ(code_of(mapped, 0, 0, MapSharing::Private), EINVAL);
  EXPECT_EQ(code_of({nullptr, nullptr}, 0, kPageBytes, MapSharing::Private), EINVAL);
  EXPECT_EQ(code_of(mapped, std::uint64_t{1} << 62, kPageBytes, MapSharing::Private), EINVAL);
  EXPECT_EQ(code_of(mapped, 0, 1000 * kMebibyte, MapSharing::Private), ENOMEM);
  EXPECT_EQ(code_of(mapped.after_crash(), 0, kPageBytes, MapSharing::Shared), EACCES);
  map(mapped, 32, MapSharing::Shared);
  EXPECT_EQ(code_of(mapped, 31 * kPageBytes, kPageBytes, MapSharing::Shared), EBUSY);
  EXPECT_EQ(code_of(mapped, 32 * kPageBytes, kPageBytes, MapSharing::Shared), 0);
  EXPECT_EQ(code_of(mapped, 0, kPageBytes, MapSharing::Private), 0);
  EXPECT_EQ(errno_of(pager().map_cluster_file("/no/such/file", 0, 1, MapSharing::Shared)), ENOENT);
}

TEST_P(PagerFile, BuffersOfMappingsAreWithinTheLimit) {
  const TestClusterFile large(8);
  UZ_MAKE_PAGER(*this, alone(kLeastLimitBytes));
  const std::uint64_t before = pager().stats().total_bytes();
  const auto map_one = [&] {
    return pager().map_cluster_file(large.file, 0, kPageBytes, MapSharing::Private);
  };
  const auto first = map_one();
  ASSERT_TRUE(first);
  EXPECT_GE(pager().stats().total_bytes(), before + kMebibyte);
  ASSERT_TRUE(map_one());
  EXPECT_EQ(errno_of(map_one()), ENOMEM) << "there must be room for pages";
  ASSERT_EQ(errno_of(pager().close_region(*first)), 0);
  EXPECT_EQ(errno_of(map_one()), 0);
}

TEST_P(PagerFile, LosesNoWriteOfThreadsWhileOthersSync) {
  constexpr std::uint64_t kPages = 3000;
  constexpr std::uint64_t kRounds = UZ_PAGER_UNDER_SANITIZER != 0 ? 2 : 4;
  TestClusterFile mapped(3);
  mapped.fill(kPages);
  PagerConfig busy = config(6 * kMebibyte);
  busy.compressor_threads = 1;
  UZ_MAKE_PAGER(*this, busy);
  std::byte* const start = map(mapped, kPages, MapSharing::Shared);
  // Two write the even and the odd pages of the same clusters.
  const auto write = [&](std::uint64_t parity) {
    for (std::uint64_t round = 1; round <= kRounds; ++round)
      for (std::uint64_t page = parity; page < kPages; page += 2)
        fill_test_page(start + page * kPageBytes, round * 10000 + page);
  };
  std::atomic<bool> is_over{false};
  std::thread even(write, 0);
  std::thread odd(write, 1);
  std::thread syncing([&] {
    while (!is_over) EXPECT_EQ(sync(start, kPages), 0);
  });
  even.join();
  odd.join();
  is_over = true;
  syncing.join();
  EXPECT_EQ(first_wrong(start, kPages, kRounds * 10000), kPages);
  ASSERT_EQ(sync(start, kPages), 0);
  pager().check_invariants();
  const TestClusterFile left = mapped.after_crash();
  for (std::uint64_t page = 0; page < kPages; ++page)
    ASSERT_TRUE(left.has_page(page, kRounds * 10000 + page)) << page;
}

TEST_P(PagerFile, AChildHasACopyOfWhatWasMapped) {
  if (GetParam() == PagerBackend::Signal) GTEST_SKIP() << "it has no copies for children";
  TestClusterFile mapped;
  mapped.fill(100);
  PagerConfig config = alone();
  config.fork_rule = ForkRule::Populate;
  UZ_MAKE_PAGER(*this, config);
  std::byte* const start = map(mapped, 100, MapSharing::Shared);
  fill(start, 10, 1000);
  put_away(start, 50);
  const pid_t child = ::fork();
  if (child == 0) {
    const bool is_same =
        first_wrong(start, 10, 1000) == 10 && first_wrong(start + 10 * kPageBytes, 90, 10) == 90;
    start[50 * kPageBytes] = std::byte{77};
    ::_exit(is_same ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  ASSERT_EQ(sync(start, 100), 0);
  EXPECT_EQ(pager().stats().written_back_pages, 10U) << "what came for the child has not changed";
  EXPECT_TRUE(mapped.has_page(50, 50));
}

// Without faults: what is pinned for writing can be written, also after a write-back that failed.
TEST(PagerFileExplicit, IsUsedWhileItIsPinned) {
  PagerFixture fixture;
  TestClusterFile mapped;
  mapped.fill(16);
  mapped.open_again_without_cache();
  UZ_MAKE_PAGER(fixture, PagerFixture::config_of(PagerBackend::Explicit));
  Pager& pager = fixture.pager();
  const auto made = pager.map_cluster_file(mapped.file, 0, 16 * kPageBytes, MapSharing::Shared);
  ASSERT_TRUE(made);
  std::byte* const start = *made;
  const auto write = [&](std::uint64_t seed) {
    ASSERT_EQ(errno_of(pager.pin(start, 16 * kPageBytes)), 0);
    PagerFixture::fill(start, 16, seed);
    ASSERT_EQ(errno_of(pager.unpin(start, 16 * kPageBytes)), 0);
  };
  write(100);
  mapped.disk->most_bytes = 0;
  EXPECT_EQ(errno_of(pager.sync(start, 16 * kPageBytes)), ENOSPC);
  EXPECT_GT(pager.stats().failed_write_backs, 0U);
  write(200);
  mapped.disk->most_bytes = ~std::uint64_t{0};
  ASSERT_EQ(errno_of(pager.sync(start, 16 * kPageBytes)), 0);
  for (std::uint64_t page = 0; page < 16; ++page) EXPECT_TRUE(mapped.has_page(page, 200 + page));
  ASSERT_EQ(errno_of(pager.page_out(start, 16 * kPageBytes)), 0);
  ASSERT_EQ(errno_of(pager.pin(start, 16 * kPageBytes, false)), 0);
  EXPECT_EQ(PagerFixture::first_wrong(start, 16, 200), 16U);
  ASSERT_EQ(errno_of(pager.unpin(start, 16 * kPageBytes)), 0);
  pager.check_invariants();
}

// A cluster file in the file system, gone with the test.
class PagerFileOnDisk : public PagerFileFixture {
 protected:
  static constexpr std::uint64_t kPages = 200;
  void SetUp() override {
    auto storage = open_cluster_storage(path_.string(), StorageMode::Create);
    ASSERT_TRUE(storage);
    auto made = ClusterFile::create(std::move(*storage), {}, {});
    ASSERT_TRUE(made);
    const std::vector<std::byte> zeros(kPages * kPageBytes);
    ASSERT_TRUE((*made)->write(0, zeros));
    ASSERT_TRUE((*made)->sync());
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::byte* map_path() {
    const auto made =
        pager().map_cluster_file(path_.string(), 0, kPages * kPageBytes, MapSharing::Shared);
    EXPECT_TRUE(made) << std::strerror(errno_of(made));
    return made ? *made : nullptr;
  }
  const std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("uzram-pager-file-" + std::to_string(::getpid()) +
                                                "-" + std::to_string(static_cast<int>(GetParam())));
};
INSTANTIATE_TEST_SUITE_P(Backends, PagerFileOnDisk, backends_with_faults(), backend_name);

TEST_P(PagerFileOnDisk, KeepsWhatWasSyncedWhenTheProgramIsKilled) {
  {
    UZ_MAKE_PAGER(*this, alone());
    pager_.reset();
  }
  const pid_t child = ::fork();
  if (child == 0) {
    if (!make(alone())) ::_exit(1);
    std::byte* const start = map_path();
    fill(start, kPages, 40);
    if (sync(start, kPages) != 0) ::_exit(1);
    fill(start, kPages, 80);
    put_away(start, kPages / 2);
    ::raise(SIGKILL);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  UZ_MAKE_PAGER(*this, alone());
  EXPECT_EQ(first_wrong(map_path(), kPages, 40), kPages) << "as of the sync";
}

TEST_P(PagerFileOnDisk, BelongsToOneWhoWrites) {
  UZ_MAKE_PAGER(*this, alone());
  EXPECT_EQ(Pager::cluster_file_bytes(path_.string()).value_or(0), kPages * kPageBytes);
  std::byte* const start = map_path();
  EXPECT_EQ(errno_of(pager().map_cluster_file(path_.string(), 0, 1, MapSharing::Private)), EBUSY);
  EXPECT_EQ(errno_of(Pager::cluster_file_bytes(path_.string())), EBUSY);
  ASSERT_EQ(errno_of(pager().close_region(start)), 0);
  const auto one = pager().map_cluster_file(path_.string(), 0, 1, MapSharing::Private);
  const auto other = pager().map_cluster_file(path_.string(), 0, 1, MapSharing::Private);
  EXPECT_TRUE(one && other);
  std::ofstream(path_) << "no cluster file";
  EXPECT_EQ(errno_of(pager().map_cluster_file(path_.string(), 0, 1, MapSharing::Private)), EBADMSG);
}

TEST(UzramCFile, MapsSyncsAndTellsErrors) {
  const std::string path =
      std::filesystem::temp_directory_path() / ("uzram-c-file-" + std::to_string(::getpid()));
  {
    auto made = ClusterFile::create(*open_cluster_storage(path, StorageMode::Create), {}, {});
    const std::vector<std::byte> zeros(8 * kPageBytes + 5);
    ASSERT_TRUE(made && (*made)->write(0, zeros) && (*made)->sync());
  }
  uint64_t bytes = 0;
  ASSERT_EQ(uzram_cluster_file_bytes(path.c_str(), &bytes), 0);
  EXPECT_EQ(bytes, 8 * kPageBytes + 5);
  uzram_pager_options options;
  uzram_pager_options_init(&options, 8 * kMebibyte);
  options.address_bytes = 64 * kMebibyte;
  uzram_pager* const pager = uzram_pager_open(&options);
  ASSERT_NE(pager, nullptr);
  auto* const start = static_cast<char*>(uzram_region_map_cluster_file(
      pager, path.c_str(), 0, bytes, UZRAM_SHARED, UZRAM_HINT_NORMAL));
  ASSERT_NE(start, nullptr) << std::strerror(errno);
  std::strcpy(start + 100, "written through memory");
  EXPECT_EQ(uzram_sync(pager, start, bytes), 0);
  uzram_pager_stats stats{};
  stats.struct_bytes = sizeof stats;
  ASSERT_EQ(uzram_pager_get_stats(pager, &stats), 0);
  EXPECT_EQ(stats.written_back_pages, 1U);
  EXPECT_EQ(stats.file_faults, 1U);
  EXPECT_EQ(uzram_region_map_cluster_file(pager, nullptr, 0, 1, UZRAM_PRIVATE, UZRAM_HINT_NORMAL),
            nullptr);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(uzram_cluster_file_bytes(path.c_str(), &bytes), -1);
  EXPECT_EQ(errno, EBUSY);
  EXPECT_EQ(uzram_sync(pager, &stats, 1), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(uzram_region_close(pager, start), 0);
  void* const gone =
      uzram_region_map_cluster_file(pager, path.c_str(), 0, 1, UZRAM_SHARED, UZRAM_HINT_RANDOM);
  ASSERT_NE(gone, nullptr);
  std::memset(gone, 'x', 200);
  EXPECT_EQ(uzram_region_abandon(pager, gone), 0);
  uzram_pager_close(pager);
  auto file =
      ClusterFile::open(*open_cluster_storage(path, StorageMode::Read), StorageMode::Read, {});
  ASSERT_TRUE(file);
  std::array<std::byte, 23> seen{};
  ASSERT_TRUE((*file)->read(100, seen));
  EXPECT_STREQ(reinterpret_cast<const char*>(seen.data()), "written through memory");
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace uzram
