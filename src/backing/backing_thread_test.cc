// SPDX-License-Identifier: Apache-2.0
// Many threads in one space: readers, those who free, and one who writes.
#include <mutex>
#include <thread>

#include "backing/backing_fixture.h"
#include "backing/backing_store_rows.h"

namespace uzram {
namespace {

constexpr std::uint64_t kBlocks = 512;

class BackingThread : public ::testing::Test, public BackingListener {
 protected:
  static constexpr int kReaders = 3;
  static constexpr int kRounds = 60;
  static constexpr std::size_t kSlots = 400;

  // A slot as the store has it: an object is not freed while somebody reads it.
  struct Slot {
    std::mutex mutex;
    BackingPosition position;
    std::size_t bytes = 0;  // 0: empty.
    std::uint64_t seed = 0;
  };

  std::vector<Slot> slots_ = std::vector<Slot>(kSlots);
  std::unique_ptr<BackingSpace> space_;
  RecordMemory records_{kBlocks};
  BackingKey key_ = key_of(5);
  std::atomic<int> failures_{0};
  std::atomic<int> read_count_{0};
  std::atomic<bool> is_over_{false};

  static std::size_t bytes_of(std::uint64_t seed) {
    return seed % 3 == 0 ? kBlockBytes : 1 + seed * 977 % 3000;
  }
  void open(std::unique_ptr<BackingStore> store) {
    space_ = std::move(*BackingSpace::create(std::move(store), {key_, records_.bytes()}));
  }
  void placed(std::uint64_t seed, Result<BackingPosition> position) override {
    if (!position) {
      ++failures_;
      return;
    }
    Slot& slot = slots_[seed % kSlots];
    const std::lock_guard<std::mutex> lock(slot.mutex);
    if (slot.bytes != 0) space_->free(slot.position, slot.bytes);
    slot.position = *position;
    slot.bytes = bytes_of(seed);
    slot.seed = seed;
  }
  void write() {
    BackingWriter writer(*space_, *this, ~std::size_t{0}, EncryptIn::OwnThread);
    std::uint64_t seed = 1;
    for (int round = 0; round < kRounds; ++round) {
      for (int i = 0; i < 50; ++i, ++seed) {
        const Result<void> done = writer.append(object_of(bytes_of(seed), seed), seed);
        if (!done && done.error().code != ENOSPC) ++failures_;
      }
      writer.flush();
    }
    is_over_.store(true);
  }
  void read(std::uint64_t number) {
    Random random(number);
    std::vector<std::byte> out;
    while (!is_over_.load()) {
      Slot& slot = slots_[random.below(kSlots)];
      const std::lock_guard<std::mutex> lock(slot.mutex);
      if (slot.bytes == 0) continue;
      out.assign(slot.bytes, std::byte{0});
      if (!space_->read(slot.position, out) || out != object_of(slot.bytes, slot.seed)) ++failures_;
      ++read_count_;
      if (random.below(4) != 0) continue;
      space_->free(slot.position, slot.bytes);
      slot.bytes = 0;
    }
  }
  void run() {
    std::vector<std::thread> threads;
    for (std::uint64_t i = 0; i < kReaders; ++i) threads.emplace_back([this, i] { read(i); });
    threads.emplace_back([this] {
      while (!is_over_.load()) {
        if (!space_->discard_freed_blocks(256)) ++failures_;
        static_cast<void>(space_->counters());
        static_cast<void>(space_->store().is_stalled());
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    });
    write();
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(failures_.load(), 0);
    EXPECT_GT(read_count_.load(), 0);
    space_->check_invariants();
    for (Slot& slot : slots_) {
      if (slot.bytes != 0) space_->free(slot.position, slot.bytes);
    }
    EXPECT_EQ(space_->counters().blocks_in_use, 0U);
  }
};

TEST_F(BackingThread, InMemory) {
  FakeDisk disk(kBlocks);
  open(std::make_unique<FakeStore>(disk, quick_options()));
  run();
  space_.reset();
}

TEST_F(BackingThread, OnAFileThroughThreads) {
  TemporaryFolder folder;
  open(std::move(*open_backing_store(folder.make_file("disk", kBlocks * kBlockBytes),
                                     quick_options(), FileEngine::Threads)));
  run();
}

TEST_F(BackingThread, OnAFileThroughIoUring) {
  TemporaryFolder folder;
  auto store = open_backing_store(folder.make_file("disk", kBlocks * kBlockBytes), quick_options());
  ASSERT_TRUE(store.has_value());
  if (std::string((*store)->kind()) != "io_uring") GTEST_SKIP() << "io_uring is forbidden here";
  open(std::move(*store));
  run();
}

TEST_F(BackingThread, OnAnNbdServer) {
  TemporaryFolder folder;
  const NbdServer server(folder, {"memory", std::to_string(kBlocks * kBlockBytes)});
  if (!server.is_up()) GTEST_SKIP() << "nbdkit does not start here";
  open(std::move(*open_backing_store(server.uri(), quick_options())));
  run();
  space_.reset();
}

}  // namespace
}  // namespace uzram
