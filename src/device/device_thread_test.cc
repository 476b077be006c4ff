// SPDX-License-Identifier: Apache-2.0
// A device under requests from many threads: resets in the middle, large requests, memory given
// back.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "device/device.h"
#include "device/device_fixture.h"
#include "device/device_set.h"

namespace uzram {
namespace {

constexpr int kRounds = UZ_UNDER_SANITIZER ? 12 : 40;

// A device appears, is used and disappears under requests that do not know: each one is served
// whole by one life of the device, or refused.
TEST(DeviceThread, ServesOrRefusesWhileItIsReset) {
  Device device(0);
  std::atomic<bool> is_over{false};
  std::atomic<std::uint64_t> served{0};
  std::vector<std::thread> users;
  for (std::uint64_t user = 0; user < 3; ++user) {
    users.emplace_back([&, user] {
      const std::vector<std::byte> mine = bytes_of(PageKind::Text, 40 * kPageBytes, user);
      std::vector<std::byte> out(mine.size());
      while (!is_over) {
        const std::uint64_t offset = user * 64 * kPageBytes;
        const int written = code_of(device.write(offset, mine));
        ASSERT_TRUE(written == 0 || written == EINVAL);
        if (written != 0) continue;
        const int read = code_of(device.read(offset, out));
        ASSERT_TRUE(read == 0 || read == EINVAL);
        const bool is_of_this_life = read == 0 && out == mine;
        const bool is_of_the_next = read == 0 && out == std::vector<std::byte>(mine.size());
        ASSERT_TRUE(read == EINVAL || is_of_this_life || is_of_the_next);
        served.fetch_add(1);
      }
    });
  }
  users.emplace_back([&] {
    while (!is_over) {
      const DeviceStats stats = device.stats();
      ASSERT_LE(stats.orig_data_bytes, 3U * 40 * kPageBytes);
      static_cast<void>(device.disksize());
      device.set_mem_limit(0);
      device.reset_mem_used_max();
      static_cast<void>(device.compact());
      static_cast<void>(device.extent_at(0, kMiB));
      static_cast<void>(device.discard(200 * kPageBytes, 8 * kPageBytes));
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_EQ(code_of(device.set_disksize(kMiB)), 0);
    const std::uint64_t before = served.load();
    while (served.load() < before + 3) std::this_thread::yield();
    ASSERT_EQ(code_of(device.reset()), 0);
  }
  is_over = true;
  for (std::thread& user : users) user.join();
}

TEST(DeviceThread, SharesLargeRequestsOfSeveralUsers) {
  Device device(0);
  ASSERT_EQ(code_of(device.set_algorithm("lz4")), 0);
  ASSERT_EQ(code_of(device.set_disksize(32 * kMiB)), 0);
  std::vector<std::thread> users;
  for (std::uint64_t user = 0; user < 3; ++user) {
    users.emplace_back([&device, user] {
      Random random(user);
      std::vector<std::byte> out(2 * kMiB);
      for (int round = 0; round < kRounds; ++round) {
        const std::uint64_t offset = user * 10 * kMiB + random.below(4 * kMiB);
        const std::size_t bytes = random.below(2 * kMiB);
        const auto mine = bytes_of(kPageKinds[random.below(kPageKinds.size())], bytes, round);
        ASSERT_EQ(code_of(device.write(offset, mine)), 0);
        ASSERT_EQ(code_of(device.read(offset, MutableBytes(out).first(bytes))), 0);
        ASSERT_TRUE(std::equal(mine.begin(), mine.end(), out.begin()));
      }
    });
  }
  for (std::thread& user : users) user.join();
  device.check_invariants();
}

// Parts of the same sectors' pages by several users, as a file system with small blocks does it.
TEST(DeviceThread, LosesNoSectorOfASharedPage) {
  constexpr std::size_t kSector = 512;
  Device device(0);
  ASSERT_EQ(code_of(device.set_algorithm("lz4")), 0);
  ASSERT_EQ(code_of(device.set_disksize(16 * kPageBytes)), 0);
  std::vector<std::thread> users;
  for (std::uint64_t user = 0; user < 4; ++user) {
    users.emplace_back([&device, user] {
      Random random(user);
      std::array<std::uint64_t, 16> versions{};
      for (int round = 0; round < 50 * kRounds; ++round) {
        const std::uint64_t page = random.below(16);
        const std::uint64_t offset = page * kPageBytes + user * 2 * kSector;
        std::array<std::byte, kSector> sector{};
        ASSERT_EQ(code_of(device.read(offset, sector)), 0);
        std::uint64_t stored = 0;
        std::memcpy(&stored, sector.data(), sizeof stored);
        ASSERT_EQ(stored, versions[page]);
        const std::uint64_t version = ++versions[page];
        std::memcpy(sector.data(), &version, sizeof version);
        ASSERT_EQ(code_of(device.write(offset, sector)), 0);
      }
    });
  }
  for (std::thread& user : users) user.join();
  device.check_invariants();
}

TEST(DeviceThread, GivesMemoryBackSomeTimeAfterDiscards) {
  Device device(0);
  ASSERT_EQ(code_of(device.set_disksize(64 * kMiB)), 0);
  ASSERT_EQ(code_of(device.write(0, bytes_of(PageKind::Random, 16 * kMiB, 1))), 0);
  ASSERT_GE(resident_bytes_of(device.arena_descriptor()), 16 * kMiB);
  for (std::uint64_t offset = 0; offset < 16 * kMiB; offset += 2 * kPageBytes)
    ASSERT_EQ(code_of(device.discard(offset, kPageBytes)), 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  const auto is_given_back = [&device] {
    return resident_bytes_of(device.arena_descriptor()) < 9 * kMiB;
  };
  while (!is_given_back() && std::chrono::steady_clock::now() < deadline)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_TRUE(is_given_back());
  EXPECT_LT(device.stats().mem_used_bytes, 9 * kMiB);
}

TEST(DeviceThread, AgreesWithItsPoolAboutTheLimit) {
  for (int round = 0; round < kRounds; ++round) {
    Device device(0);
    std::thread setter([&device] { device.set_mem_limit(8 * kPageBytes); });
    std::thread starter([&device] { ASSERT_EQ(code_of(device.set_disksize(kMiB)), 0); });
    setter.join();
    starter.join();
    ASSERT_EQ(code_of(device.write(0, bytes_of(PageKind::Random, 16 * kPageBytes, 1))), ENOSPC);
  }
}

TEST(DeviceThread, InitialisesOnceForManyWhoTry) {
  for (int round = 0; round < kRounds; ++round) {
    TestAttachment attachment;
    Device device(0, &attachment);
    std::atomic<int> successes{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        const int code = code_of(device.set_disksize(kMiB));
        ASSERT_TRUE(code == 0 || code == EBUSY);
        if (code == 0) successes.fetch_add(1);
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(successes, 1);
    EXPECT_EQ(attachment.attach_count, 1);
  }
}

TEST(DeviceSetThread, RemovesADeviceOnce) {
  // Detaching takes a while, so that all of them have found the device before it is gone.
  TestAttachment attachment;
  attachment.on_detach = [](Device&) { std::this_thread::sleep_for(std::chrono::milliseconds(5)); };
  for (int round = 0; round < kRounds; ++round) {
    DeviceSet set(&attachment);
    ASSERT_EQ(set.add(), 0);
    ASSERT_EQ(code_of(set.find(0)->set_disksize(kMiB)), 0);
    std::atomic<int> successes{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        const int code = code_of(set.remove(0));
        ASSERT_TRUE(code == 0 || code == ENODEV);
        if (code == 0) successes.fetch_add(1);
      });
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_EQ(successes, 1);
    ASSERT_TRUE(set.all().empty());
  }
}

}  // namespace
}  // namespace uzram
