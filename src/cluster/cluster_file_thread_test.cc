// SPDX-License-Identifier: Apache-2.0
// A cluster file that many threads use at once.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "cluster/cluster_file_fixture.h"

namespace uzram {
namespace {

constexpr std::size_t kOwners = 3;
// No multiple of a cluster: neighbours share one.
constexpr std::size_t kStretchBytes = 50'000;

// Writes to a stretch that nobody else writes to, and expects to read what it wrote last.
void use_stretch(ClusterFile& file, std::size_t owner, MutableBytes plain, int steps) {
  const std::uint64_t base = owner * kStretchBytes;
  Random random(owner);
  for (int step = 0; step < steps; ++step) {
    const std::size_t offset = random.below(kStretchBytes);
    const std::size_t bytes = 1 + random.below(std::min<std::size_t>(9000, kStretchBytes - offset));
    const MutableBytes place = plain.subspan(offset, bytes);
    if (random.below(8) == 0) {
      std::fill(place.begin(), place.end(), std::byte{0});
      ASSERT_TRUE(file.punch(base + offset, bytes));
    } else if (random.below(2) == 0) {
      PageMaker(random.next()).fill(kPageKinds[random.below(kPageKinds.size())], place);
      ASSERT_TRUE(file.write(base + offset, place));
    }
    ContentBytes read(kStretchBytes);
    ASSERT_EQ(file.read(base, read), read.size());
    ASSERT_TRUE(std::equal(read.begin(), read.end(), plain.begin())) << owner << " " << step;
    read.resize(500);
    for (int i = 0; i < 10; ++i) {
      const std::size_t at = random.below(kStretchBytes - read.size());
      ASSERT_EQ(file.read(base + at, read), read.size());
      ASSERT_TRUE(std::equal(read.begin(), read.end(), &plain[at])) << owner << " " << step;
    }
  }
}

// What the others do must not disturb, and must not be disturbed.
void look_and_sync(ClusterFile& file, const std::atomic<bool>& is_done) {
  while (!is_done.load(std::memory_order_relaxed)) {
    ASSERT_TRUE(file.sync());
    ASSERT_TRUE(file.totals());
    ASSERT_EQ(file.size_bytes(), kOwners * kStretchBytes);
    ASSERT_TRUE(file.next_data(kStretchBytes));
    ASSERT_EQ(file.verify([](std::uint64_t, std::uint64_t) {}, [](std::uint64_t) {}), 0U);
    ASSERT_TRUE(file.flush());
    std::this_thread::yield();
  }
}

// Stands in the way of the storage's next change until it is let go; not for ever, so that a test
// that fails ends.
class Barrier {
 public:
  void stand() {
    const MutexLock lock(mutex_);
    is_reached_ = true;
    changed_.notify_all();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (!is_open_ && std::chrono::steady_clock::now() < end)
      changed_.wait_for(mutex_, std::chrono::seconds(1));
    was_opened_ = is_open_;
    is_open_ = true;
  }
  void wait_until_reached() {
    const MutexLock lock(mutex_);
    while (!is_reached_) changed_.wait(mutex_);
  }
  void open() {
    const MutexLock lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  // Whether somebody did, while it was in the way.
  bool was_opened() {
    const MutexLock lock(mutex_);
    return was_opened_;
  }

 private:
  Mutex mutex_;
  ConditionVariable changed_;
  bool is_reached_ UZ_GUARDED_BY(mutex_) = false;
  bool is_open_ UZ_GUARDED_BY(mutex_) = false;
  bool was_opened_ UZ_GUARDED_BY(mutex_) = false;
};

TEST(ClusterFileThread, ReadsFromBuffersWhileAnotherWrites) {
  const auto disk = std::make_shared<MemoryDisk>();
  auto file = ClusterFile::create(std::make_unique<MemoryStorage>(disk), {}, {}).value();
  const ContentBytes content = content_of(PageKind::Text, 100'000);
  ASSERT_TRUE(file->write(0, content));
  Barrier barrier;
  disk->before_change = [&] { barrier.stand(); };
  std::thread other([&] { EXPECT_TRUE(file->sync()); });
  barrier.wait_until_reached();
  ContentBytes part(5000);
  EXPECT_EQ(file->size_bytes(), content.size());
  EXPECT_EQ(file->read(20'000, part), part.size());
  EXPECT_TRUE(std::equal(part.begin(), part.end(), content.begin() + 20'000));
  ContentBytes cluster(file->options().cluster_bytes());
  EXPECT_TRUE(file->read_cluster(1, cluster));
  EXPECT_TRUE(std::equal(cluster.begin(), cluster.end(),
                         content.begin() + static_cast<std::ptrdiff_t>(cluster.size())));
  barrier.open();
  other.join();
  EXPECT_TRUE(barrier.was_opened()) << "the reads waited for the write";
}

TEST(ClusterFileThread, GivesEachOwnerWhatItWroteLast) {
  const auto disk = std::make_shared<MemoryDisk>();
  const ClusterFileLimits limits{.cache_bytes = 4 * ClusterOptions{}.cluster_bytes(),
                                 .thread_count = 2};
  auto file = ClusterFile::create(std::make_unique<MemoryStorage>(disk), {}, limits).value();
  ContentBytes plain(kOwners * kStretchBytes);
  ASSERT_TRUE(file->truncate(plain.size()));

  std::atomic<bool> is_done = false;  // Publishes nothing.
  std::thread other([&] { look_and_sync(*file, is_done); });
  std::vector<std::thread> owners;
  for (std::size_t owner = 0; owner < kOwners; ++owner) {
    owners.emplace_back([&, owner] {
      use_stretch(*file, owner, MutableBytes(plain).subspan(owner * kStretchBytes, kStretchBytes),
                  60);
    });
  }
  for (std::thread& owner : owners) owner.join();
  is_done = true;
  other.join();

  ASSERT_TRUE(file->sync());
  file->check_invariants();
  EXPECT_TRUE(read_whole(*file) == plain);
  EXPECT_TRUE(read_whole(*open_bytes(disk->durable)) == plain);
}

}  // namespace
}  // namespace uzram
