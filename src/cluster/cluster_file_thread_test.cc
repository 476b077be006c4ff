// SPDX-License-Identifier: Apache-2.0
// A cluster file that many threads use at once.
#include <gtest/gtest.h>

#include <atomic>
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
