// SPDX-License-Identifier: Apache-2.0
// A crash before every single change and sync of the storage, with nothing, all or any part of what
// was not synced; and every change and sync failing. What is found then is the last sync's content,
// or that of the one that was under way.
#include <gtest/gtest.h>

#include "cluster/cluster_file_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kMostContent = 150'000;

struct CrashRun {
  std::uint64_t seed;
  std::uint64_t base;  // Where the changes begin: behind 256 clusters, the map has two levels.
  int step_count;
};
// What GoogleTest prints for one.
void PrintTo(const CrashRun& run, std::ostream* out) { *out << "seed " << run.seed; }
constexpr ClusterFileLimits kSmallLimits{.cache_bytes = 4 * (kPageBytes << 2)};

class ClusterFileCrash : public testing::TestWithParam<CrashRun> {
 protected:
  std::unique_ptr<ClusterFile> create() {
    return ClusterFile::create(std::make_unique<MemoryStorage>(disk_),
                               {.algorithm = ClusterAlgorithm::LzoRle}, kSmallLimits)
        .value();
  }
  // What a crash may leave of the last sync, or of one that has begun since then.
  void expect_a_sync(const ContentBytes& left, const std::string& when) {
    const auto file = open_bytes(left);
    ASSERT_TRUE(file) << when;
    const ContentBytes found = read_whole(*file);
    const bool is_one = found == synced_ || (syncing_ && found == *syncing_);
    ASSERT_TRUE(is_one) << when << ": " << found.size() << " bytes";
    // And who opens it can go on.
    ASSERT_TRUE(file->write(found.size(), content_of(PageKind::Text, 5000)));
    ASSERT_TRUE(file->sync());
    file->check_invariants();
  }
  // Changes and syncs as the seed says. Returns: whether all of it succeeded.
  bool run(ClusterFile& file, int step_count) {
    RandomChanges changes(GetParam().seed, kMostContent, GetParam().base);
    ContentBytes plain;
    for (int step = 0; step < step_count; ++step) {
      if (!changes.change(file, plain)) return false;
      if (step % 4 != 3) continue;
      syncing_ = plain;
      if (!file.sync()) return false;
      synced_ = plain;
      syncing_.reset();
    }
    return true;
  }

  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  ContentBytes synced_;
  std::optional<ContentBytes> syncing_;
};

TEST_P(ClusterFileCrash, LeavesOneSyncOrTheNext) {
  const auto file = create();
  Random random(GetParam().seed + 1000);
  int crash_count = 0;
  disk_->before_change = [&] {
    if (testing::Test::HasFatalFailure()) return;
    const std::string when = "crash " + std::to_string(crash_count++);
    for (const unsigned keep_percent : {0U, 50U, 90U, 100U})
      expect_a_sync(disk_->after_crash(random, keep_percent), when);
  };
  EXPECT_TRUE(run(*file, GetParam().step_count));
  EXPECT_GT(crash_count, GetParam().step_count);
}

TEST_P(ClusterFileCrash, LeavesOneSyncOrTheNextWhateverFails) {
  for (const int failure : {ENOSPC, EIO}) {
    for (std::uint64_t n = 0; n < 300; ++n) {
      disk_ = std::make_shared<MemoryDisk>();
      synced_.clear();
      syncing_.reset();
      const auto file = create();
      disk_->changes_until_failure = n;
      disk_->failure = failure;
      const bool is_done = run(*file, 12);
      expect_a_sync(disk_->bytes, "failure of change " + std::to_string(n));
      if (is_done || testing::Test::HasFatalFailure()) break;
    }
  }
}

TEST_P(ClusterFileCrash, GoesOnAfterOneWriteThatFailed) {
  for (std::uint64_t n = 0; n < 60; n += 3) {
    disk_ = std::make_shared<MemoryDisk>();
    const auto file = create();
    RandomChanges changes(GetParam().seed, kMostContent, GetParam().base);
    ContentBytes plain;
    disk_->changes_until_failure = n;
    disk_->failure = ENOSPC;
    disk_->fails_once = true;
    for (int step = 0; step < 12; ++step) {
      if (!changes.change(*file, plain)) {
        // A first part of the change may be there: from now on, what the file says counts.
        plain = read_whole(*file);
      }
    }
    EXPECT_TRUE(read_whole(*file) == plain) << n;
    if (!file->sync()) continue;  // A sync that failed: see the test above.
    EXPECT_TRUE(read_whole(*file) == plain) << n;
    EXPECT_TRUE(read_whole(*open_bytes(disk_->durable)) == plain) << n;
    file->check_invariants();
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ClusterFileCrash,
                         testing::Values(CrashRun{1, 0, 28}, CrashRun{2, 0, 28},
                                         CrashRun{3, 250 * (kPageBytes << 2), 8}));

}  // namespace
}  // namespace uzram
