// SPDX-License-Identifier: Apache-2.0
// A disk that serves swap, while what it holds changes: no page of the arena and no fault of the
// thread that writes beyond what was reserved, and the limit holds.
#include <sys/resource.h>

#include <array>
#include <cstring>

#include "base/sanitized.h"
#include "device/device_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kDiskPages = 32'768;
constexpr std::uint64_t kLimitPages = 8'192;

// 0 under a sanitizer, whose own memory faults with every new address.
std::uint64_t faults_of_this_thread() {
  if (kIsSanitized) return 0;
  rusage usage{};
  EXPECT_EQ(::getrusage(RUSAGE_THREAD, &usage), 0);
  return static_cast<std::uint64_t>(usage.ru_minflt + usage.ru_majflt);
}

class DeviceReserve : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
    ASSERT_EQ(code_of(device_.set_disksize(kDiskPages * kPageBytes)), 0);
    device_.set_mem_limit(kLimitPages * kPageBytes);
    ASSERT_EQ(code_of(device_.reserve(kLimitPages * kPageBytes)), 0);
    noise_ = bytes_of(PageKind::Random, 2 * kPageBytes, 5);
  }
  void TearDown() override { device_.check_invariants(); }

  // About `share` 64ths of the page do not pack.
  int write(std::uint64_t page, std::uint64_t share) {
    const std::size_t noise_bytes = share * kPageBytes / 64;
    const std::size_t from = random_.below(kPageBytes);
    std::memset(buffer_.data(), 0, kPageBytes);
    std::memcpy(buffer_.data(), &noise_[from], noise_bytes);
    std::memcpy(buffer_.data(), &page, sizeof page);
    const int code = code_of(device_.write(page * kPageBytes, buffer_));
    most_used_ = std::max(most_used_, used_pages());
    return code;
  }
  void drop_pages(int count) {
    for (int i = 0; i < count; ++i) {
      const std::uint64_t page = random_.below(kDiskPages);
      ASSERT_EQ(code_of(device_.discard(page * kPageBytes, kPageBytes)), 0);
    }
  }
  std::uint64_t used_pages() { return device_.stats().mem_used_bytes / kPageBytes; }
  std::uint64_t arena_pages() { return resident_bytes_of(device_.arena_descriptor()) / kPageBytes; }

  struct Phase {
    std::uint64_t least_share;
    std::uint64_t most_share;
    int writes;
  };
  // Writes at random places; at seven eighths of the limit others go.
  void churn(const Phase& phase) {
    for (int i = 0; i < phase.writes; ++i) {
      if (used_pages() > kLimitPages * 7 / 8) drop_pages(16);
      const std::uint64_t spread = phase.most_share - phase.least_share + 1;
      const int code = write(random_.below(kDiskPages), phase.least_share + random_.below(spread));
      refusals_ += code == 0 ? 0 : 1;
    }
  }

  Device device_{0};
  Random random_{3};
  std::vector<std::byte> noise_;
  std::array<std::byte, kPageBytes> buffer_{};
  int refusals_ = 0;
  std::uint64_t most_used_ = 0;
};

TEST_F(DeviceReserve, ServesEverySizeFromThePagesThatWereTouchedAtTheStart) {
  churn({1, 64, 1'000});  // What a thread touches once: its stack, a lane.
  const std::uint64_t arena_before = arena_pages();
  const std::uint64_t faults_before = faults_of_this_thread();
  for (const Phase& phase : {Phase{8, 24, 40'000}, Phase{1, 3, 60'000}, Phase{50, 64, 20'000},
                             Phase{1, 64, 40'000}, Phase{28, 29, 20'000}, Phase{1, 20, 40'000}}) {
    churn(phase);
    EXPECT_LE(arena_pages(), arena_before) << phase.least_share << " to " << phase.most_share;
    EXPECT_EQ(faults_of_this_thread(), faults_before)
        << phase.least_share << " to " << phase.most_share;
  }
  EXPECT_EQ(refusals_, 0);
  EXPECT_LE(most_used_, kLimitPages);
  EXPECT_EQ(device_.stats().reserve_left_bytes / kPageBytes, kLimitPages - used_pages());
}

TEST_F(DeviceReserve, ReplacementsThatShrinkStayAtTheLimit) {
  std::uint64_t stored = 0;
  while (stored < kDiskPages && write(stored, 32) == 0) ++stored;
  ASSERT_LT(stored, kDiskPages) << "never reached the limit";
  std::vector<std::uint64_t> shares(stored, 32);
  const std::uint64_t faults_before = faults_of_this_thread();
  const std::uint64_t arena_before = arena_pages();
  for (int i = 0; i < 60'000; ++i) {
    // A little less each time, at random places.
    const std::uint64_t page = random_.below(stored);
    if (shares[page] < 4) continue;
    shares[page] -= 3;
    ASSERT_EQ(write(page, shares[page]), 0) << i;
  }
  EXPECT_LE(most_used_, kLimitPages + 64 + 2);
  EXPECT_LE(arena_pages(), arena_before);
  EXPECT_EQ(faults_of_this_thread(), faults_before);
}

}  // namespace
}  // namespace uzram
