// SPDX-License-Identifier: Apache-2.0
// A device at its limit, with a backing store that has room: writes go on, and the limit holds.
#include "device/overflow.h"

#include <gtest/gtest.h>

#include <thread>

#include "backing/backing_store_rows.h"
#include "device/device.h"
#include "device/device_fixture.h"

namespace uzram {
namespace {

class OverflowTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kLimit = 2 * kMiB;
  static constexpr std::uint64_t kDisk = 16 * kMiB;

  void start(std::uint64_t store_bytes, bool uses_dedup = false) {
    ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
    ASSERT_EQ(code_of(device_.set_dedup(uses_dedup)), 0);
    ASSERT_EQ(code_of(device_.set_backing(folder_.make_file("store", store_bytes))), 0);
    device_.set_mem_limit(kLimit);
    ASSERT_EQ(code_of(device_.set_disksize(kDisk)), 0);
  }
  // Returns: the error of the first write that fails, or 0.
  int fill(PageKind kind, std::uint64_t from, std::uint64_t to, std::uint64_t step_bytes) {
    for (std::uint64_t at = from; at < to; at += step_bytes) {
      const int error = code_of(device_.write(at, bytes_of(kind, step_bytes, at + 1)));
      if (error != 0) return error;
    }
    return 0;
  }
  void expect(PageKind kind, std::uint64_t from, std::uint64_t to, std::uint64_t step_bytes) {
    std::vector<std::byte> out(step_bytes);
    for (std::uint64_t at = from; at < to; at += step_bytes) {
      ASSERT_EQ(code_of(device_.read(at, out)), 0) << at;
      ASSERT_EQ(out, bytes_of(kind, step_bytes, at + 1)) << at;
    }
  }
  void expect_limit_held() {
    EXPECT_LE(device_.stats().mem_used_bytes, kLimit);
    EXPECT_LE(device_.stats().mem_used_max_bytes, kLimit);
    EXPECT_EQ(device_.stats().failed_writes, 0U);
    device_.check_invariants();
  }

  TemporaryFolder folder_;
  Device device_{5};
};

TEST_F(OverflowTest, TakesManyTimesTheLimitOfPagesThatDoNotPack) {
  start(2 * kDisk);
  EXPECT_EQ(fill(PageKind::Random, 0, kDisk, 256 * 1024), 0);
  expect_limit_held();
  expect(PageKind::Random, 0, kDisk, 256 * 1024);
}

TEST_F(OverflowTest, TakesARequestLargerThanTheLimit) {
  start(2 * kDisk);
  EXPECT_EQ(fill(PageKind::Random, 0, kDisk, 2 * kLimit), 0);
  expect_limit_held();
  expect(PageKind::Random, 0, kDisk, 2 * kLimit);
}

TEST_F(OverflowTest, TakesPagesThatPackAndPartsOfPages) {
  start(2 * kDisk, true);
  EXPECT_EQ(fill(PageKind::Text, 0, kDisk / 2, 16 * kPageBytes), 0);
  EXPECT_EQ(fill(PageKind::Random, kDisk / 2, kDisk - kPageBytes, 1536), 0);
  expect_limit_held();
  expect(PageKind::Text, 0, kDisk / 2, 16 * kPageBytes);
}

TEST_F(OverflowTest, ServesSeveralWriters) {
  start(2 * kDisk);
  std::array<int, 4> errors{};
  std::vector<std::thread> writers;
  for (std::size_t i = 0; i < errors.size(); ++i) {
    writers.emplace_back([this, i, &errors] {
      const std::uint64_t share = kDisk / errors.size();
      errors[i] = fill(PageKind::Random, i * share, (i + 1) * share, 32 * kPageBytes);
    });
  }
  for (std::thread& writer : writers) writer.join();
  for (const int error : errors) EXPECT_EQ(error, 0);
  expect_limit_held();
}

TEST_F(OverflowTest, EndsWithTheStoresRoom) {
  start(kMiB);
  EXPECT_EQ(fill(PageKind::Random, 0, kDisk, 64 * 1024), ENOSPC);
  EXPECT_LE(device_.stats().mem_used_max_bytes, kLimit);
}

TEST_F(OverflowTest, HonoursTheWritebackLimit) {
  start(2 * kDisk);
  device_.set_writeback_limit(100);
  device_.set_writeback_limit_enabled(true);
  EXPECT_EQ(fill(PageKind::Random, 0, kDisk, 64 * 1024), ENOSPC);
  EXPECT_LE(device_.stats().backing_writes, 100U);
}

TEST_F(OverflowTest, DoesNothingWithoutAStore) {
  device_.set_mem_limit(kLimit);
  ASSERT_EQ(code_of(device_.set_disksize(kDisk)), 0);
  EXPECT_EQ(fill(PageKind::Random, 0, kDisk, 64 * 1024), ENOSPC);
}

}  // namespace
}  // namespace uzram
