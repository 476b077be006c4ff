// SPDX-License-Identifier: Apache-2.0
// A device that looks after itself while it is used: the shortest thresholds there are, several
// users, content that is checked, and everything that can happen in the middle.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <thread>
#include <vector>

#include "base/random.h"
#include "device/device.h"
#include "device/device_fixture.h"

namespace uzram {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::string_view kRestless =
    "on idle_after=1s recompress_after=1s cluster_after=1s large_after=2s writeback_after=2s "
    "writeback_pages=64 cpu_percent=100 burst=off";

// A file that goes when the test does.
class BackingFile {
 public:
  explicit BackingFile(std::uint64_t bytes) : path_(testing::TempDir() + "uzram-policy-XXXXXX") {
    const int file = ::mkstemp(path_.data());
    EXPECT_GE(file, 0);
    EXPECT_EQ(::ftruncate(file, static_cast<off_t>(bytes)), 0);
    ::close(file);
  }
  ~BackingFile() { ::unlink(path_.c_str()); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  std::string path_;
};

void expect_taken(const tl::expected<void, PolicyRefusal>& outcome) {
  EXPECT_TRUE(outcome) << outcome.error().text;
}

class DevicePolicyThread : public testing::Test {
 protected:
  static constexpr std::uint64_t kPages = 1536;
  static constexpr std::uint64_t kUsers = 3;

  void SetUp() override { set_up(); }
  void set_up() {
    ASSERT_EQ(code_of(device_.set_algorithm("lz4")), 0);
    ASSERT_EQ(code_of(device_.set_recompression_algorithm("zstd", 1)), 0);
    ASSERT_EQ(code_of(device_.set_dedup(true)), 0);
    ASSERT_EQ(code_of(device_.set_backing(file_.path())), 0);
    ASSERT_EQ(code_of(device_.set_disksize(kPages * kPageBytes)), 0);
  }
  // The content of a page at a version; some pages share theirs.
  static Page content(std::uint64_t page, std::uint64_t version) {
    constexpr std::array kKinds = {PageKind::Text, PageKind::Records, PageKind::HalfRandom,
                                   PageKind::Random};
    const std::uint64_t seed = page % 5 == 0 ? version % 7 : page * 1000 + version;
    return page_of(kKinds[(page / 64 + version) % kKinds.size()], seed);
  }
  // A page belongs to one user, who uses some of the pages often and the others seldom.
  void use(std::uint64_t user, const std::atomic<bool>& is_over) {
    Random random(user + 1);
    std::vector<std::uint64_t> versions(kPages / kUsers);
    for (std::uint64_t own = 0; own < versions.size(); ++own) write(user, own, 0);
    while (!is_over.load() && !HasFatalFailure()) {
      const std::uint64_t own = random.below(random.below(8) == 0 ? versions.size() : 40);
      Page out;
      ASSERT_EQ(code_of(device_.read((own * kUsers + user) * kPageBytes, out)), 0);
      ASSERT_EQ(out, content(own * kUsers + user, versions[own]));
      if (random.below(3) == 0) write(user, own, ++versions[own]);
      std::this_thread::sleep_for(milliseconds(random.below(4)));
    }
    for (std::uint64_t own = 0; own < versions.size(); ++own) {
      Page out;
      ASSERT_EQ(code_of(device_.read((own * kUsers + user) * kPageBytes, out)), 0);
      ASSERT_EQ(out, content(own * kUsers + user, versions[own])) << "page " << own;
    }
  }
  void write(std::uint64_t user, std::uint64_t own, std::uint64_t version) {
    const std::uint64_t page = own * kUsers + user;
    ASSERT_EQ(code_of(device_.write(page * kPageBytes, content(page, version))), 0);
  }
  void fill() {
    for (std::uint64_t page = 0; page < kPages; ++page)
      ASSERT_EQ(code_of(device_.write(page * kPageBytes, content(page, 0))), 0);
  }
  [[nodiscard]] std::uint64_t pages_in_clusters() const {
    std::uint64_t sum = 0;
    const auto states = device_.page_states({0}, kPages);
    if (!states) return 0;
    for (const PageState& state : *states) sum += state.cluster_pages != 0 ? 1 : 0;
    return sum;
  }
  template <typename Condition>
  static bool comes_true(Condition condition) {
    const auto end = Clock::now() + seconds(30);
    while (!condition()) {
      if (Clock::now() > end) return false;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return true;
  }

  BackingFile file_{16 * kMiB};
  Device device_{0};
};

TEST_F(DevicePolicyThread, ChangesNothingThatUsersRead) {
  expect_taken(device_.set_policy(kRestless));
  std::atomic<bool> is_over{false};
  std::vector<std::thread> users;
  for (std::uint64_t user = 0; user < kUsers; ++user)
    users.emplace_back([this, user, &is_over] { use(user, is_over); });
  bool has_seen_clusters = false;
  const auto has_seen_all = [&] {
    has_seen_clusters = has_seen_clusters || pages_in_clusters() != 0;
    return has_seen_clusters && device_.stats().backing_writes > 0;
  };
  // Eight seconds at least; a slow machine needs longer until every stage has had its turn.
  for (int round = 0; round < 40 || (round < 300 && !has_seen_all()); ++round) {
    std::this_thread::sleep_for(milliseconds(200));
    has_seen_clusters = has_seen_clusters || pages_in_clusters() != 0;
    EXPECT_FALSE(device_.explain_policy().empty());
    // Off and on in the middle.
    if (round == 18) {
      expect_taken(device_.set_policy("off"));
      expect_taken(device_.set_policy(kRestless));
    }
  }
  is_over = true;
  for (std::thread& user : users) user.join();
  EXPECT_TRUE(has_seen_clusters);
  EXPECT_GT(device_.stats().backing_writes, 0U);
  expect_taken(device_.set_policy("off"));
  device_.check_invariants();
}

TEST_F(DevicePolicyThread, IsResetInTheMiddle) {
  for (int round = 0; round < 3; ++round) {
    // Also switched on before there is a device.
    expect_taken(device_.set_policy(kRestless));
    if (!device_.is_initialised()) set_up();
    fill();
    EXPECT_TRUE(comes_true([&] { return pages_in_clusters() != 0; }));
    std::this_thread::sleep_for(milliseconds(300 * round));
    const auto start = Clock::now();
    ASSERT_EQ(code_of(device_.reset()), 0);
    EXPECT_LT(Clock::now() - start, seconds(5));
    EXPECT_EQ(device_.policy(), "off");
  }
}

TEST_F(DevicePolicyThread, DiesWithItsDevice) {
  for (int round = 0; round < 3; ++round) {
    Device device(1);
    expect_taken(device.set_policy(kRestless));
    ASSERT_EQ(code_of(device.set_disksize(kMiB)), 0);
    ASSERT_EQ(code_of(device.write(0, bytes_of(PageKind::Text, kMiB, 1))), 0);
    std::this_thread::sleep_for(milliseconds(5 * round));
  }
}

TEST_F(DevicePolicyThread, KeepsToWritebackLimit) {
  device_.set_writeback_limit(10);
  device_.set_writeback_limit_enabled(true);
  expect_taken(device_.set_policy(kRestless));
  fill();
  EXPECT_TRUE(comes_true([&] { return device_.writeback_limit() == 0; }));
  std::this_thread::sleep_for(seconds(2));
  // The last run may fill a block in part.
  EXPECT_LE(device_.stats().backing_writes, 11U);
  EXPECT_NE(device_.explain_policy().find("writeback_limit"), std::string::npos);
}

// With zstd 19 one round takes seconds; who reads must not notice more than a page of it.
TEST_F(DevicePolicyThread, AReadNeverWaitsForARound) {
  constexpr std::uint64_t kReadPages = 64;
  fill();
  expect_taken(device_.set_policy(
      "on idle_after=1s recompress_after=off cluster_after=1s cluster_pages=32 cluster_level=19 "
      "large_after=off writeback_after=off max_pages=4096 cpu_percent=100 burst=off"));
  Clock::duration longest{};
  std::uint64_t reads_beside_work = 0;
  std::uint64_t clustered = 0;
  Random random(1);
  const auto read_some = [&] {
    for (int i = 0; i < 50; ++i) {
      const std::uint64_t page = random.below(kReadPages);
      Page out;
      const auto start = Clock::now();
      ASSERT_EQ(code_of(device_.read(page * kPageBytes, out)), 0);
      longest = std::max(longest, Clock::now() - start);
      ASSERT_EQ(out, content(page, 0));
    }
    const std::uint64_t now = pages_in_clusters();
    if (now != clustered) reads_beside_work += 50;
    clustered = now;
  };
  const auto end = Clock::now() + seconds(30);
  while (clustered < (kPages - kReadPages) / 4 && Clock::now() < end) {
    read_some();
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_GT(reads_beside_work, 100U);
  // A round would be some 3 seconds.
  EXPECT_LT(longest, milliseconds(500));
}

}  // namespace
}  // namespace uzram
