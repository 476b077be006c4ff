// SPDX-License-Identifier: Apache-2.0
// A device's data path: ranges, parts of pages, discards, extents, and the numbers that it shows.
#include "device/device.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <limits>
#include <thread>

#include "device/device_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kDiskBytes = 16 * kMiB;
constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();

class DeviceData : public testing::Test {
 protected:
  void SetUp() override { start(kDiskBytes); }
  void TearDown() override { device_.check_invariants(); }
  void start(std::uint64_t bytes) {
    ASSERT_EQ(code_of(device_.reset()), 0);
    ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
    ASSERT_EQ(code_of(device_.set_disksize(bytes)), 0);
  }
  int write(std::uint64_t offset, const std::vector<std::byte>& data) {
    return code_of(device_.write(offset, data));
  }
  std::vector<std::byte> read(std::uint64_t offset, std::size_t bytes) {
    std::vector<std::byte> out(bytes, std::byte{0xee});
    EXPECT_EQ(code_of(device_.read(offset, out)), 0) << offset << " + " << bytes;
    return out;
  }
  static std::vector<std::byte> text(std::size_t bytes, std::uint64_t seed = 1) {
    return bytes_of(PageKind::Text, bytes, seed);
  }
  static std::vector<std::byte> zeros(std::size_t bytes) { return std::vector<std::byte>(bytes); }

  Device device_{0};
};

// --- ranges --------------------------------------------------------------------------------------

TEST_F(DeviceData, ReadsBackWhatWasWrittenAtAnyAlignment) {
  std::vector<std::byte> mirror(kDiskBytes);
  Random random(1);
  for (int i = 0; i < 300; ++i) {
    const std::size_t offset = random.below(mirror.size());
    const std::size_t bytes =
        random.below(std::min<std::size_t>(mirror.size() - offset, 300'000) + 1);
    const MutableBytes part = MutableBytes(mirror).subspan(offset, bytes);
    switch (random.below(8)) {
      case 0:
        ASSERT_EQ(code_of(device_.write_zeroes(offset, bytes)), 0);
        std::fill(part.begin(), part.end(), std::byte{0});
        break;
      default:
        PageMaker(random.next()).fill(kPageKinds[random.below(kPageKinds.size())], part);
        ASSERT_EQ(code_of(device_.write(offset, part)), 0);
    }
    const std::size_t look = random.below(mirror.size() - 70'000);
    const std::vector<std::byte> out = read(look, 70'000);
    ASSERT_TRUE(std::equal(out.begin(), out.end(), mirror.begin() + look)) << "round " << i;
  }
  EXPECT_TRUE(read(0, mirror.size()) == mirror);
}

TEST_F(DeviceData, RefusesRangesThatLeaveTheDevice) {
  std::vector<std::byte> page(kPageBytes);
  const std::vector<std::pair<std::uint64_t, std::uint64_t>> outside = {
      {kDiskBytes, 1},     {kDiskBytes - 1, 2},      {kDiskBytes + 1, 0},  {kMost, 0},
      {kMost, 1},          {kMost - 4095, 4096},     {kMost - 4094, 4096}, {1ULL << 63, 4096},
      {kMost - 511, 4096}, {kDiskBytes - 4095, 4096}};
  for (const auto& [offset, bytes] : outside) {
    const MutableBytes part = MutableBytes(page).first(bytes);
    EXPECT_EQ(code_of(device_.read(offset, part)), EINVAL) << offset << " + " << bytes;
    EXPECT_EQ(code_of(device_.write(offset, part)), EINVAL) << offset << " + " << bytes;
    EXPECT_EQ(code_of(device_.discard(offset, bytes)), EINVAL) << offset << " + " << bytes;
    EXPECT_EQ(code_of(device_.write_zeroes(offset, bytes)), EINVAL) << offset << " + " << bytes;
  }
  EXPECT_EQ(code_of(device_.discard(0, kDiskBytes + 1)), EINVAL);
  EXPECT_EQ(code_of(device_.discard(4096, kMost)), EINVAL);
  EXPECT_EQ(code_of(device_.write_zeroes(4096, kMost - 4095)), EINVAL);
  EXPECT_EQ(code_of(device_.extent_at(kDiskBytes, 1)), EINVAL);
  EXPECT_EQ(device_.stats().invalid_io, 4 * outside.size() + 4);
  EXPECT_EQ(device_.stats().read_requests, 0U);
  EXPECT_EQ(device_.stats().orig_data_bytes, 0U);
}

TEST_F(DeviceData, AcceptsRangesUpToTheLastByte) {
  EXPECT_EQ(write(kDiskBytes - 1, text(1)), 0);
  EXPECT_EQ(read(kDiskBytes - 1, 1), text(1));
  EXPECT_EQ(write(kDiskBytes - kPageBytes, text(kPageBytes)), 0);
  EXPECT_EQ(write(kDiskBytes, {}), 0);
  EXPECT_EQ(write(0, {}), 0);
  EXPECT_EQ(write(77, {}), 0);
  EXPECT_EQ(read(kDiskBytes, 0), zeros(0));
  EXPECT_EQ(code_of(device_.discard(kDiskBytes, 0)), 0);
  EXPECT_EQ(code_of(device_.write_zeroes(kDiskBytes - 1, 1)), 0);
  EXPECT_EQ(code_of(device_.discard(0, kDiskBytes)), 0);
  EXPECT_EQ(device_.stats().orig_data_bytes, 0U);
  EXPECT_EQ(device_.stats().invalid_io, 0U);
}

TEST_F(DeviceData, WritesInsideOnePageWithoutTouchingItsEnds) {
  ASSERT_EQ(write(0, text(3 * kPageBytes)), 0);
  ASSERT_EQ(write(kPageBytes + 1, zeros(kPageBytes - 2)), 0);
  const std::vector<std::byte> whole = text(3 * kPageBytes);
  EXPECT_EQ(read(kPageBytes, 1)[0], whole[kPageBytes]);
  EXPECT_EQ(read(2 * kPageBytes - 1, 1)[0], whole[2 * kPageBytes - 1]);
  EXPECT_EQ(read(kPageBytes + 1, kPageBytes - 2), zeros(kPageBytes - 2));
}

// --- discard and write zeroes
// ----------------------------------------------------------------------

TEST_F(DeviceData, DiscardsWholePagesOnly) {
  const std::vector<std::byte> before = text(8 * kPageBytes);
  ASSERT_EQ(write(0, before), 0);
  ASSERT_EQ(code_of(device_.discard(kPageBytes + 100, 2 * kPageBytes)), 0);
  std::vector<std::byte> after = before;
  std::fill(after.begin() + 2 * kPageBytes, after.begin() + 3 * kPageBytes, std::byte{0});
  EXPECT_EQ(read(0, after.size()), after);
  EXPECT_EQ(device_.stats().notify_free, 1U);
  ASSERT_EQ(code_of(device_.discard(5 * kPageBytes + 1, kPageBytes - 1)), 0);
  ASSERT_EQ(code_of(device_.discard(5 * kPageBytes + 1, 10)), 0);
  EXPECT_EQ(read(0, after.size()), after);
  EXPECT_EQ(device_.stats().notify_free, 1U);
  ASSERT_EQ(code_of(device_.discard(5 * kPageBytes, 2 * kPageBytes)), 0);
  EXPECT_EQ(device_.stats().notify_free, 3U);
  EXPECT_EQ(device_.stats().orig_data_bytes, 5 * kPageBytes);
  EXPECT_EQ(device_.stats().discard_requests, 4U);
}

TEST_F(DeviceData, WritesZeroesIntoPartsOfPages) {
  const std::vector<std::byte> before = text(8 * kPageBytes);
  ASSERT_EQ(write(0, before), 0);
  ASSERT_EQ(code_of(device_.write_zeroes(kPageBytes + 100, 2 * kPageBytes)), 0);
  ASSERT_EQ(code_of(device_.write_zeroes(5 * kPageBytes + 7, 10)), 0);
  std::vector<std::byte> after = before;
  std::fill_n(after.begin() + kPageBytes + 100, 2 * kPageBytes, std::byte{0});
  std::fill_n(after.begin() + 5 * kPageBytes + 7, 10, std::byte{0});
  EXPECT_EQ(read(0, after.size()), after);
  EXPECT_EQ(device_.stats().orig_data_bytes, 7 * kPageBytes) << "the whole page costs nothing";
}

TEST_F(DeviceData, DiscardsAHugeEmptyDeviceAtOnce) {
  start(100ULL << 30);
  ASSERT_EQ(write(50ULL << 30, text(10 * kPageBytes)), 0);
  EXPECT_EQ(code_of(device_.discard(0, 100ULL << 30)), 0);
  EXPECT_EQ(code_of(device_.write_zeroes(1, (100ULL << 30) - 2)), 0);
  EXPECT_EQ(read(50ULL << 30, kPageBytes), zeros(kPageBytes));
  EXPECT_LT(device_.stats().table_bytes, 16U * kPageBytes);
}

// --- extents -------------------------------------------------------------------------------------

class DeviceExtents : public DeviceData {
 protected:
  struct Stretch {
    std::uint64_t pages;
    bool is_allocated;
    bool is_zero;
    friend bool operator==(const Stretch&, const Stretch&) = default;
    friend void PrintTo(const Stretch& s, std::ostream* out) {
      *out << s.pages << (s.is_allocated ? " allocated" : " hole") << (s.is_zero ? " zero" : "");
    }
  };
  // Neighbours that are alike may come as several extents.
  std::vector<Stretch> all(std::uint64_t disk_bytes, std::uint64_t most_bytes) {
    std::vector<Stretch> stretches;
    std::uint64_t offset = 0;
    while (offset < disk_bytes) {
      const Result<Extent> extent = device_.extent_at(offset, most_bytes);
      EXPECT_TRUE(extent.has_value() && extent->bytes > 0 && extent->bytes % kPageBytes == 0);
      if (!extent || extent->bytes == 0) break;
      offset += extent->bytes;
      const std::uint64_t pages = extent->bytes / kPageBytes;
      if (!stretches.empty() && stretches.back().is_allocated == extent->is_allocated &&
          stretches.back().is_zero == extent->is_zero) {
        stretches.back().pages += pages;
      } else {
        stretches.push_back({pages, extent->is_allocated, extent->is_zero});
      }
    }
    EXPECT_EQ(offset, disk_bytes);
    return stretches;
  }
};

TEST_F(DeviceExtents, TellHolesZerosAndData) {
  ASSERT_EQ(write(3 * kPageBytes, text(5 * kPageBytes)), 0);
  ASSERT_EQ(write(8 * kPageBytes, zeros(2 * kPageBytes)), 0);
  ASSERT_EQ(write(600 * kPageBytes, bytes_of(PageKind::SameByte, kPageBytes, 1)), 0);
  ASSERT_EQ(write(kDiskBytes - kPageBytes, text(kPageBytes)), 0);
  const std::vector<Stretch> expected = {{3, false, true},   {5, true, false}, {2, true, true},
                                         {590, false, true}, {1, true, false}, {3494, false, true},
                                         {1, true, false}};
  for (const std::uint64_t most :
       {kMost, kDiskBytes, 64 * kPageBytes, kPageBytes, std::uint64_t{1}})
    EXPECT_EQ(all(kDiskBytes, most), expected) << most;
}

TEST_F(DeviceExtents, StartInsidePages) {
  ASSERT_EQ(write(3 * kPageBytes, text(5 * kPageBytes)), 0);
  const Extent extent = device_.extent_at(3 * kPageBytes + 1000, kMost).value();
  EXPECT_EQ(extent.bytes, 5 * kPageBytes - 1000);
  EXPECT_TRUE(extent.is_allocated);
}

TEST_F(DeviceExtents, AreFoundAtOnceOnAHugeSparseDevice) {
  constexpr std::uint64_t kHuge = 100ULL << 30;
  start(kHuge);
  ASSERT_EQ(write(70ULL << 30, text(kPageBytes)), 0);
  const Extent first = device_.extent_at(0, kMost).value();
  EXPECT_EQ(first.bytes, 70ULL << 30);
  EXPECT_EQ(device_.extent_at((70ULL << 30) + kPageBytes, kHuge).value().bytes,
            (30ULL << 30) - kPageBytes);
  EXPECT_EQ(all(kHuge, kMost).size(), 3U);
  EXPECT_LT(device_.stats().table_bytes, 4U * kPageBytes);
}

// The slot table is skipped a page (512 slots) at a time where it was never written.
TEST_F(DeviceExtents, EndWhereTheTableWasNeverWritten) {
  ASSERT_EQ(write(500 * kPageBytes, text(12 * kPageBytes)), 0);
  ASSERT_EQ(write(1024 * kPageBytes, text(kPageBytes)), 0);
  EXPECT_EQ(all(kDiskBytes, kMost), (std::vector<Stretch>{{500, false, true},
                                                          {12, true, false},
                                                          {512, false, true},
                                                          {1, true, false},
                                                          {3071, false, true}}));
}

TEST_F(DeviceExtents, BecomeHolesWhenDiscarded) {
  ASSERT_EQ(write(0, text(kMiB)), 0);
  ASSERT_EQ(code_of(device_.discard(0, kMiB)), 0);
  EXPECT_EQ(all(kDiskBytes, kMost), (std::vector<Stretch>{{4096, false, true}}));
}

// --- limits, numbers, errors
// -----------------------------------------------------------------------

TEST_F(DeviceData, StopsAtTheMemoryLimitAndKeepsWhatIsThere) {
  device_.set_mem_limit(40 * kPageBytes - 100);
  EXPECT_EQ(device_.stats().mem_limit_bytes, 40 * kPageBytes) << "whole pages";
  std::uint64_t written = 0;
  while (written < kDiskBytes &&
         write(written, bytes_of(PageKind::Random, kPageBytes, written)) == 0)
    written += kPageBytes;
  EXPECT_EQ(written, 40 * kPageBytes);
  EXPECT_EQ(write(written, bytes_of(PageKind::Random, kPageBytes, 1)), ENOSPC);
  EXPECT_EQ(device_.stats().failed_writes, 2U);
  EXPECT_EQ(device_.stats().mem_used_bytes, 40 * kPageBytes);
  for (std::uint64_t offset = 0; offset < written; offset += kPageBytes)
    ASSERT_EQ(read(offset, kPageBytes), bytes_of(PageKind::Random, kPageBytes, offset));
  EXPECT_EQ(write(0, text(kPageBytes)), 0) << "shrinks";
  EXPECT_EQ(code_of(device_.discard(0, kDiskBytes)), 0);
  EXPECT_EQ(write(written, bytes_of(PageKind::Random, kPageBytes, 1)), 0);
  device_.set_mem_limit(0);
  EXPECT_EQ(write(0, bytes_of(PageKind::Random, 100 * kPageBytes, 3)), 0);
}

TEST_F(DeviceData, ReportsTheErrorOfALargeRequest) {
  device_.set_mem_limit(100 * kPageBytes);
  EXPECT_EQ(write(0, bytes_of(PageKind::Random, 4 * kMiB, 1)), ENOSPC);
  EXPECT_EQ(device_.stats().failed_writes, 1U);
  EXPECT_EQ(device_.stats().mem_used_bytes, 100 * kPageBytes);
}

TEST_F(DeviceData, FailsReadsOfADamagedPageOnly) {
  ASSERT_EQ(write(0, text(64 * kPageBytes)), 0);
  const ArenaView view(config_of("lz4", pages_to_grow_to(kDiskBytes / kPageBytes)),
                       device_.arena_descriptor());
  ASSERT_EQ(view.word(20).state(), SlotState::Packed);
  view.object(20)[3] ^= std::byte{1};
  std::vector<std::byte> out(64 * kPageBytes);
  EXPECT_EQ(code_of(device_.read(0, out)), EIO) << "shared with helpers";
  EXPECT_EQ(code_of(device_.read(20 * kPageBytes + 5, MutableBytes(out).first(10))), EIO);
  EXPECT_EQ(code_of(device_.write(20 * kPageBytes + 5, ConstBytes(out).first(10))), EIO);
  EXPECT_EQ(device_.stats().failed_reads, 2U);
  EXPECT_EQ(device_.stats().failed_writes, 1U);
  EXPECT_EQ(read(0, 20 * kPageBytes), text(20 * kPageBytes));
  ASSERT_EQ(write(20 * kPageBytes, text(kPageBytes)), 0);
  EXPECT_EQ(read(20 * kPageBytes, kPageBytes), text(kPageBytes));
}

TEST_F(DeviceData, RemembersTheMostMemoryUntilTold) {
  ASSERT_EQ(write(0, bytes_of(PageKind::Random, kMiB, 1)), 0);
  EXPECT_EQ(device_.stats().mem_used_max_bytes, kMiB);
  ASSERT_EQ(code_of(device_.discard(0, kMiB)), 0);
  ASSERT_EQ(code_of(device_.compact()), 0);
  EXPECT_EQ(device_.stats().mem_used_bytes, 0U);
  EXPECT_EQ(device_.stats().mem_used_max_bytes, kMiB);
  device_.reset_mem_used_max();
  EXPECT_EQ(device_.stats().mem_used_max_bytes, 0U);
}

TEST_F(DeviceData, CountsTheTimeThatRequestsTakeAndThoseUnderWay) {
  const std::vector<std::byte> content = bytes_of(PageKind::Text, kDiskBytes, 1);
  std::atomic<bool> is_over{false};
  std::thread writer([&] {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    while (std::chrono::steady_clock::now() < end) {
      EXPECT_TRUE(device_.write(0, content));
      EXPECT_TRUE(device_.discard(0, kDiskBytes));
      EXPECT_TRUE(device_.flush());
    }
    is_over = true;
  });
  std::uint64_t most_in_flight = 0;
  while (!is_over) most_in_flight = std::max(most_in_flight, device_.stats().requests_in_flight);
  writer.join();
  const DeviceStats stats = device_.stats();
  EXPECT_GE(most_in_flight, 1U);
  EXPECT_EQ(stats.requests_in_flight, 0U);
  EXPECT_EQ(stats.flush_requests, stats.write_requests);
  // Ticks are 1 to 10 ms, and the requests fill most of the time.
  EXPECT_GT(stats.write_milliseconds, 30U);
  EXPECT_LT(stats.write_milliseconds, 3000U);
  EXPECT_EQ(stats.busy_milliseconds,
            stats.write_milliseconds + stats.discard_milliseconds + stats.flush_milliseconds);
  EXPECT_EQ(stats.read_milliseconds, 0U);
  ASSERT_EQ(code_of(device_.reset()), 0);
  EXPECT_EQ(device_.stats().busy_milliseconds, 0U);
}

TEST_F(DeviceData, CountsWhatIsTrue) {
  ASSERT_EQ(write(0, bytes_of(PageKind::Random, 10 * kPageBytes, 1)), 0);
  ASSERT_EQ(write(10 * kPageBytes, text(20 * kPageBytes)), 0);
  ASSERT_EQ(write(30 * kPageBytes, zeros(5 * kPageBytes)), 0);
  ASSERT_EQ(write(100 * kPageBytes + 1, text(511)), 0);
  read(0, 3 * kPageBytes);
  read(5, 1024);
  const DeviceStats stats = device_.stats();
  EXPECT_EQ(stats.orig_data_bytes, 36 * kPageBytes);
  EXPECT_EQ(stats.huge_pages, 10U);
  EXPECT_EQ(stats.huge_pages_since, 10U);
  EXPECT_EQ(stats.same_pages, 5U);
  EXPECT_EQ(stats.write_requests, 4U);
  EXPECT_EQ(stats.write_sectors, 35U * 8);
  EXPECT_EQ(stats.read_requests, 2U);
  EXPECT_EQ(stats.read_sectors, 3U * 8 + 2);
  std::uint64_t packed = 0;
  const ArenaView view(config_of("lz4", pages_to_grow_to(kDiskBytes / kPageBytes)),
                       device_.arena_descriptor());
  for (std::uint64_t page = 0; page < 200; ++page) {
    if (view.word(page).state() == SlotState::Packed) packed += view.word(page).packed_bytes();
    if (view.word(page).state() == SlotState::Raw) packed += kPageBytes;
  }
  EXPECT_EQ(stats.compr_data_bytes, packed);
  EXPECT_EQ(stats.table_bytes, kPageBytes);
  // Header, table and pool are all that the arena holds.
  EXPECT_EQ(resident_bytes_of(device_.arena_descriptor()),
            kPageBytes + stats.table_bytes + stats.mem_used_bytes);
  EXPECT_EQ(stats.total_bytes(), stats.mem_used_bytes + stats.table_bytes +
                                     stats.pool_metadata_bytes + stats.context_bytes);
  EXPECT_GT(stats.context_bytes, 16'384U) << "lz4's table alone";
}

class EveryPageKeeper final : public PageKeeper {
 public:
  bool try_hold(std::size_t) override { return true; }
  void release(std::size_t) override { ++stored_count; }
  std::size_t stored_count = 0;
};

TEST_F(DeviceData, PacksPagesTogetherThatAreWrittenTogether) {
  const std::vector<std::byte> data = text(8 * kPageBytes);
  std::vector<PageToWrite> pages;
  for (std::uint64_t i = 0; i < 8; ++i) pages.push_back({{64 + i}, data.data() + i * kPageBytes});
  EveryPageKeeper keeper;
  EXPECT_EQ(code_of(device_.write_together(pages, keeper)), EINVAL) << "not set up";
  ASSERT_EQ(code_of(device_.reset()), 0);
  for (const std::size_t wrong : {1, 33})
    EXPECT_EQ(code_of(device_.set_written_cluster_pages(wrong)), EINVAL);
  ASSERT_EQ(code_of(device_.set_written_cluster_pages(8)), 0);
  ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
  EXPECT_EQ(code_of(device_.set_disksize(kDiskBytes)), EINVAL) << "lz4 makes no clusters";
  ASSERT_EQ(code_of(device_.set_algorithm("zstd")), 0);
  ASSERT_EQ(code_of(device_.set_disksize(kDiskBytes)), 0);
  EXPECT_EQ(code_of(device_.set_written_cluster_pages(4)), EBUSY);
  const auto outcome = device_.write_together(pages, keeper);
  ASSERT_EQ(code_of(outcome), 0);
  EXPECT_EQ(outcome->clustered_pages, 8U);
  EXPECT_EQ(keeper.stored_count, 8U);
  EXPECT_EQ(read(64 * kPageBytes, data.size()), data);
  pages[0].page = {kDiskBytes / kPageBytes};
  EXPECT_EQ(code_of(device_.write_together(pages, keeper)), EINVAL) << "outside";
}

TEST_F(DeviceData, ReservesMemoryAndGivesItBack) {
  ASSERT_EQ(code_of(device_.reserve(4 * kMiB)), 0);
  EXPECT_GE(device_.stats().reserved_bytes, 4 * kMiB);
  EXPECT_EQ(device_.stats().mem_used_bytes, 0U);
  const std::uint64_t resident = resident_bytes_of(device_.arena_descriptor());
  ASSERT_EQ(write(0, bytes_of(PageKind::Random, 3 * kMiB, 1)), 0);
  EXPECT_EQ(resident_bytes_of(device_.arena_descriptor()), resident);
  ASSERT_EQ(code_of(device_.discard(0, 3 * kMiB)), 0);
  ASSERT_EQ(code_of(device_.compact()), 0);
  EXPECT_EQ(resident_bytes_of(device_.arena_descriptor()), resident) << "kept for the next pages";
  ASSERT_EQ(code_of(device_.reserve(0)), 0);
  EXPECT_EQ(device_.stats().reserved_bytes, 0U);
  EXPECT_LT(resident_bytes_of(device_.arena_descriptor()), resident - 4 * kMiB + kPageBytes);
}

}  // namespace
}  // namespace uzram
