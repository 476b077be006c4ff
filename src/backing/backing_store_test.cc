// SPDX-License-Identifier: Apache-2.0
// What every kind of backing store has to do: file, block device, NBD server.
#include "backing/backing_store.h"

#include <thread>

#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

namespace uzram {
namespace {

using Kind = BackingRequest::Kind;

constexpr std::uint64_t kBlocks = 1024;
constexpr std::uint64_t kBytes = kBlocks * kBlockBytes;

enum class Row { FileUring, FileThreads, DeviceUring, DeviceThreads, Nbd };

std::string name_of(const testing::TestParamInfo<Row>& row) {
  static constexpr const char* kNames[] = {"FileUring", "FileThreads", "DeviceUring",
                                           "DeviceThreads", "Nbd"};
  return kNames[static_cast<std::size_t>(row.param)];
}

class EveryBackingStore : public ::testing::TestWithParam<Row> {
 protected:
  TemporaryFolder folder_;
  std::string file_;
  std::unique_ptr<LoopOverFile> loop_;
  std::unique_ptr<NbdServer> server_;
  std::unique_ptr<BackingStore> store_;

  [[nodiscard]] static bool uses_nbd() { return GetParam() == Row::Nbd; }
  [[nodiscard]] static bool uses_device() {
    return GetParam() == Row::DeviceUring || GetParam() == Row::DeviceThreads;
  }
  [[nodiscard]] static bool uses_threads() {
    return GetParam() == Row::FileThreads || GetParam() == Row::DeviceThreads;
  }

  void SetUp() override {
    std::string word;
    if (uses_nbd()) {
      server_ = std::make_unique<NbdServer>(
          folder_, std::vector<std::string>{"memory", std::to_string(kBytes)});
      if (!server_->is_up()) GTEST_SKIP() << "nbdkit does not start here";
      word = server_->uri();
    } else {
      file_ = folder_.make_file("disk", kBytes);
      word = file_;
    }
    if (uses_device()) {
      loop_ = std::make_unique<LoopOverFile>(file_);
      if (!loop_->is_there()) GTEST_SKIP() << "no loop device for this user or on this machine";
      word = loop_->path();
    }
    open(word);
  }
  void open(const std::string& word) {
    auto store = open_backing_store(word, quick_options(),
                                    uses_threads() ? FileEngine::Threads : FileEngine::Automatic);
    ASSERT_TRUE(store.has_value()) << word << ": errno " << store.error().code;
    store_ = std::move(*store);
    const std::string kind = store_->kind();
    if (!uses_nbd() && !uses_threads() && kind != "io_uring")
      GTEST_SKIP() << "io_uring is forbidden here";
    EXPECT_EQ(kind, uses_nbd() ? "nbd" : uses_threads() ? "threads" : "io_uring");
  }
  BackingLease writing(BlockRange range, std::uint64_t seed) {
    BackingLease lease = store_->try_take(BackingUse::Write);
    EXPECT_TRUE(lease.is_held());
    fill_object(lease.buffer().first(range.count * kBlockBytes), seed);
    lease.start(Kind::Write, range);
    return lease;
  }
  // Returns: 0, an errno value, or -1 when it is not what was written.
  int read(BlockRange range, std::uint64_t seed) {
    Result<BackingLease> lease = store_->take(BackingUse::Read);
    if (!lease) return lease.error().code;
    std::memset(lease->buffer().data(), 0xee, lease->buffer().size());
    lease->start(Kind::Read, range);
    const Result<void> done = lease->finish();
    if (!done) return done.error().code;
    const auto expected = object_of(range.count * kBlockBytes, seed);
    return std::equal(expected.begin(), expected.end(), lease->buffer().begin()) ? 0 : -1;
  }
};

TEST_P(EveryBackingStore, HasTheBlocksThatItHas) { EXPECT_EQ(store_->block_count(), kBlocks); }

TEST_P(EveryBackingStore, ReadsWhatWasWritten) {
  ASSERT_TRUE(writing({3, 40}, 7).finish().has_value());
  ASSERT_TRUE(writing({kBlocks - 1, 1}, 8).finish().has_value());
  EXPECT_EQ(read({3, 40}, 7), 0);
  EXPECT_EQ(read({kBlocks - 1, 1}, 8), 0);
  EXPECT_EQ(read({4, 1}, 7), -1) << "another block";
}

TEST_P(EveryBackingStore, HasSeveralWritesInFlightTogether) {
  std::vector<BackingLease> leases;
  for (std::uint64_t i = 0; i < 4; ++i)
    leases.push_back(writing({i * kRunBlocks, kRunBlocks}, 100 + i));
  EXPECT_FALSE(store_->try_take(BackingUse::Write).is_held()) << "those are all";
  // In any order.
  for (const std::size_t i : {2U, 0U, 3U, 1U}) EXPECT_TRUE(leases[i].finish().has_value());
  leases.clear();
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(read({i * kRunBlocks, kReadBlocks}, 100 + i), 0);
  }
}

TEST_P(EveryBackingStore, UsesARequestAgainAndAgain) {
  for (std::uint64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(writing({i, 1}, i).finish().has_value());
    ASSERT_EQ(read({i, 1}, i), 0);
  }
}

TEST_P(EveryBackingStore, ServesManyReadersAtOnce) {
  for (std::uint64_t i = 0; i < 64; ++i) ASSERT_TRUE(writing({i, 1}, i).finish().has_value());
  std::vector<std::thread> readers;
  std::atomic<int> wrong{0};
  for (std::uint64_t reader = 0; reader < 8; ++reader) {
    readers.emplace_back([&, reader] {
      Random random(reader);
      for (int i = 0; i < 100; ++i) {
        const std::uint64_t block = random.below(64);
        if (read({block, 1}, block) != 0) ++wrong;
      }
    });
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong.load(), 0);
}

TEST_P(EveryBackingStore, ForgetsWhatIsDiscardedOrSaysThatItCannot) {
  ASSERT_TRUE(writing({0, 64}, 5).finish().has_value());
  BackingLease lease = store_->try_take(BackingUse::Write);
  lease.start(Kind::Discard, {16, 32});
  const Result<void> done = lease.finish();
  if (!done) {
    EXPECT_EQ(done.error().code, EOPNOTSUPP);
  } else {
    Result<BackingLease> reading = store_->take(BackingUse::Read);
    reading->start(Kind::Read, {16, 32});
    ASSERT_TRUE(reading->finish().has_value());
    const MutableBytes bytes = reading->buffer().first(32 * kBlockBytes);
    EXPECT_TRUE(
        std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; }));
  }
  EXPECT_EQ(read({0, 16}, 5), 0);
}

TEST_P(EveryBackingStore, HoldsASpace) {
  const std::uint64_t block_count = store_->block_count();
  SpaceUser user(block_count, [this] { return std::move(store_); });
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(user.append(kBlockBytes), 0);
    ASSERT_EQ(user.append(static_cast<std::size_t>(1 + i * 17)), 0);
  }
  EXPECT_EQ(user.flush(), 0U);
  user.verify();
  user.drop_all();
  EXPECT_EQ(user.counters().blocks_in_use, 0U);
}

TEST_P(EveryBackingStore, EndsWithRequestsInFlight) {
  { const BackingLease forgotten = writing({0, kRunBlocks}, 1); }
  store_.reset();
}

INSTANTIATE_TEST_SUITE_P(Rows, EveryBackingStore,
                         testing::Values(Row::FileUring, Row::FileThreads, Row::DeviceUring,
                                         Row::DeviceThreads, Row::Nbd),
                         name_of);

// --- what only some can do

using FilesOnly = EveryBackingStore;

TEST_P(FilesOnly, NoticesThatTheFileHasBecomeShorter) {
  ASSERT_TRUE(writing({100, 2}, 1).finish().has_value());
  ASSERT_EQ(::truncate(file_.c_str(), 101 * kBlockBytes), 0);
  EXPECT_EQ(read({100, 2}, 1), EIO);
  EXPECT_EQ(read({200, 1}, 1), EIO);
  EXPECT_EQ(read({100, 1}, 1), 0) << "this block is still there";
}

INSTANTIATE_TEST_SUITE_P(Rows, FilesOnly, testing::Values(Row::FileUring, Row::FileThreads),
                         name_of);

}  // namespace
}  // namespace uzram
