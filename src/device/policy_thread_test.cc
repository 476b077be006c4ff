// SPDX-License-Identifier: Apache-2.0
// The policy's thread: there while the policy is on, gone in a moment.
#include "device/policy_thread.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "device/policy_runner_fixture.h"

namespace uzram {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{20};  // For what takes a moment on a machine at rest.

template <typename Condition>
bool comes_true(Condition condition) {
  const auto end = Clock::now() + kPatience;
  while (!condition()) {
    if (Clock::now() > end) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

class PolicyThreadTest : public testing::Test {
 protected:
  void make(std::uint64_t pages) {
    auto made = Store::create(backed_config(disk_, pages), 4,
                              std::make_unique<FakeStore>(disk_, BackingOptions{}));
    ASSERT_TRUE(made.has_value());
    store_ = std::move(*made);
    for (std::uint64_t page = 0; page < pages; ++page)
      ASSERT_EQ(code_of(store_->write({page}, page_of(PageKind::HalfRandom, page))), 0);
    host_ = std::make_unique<FakeHost>(*store_);
    thread_ = std::make_unique<PolicyThread>(*store_, *host_);
  }
  void set(std::string_view line) { ASSERT_EQ(code_of(thread_->set(settings_of(line))), 0); }
  milliseconds time_to_end() {
    const auto start = Clock::now();
    thread_->end();
    return std::chrono::duration_cast<milliseconds>(Clock::now() - start);
  }

  FakeDisk disk_{4096};
  std::unique_ptr<Store> store_;
  std::unique_ptr<FakeHost> host_;
  std::unique_ptr<PolicyThread> thread_;
};

TEST_F(PolicyThreadTest, IsThereWhileThePolicyIsOn) {
  make(16);
  EXPECT_FALSE(thread_->is_running());
  set("off");
  EXPECT_FALSE(thread_->is_running());
  for (int round = 0; round < 3; ++round) {
    set("on");
    EXPECT_TRUE(thread_->is_running());
    set("off");
    EXPECT_TRUE(comes_true([&] { return !thread_->is_running(); }));
  }
  set("on");
  set("off");
  set("on");
  EXPECT_TRUE(thread_->is_running()) << "it goes on where it was about to leave";
}

TEST_F(PolicyThreadTest, GivesWayToEverybodyElse) {
  make(16);
  set("on");
  const auto find_nice = [] {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm"), name);
      const auto id = static_cast<id_t>(std::stoul(task.path().filename()));
      if (name == "uzram-policy") return ::getpriority(PRIO_PROCESS, id);
    }
    return 0;
  };
  EXPECT_TRUE(comes_true([&] { return find_nice() == 19; }));
}

TEST_F(PolicyThreadTest, EndsWhileItSleeps) {
  make(16);
  set("on idle_after=1h recompress_after=1h cluster_after=1h large_after=1h");
  EXPECT_TRUE(comes_true(
      [&] { return thread_->explain().find("waits for the next sweep") != std::string::npos; }));
  EXPECT_LT(time_to_end(), seconds(5));
  EXPECT_FALSE(thread_->is_running());
}

TEST_F(PolicyThreadTest, EndsInTheMiddleOfAStep) {
  make(4096);
  // Some 30 ms a cluster: several seconds for the whole round.
  set("on idle_after=1s recompress_after=off cluster_after=1s cluster_pages=16 cluster_level=19 "
      "large_after=off max_pages=4096 cpu_percent=100 burst=off");
  EXPECT_TRUE(comes_true([&] { return store_->sums().member_pages > 0; }));
  EXPECT_LT(time_to_end(), seconds(5));
  store_->check_invariants();
}

TEST_F(PolicyThreadTest, EndsWhileItsStoreStalls) {
  make(256);
  disk_.hold_up();
  set("on idle_after=1s recompress_after=off cluster_after=off large_after=off writeback_after=1s "
      "burst=off");
  EXPECT_TRUE(comes_true([&] { return disk_.request_count(BackingRequest::Kind::Write) > 0; }));
  EXPECT_NE(thread_->explain().find("policy: on"), std::string::npos) << "words do not wait for it";
  set("off");
  store_->backing()->store().shut_down();
  EXPECT_LT(time_to_end(), seconds(5));
  disk_.let_go();
}

TEST_F(PolicyThreadTest, TakesSettingsAndQuestionsAtAnyTime) {
  make(512);
  std::atomic<bool> is_over{false};
  std::thread asker([&] {
    while (!is_over) ASSERT_FALSE(thread_->explain().empty());
  });
  const auto end = Clock::now() + seconds(3);
  for (int round = 0; Clock::now() < end; ++round) {
    set(round % 3 == 0 ? "off"
                       : "on idle_after=1s recompress_after=1s cluster_after=1s large_after=1s "
                         "writeback_after=1s burst=off");
    std::this_thread::sleep_for(milliseconds(round % 4 == 1 ? 900 : 2));
  }
  is_over = true;
  asker.join();
  thread_->end();
  store_->check_invariants();
  for (std::uint64_t page = 0; page < 512; ++page)
    ASSERT_EQ(read_page_of(*store_, page), page_of(PageKind::HalfRandom, page));
}

}  // namespace
}  // namespace uzram
