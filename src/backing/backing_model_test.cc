// SPDX-License-Identifier: Apache-2.0
// Random commands against a space and a list of what it should hold, from a printed seed:
// UZRAM_SEED repeats a run.
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "backing/backing_fixture.h"

namespace uzram {
namespace {

constexpr int kCommands = 1500;
constexpr std::uint64_t kBlocks = 400;

class Model {
 public:
  explicit Model(std::uint64_t seed) : random_(seed) {
    user_.set_encrypt(seed % 2 == 0);
    user_.reopen();
  }
  void run_one() {
    switch (random_.below(12)) {
      case 0:
      case 1:
      case 2:
      case 3:
        append_some();
        break;
      case 4:
      case 5:
        drop_some();
        break;
      case 6:
      case 7:
      case 8:
        read_some();
        break;
      case 9:
        fail_something();
        break;
      case 10:
        come_back();
        break;
      default:
        discard();
    }
    user_.space().check_invariants();
    check_counters();
  }
  void check_all() { user_.verify(); }
  [[nodiscard]] int full_count() const { return full_count_; }
  [[nodiscard]] std::size_t failed_count() const { return user_.failed_count(); }

 private:
  std::size_t object_bytes() {
    switch (random_.below(4)) {
      case 0:
        return kBlockBytes;
      case 1:
        return 1 + random_.below(kBlockBytes);
      case 2:
        return 1 + random_.below(64);
      default:
        return random_.below(8) == 0 ? 1 + random_.below(kMaxObjectBytes) : 1000;
    }
  }
  void append_some() {
    const std::uint64_t count = 1 + random_.below(60);
    for (std::uint64_t i = 0; i < count; ++i) {
      const int error = user_.append(object_bytes());
      if (error == 0) continue;
      EXPECT_EQ(error, ENOSPC);
      ++full_count_;
      break;
    }
    user_.flush();
  }
  void drop_some() {
    for (std::uint64_t i = random_.below(60); i > 0 && !user_.objects().empty(); --i)
      user_.drop(random_.below(user_.objects().size()));
  }
  void read_some() {
    for (std::uint64_t i = random_.below(20); i > 0 && !user_.objects().empty(); --i)
      EXPECT_EQ(user_.read(random_.below(user_.objects().size())), 0);
  }
  void fail_something() {
    disk_.fail(BackingRequest::Kind::Write, ENOSPC, random_.below(3), 1 + random_.below(2));
    append_some();
    disk_.work_again();
  }
  void come_back() {
    user_.reopen();
    EXPECT_EQ(user_.adopt_all(), user_.objects().size());
  }
  void discard() {
    EXPECT_TRUE(user_.space().discard_freed_blocks(random_.below(200)).has_value());
  }
  void check_counters() {
    const BackingCounters counters = user_.counters();
    EXPECT_LE(counters.blocks_in_use, kBlocks);
    EXPECT_LE(counters.live_bytes, counters.blocks_in_use * kBlockBytes);
    EXPECT_EQ(counters.blocks_in_use == 0, user_.objects().empty());
    EXPECT_EQ(counters.retired_blocks, 0U);
  }

  Random random_;
  FakeDisk disk_{kBlocks};
  SpaceUser user_{disk_};
  int full_count_ = 0;
};

TEST(BackingModel, RandomCommandsLeaveTheSpaceAsTheListSays) {
  const char* given = std::getenv("UZRAM_SEED");
  const std::uint64_t first = given != nullptr ? std::strtoull(given, nullptr, 10)
                                               : static_cast<std::uint64_t>(std::time(nullptr));
  std::printf("UZRAM_SEED=%llu\n", static_cast<unsigned long long>(first));
  int full_count = 0;
  std::size_t failed_count = 0;
  for (std::uint64_t seed = first; seed < first + 4; ++seed) {
    Model model(seed);
    for (int i = 1; i <= kCommands && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE("UZRAM_SEED=" + std::to_string(seed) + " command " + std::to_string(i));
      model.run_one();
      if (i % 100 == 0) model.check_all();
    }
    full_count += model.full_count();
    failed_count += model.failed_count();
  }
  EXPECT_GT(full_count, 0) << "the space was never full";
  EXPECT_GT(failed_count, 0U) << "no write ever failed";
}

}  // namespace
}  // namespace uzram
