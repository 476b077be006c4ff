// SPDX-License-Identifier: Apache-2.0
// The policy at work on a real store, look by look, on a clock that only the tests move.
#include "device/policy_runner.h"

#include <gtest/gtest.h>

#include "device/policy_runner_fixture.h"

namespace uzram {
namespace {

constexpr std::string_view kQuickLine =
    "on idle_after=1m recompress_after=1m cluster_after=3m large_after=8m writeback_after=30m";

TEST_F(PolicyRunnerTest, DoesNothingBeforeItIsSwitchedOn) {
  make_looked_after();
  write_pages(0, 64, PageKind::Text);
  EXPECT_EQ(runner_->look(), std::nullopt);
  set_policy("off");
  EXPECT_EQ(runner_->look(), std::nullopt);
  EXPECT_TRUE(says("policy: off"));
  EXPECT_EQ(count(SlotState::Packed), 64U);
}

TEST_F(PolicyRunnerTest, TakesAForgottenDeviceThroughAllStages) {
  make_backed();
  write_pages(0, 512, PageKind::Text);
  set_policy(kQuickLine);
  run_for(Seconds(59));
  EXPECT_EQ(count_recompressed(), 0U);
  run_for(latest(Stage::Recompress) - Seconds(59));
  EXPECT_EQ(count_recompressed(), 512U);
  run_for(latest(Stage::SmallCluster) - latest(Stage::Recompress));
  EXPECT_EQ(count_members(4), 512U);
  run_for(latest(Stage::LargeCluster) - latest(Stage::SmallCluster));
  EXPECT_EQ(count_members(16), 512U);
  EXPECT_EQ(count_written_back(), 0U);
  run_for(latest(Stage::WriteBack) - latest(Stage::LargeCluster));
  EXPECT_EQ(count_written_back(), 512U);
  EXPECT_GT(host_->changes, 0);
  expect_content();
}

TEST_F(PolicyRunnerTest, LeavesAWorkingSetAsItIs) {
  make_looked_after();
  write_pages(0, 512, PageKind::Text);
  set_policy(kQuickLine);
  run_for(Hours(1), [&] {
    for (std::uint64_t page = 0; page < 64; ++page) touch(page);
  });
  for (std::uint64_t page = 0; page < 64; ++page) {
    ASSERT_EQ(state(page), SlotState::Packed);
    ASSERT_EQ(word(page).priority(), 0);
  }
  EXPECT_EQ(count_members(16), 448U);
}

TEST_F(PolicyRunnerTest, MarksIdlePages) {
  make_looked_after();
  write_pages(0, 8, PageKind::Text);
  set_policy("on idle_after=1m recompress_after=off cluster_after=off large_after=off");
  run_for(Seconds(59));
  EXPECT_FALSE(word(0).is_idle());
  run_for(Minutes(3));
  touch(1);
  EXPECT_TRUE(word(0).is_idle());
  EXPECT_FALSE(word(1).is_idle());
}

TEST_F(PolicyRunnerTest, WritesBackFirstWhatDoesNotCompress) {
  make_backed();
  write_pages(0, 64, PageKind::Text);
  write_pages(64, 64, PageKind::Random);
  set_policy(
      "on idle_after=1m recompress_after=off cluster_after=off large_after=off "
      "writeback_after=1m writeback_type=huge_idle");
  run_for(Minutes(30));
  EXPECT_EQ(count_written_back(), 64U);
  EXPECT_EQ(count(SlotState::Packed), 64U);
  // What recompression has given up counts as well.
  for (std::uint64_t page = 0; page < 16; ++page)
    store_->change_flags({page}, [](SlotWord old) { return old.with(SlotWord::kIncompressible); });
  run_for(Minutes(30));
  EXPECT_EQ(count_written_back(), 80U);
}

// --- budgets

TEST_F(PolicyRunnerTest, ChangesNoMorePagesInARoundThanItMay) {
  make_looked_after();
  write_pages(0, 512, PageKind::Text);
  set_policy("on idle_after=1m recompress_after=off cluster_after=1m large_after=off max_pages=32");
  std::uint64_t before = 0;
  std::uint64_t busy_looks = 0;
  run_for(Minutes(20), [&] {
    const std::uint64_t members = count(SlotState::Member);
    ASSERT_LE(members - before, 32U);
    busy_looks += members != before ? 1 : 0;
    before = members;
  });
  EXPECT_EQ(count(SlotState::Member), 512U);
  EXPECT_GE(busy_looks, 16U);
}

TEST_F(PolicyRunnerTest, WritesBackNoMoreThanItsBytesADay) {
  make_backed();
  write_pages(0, 256, PageKind::Random);
  set_policy(
      "on idle_after=1m cluster_after=off large_after=off writeback_after=1m bytes_per_day=256K");
  run_for(Hours(23));
  EXPECT_EQ(written_blocks(), 64U);
  run_for(Hours(24));
  EXPECT_EQ(written_blocks(), 128U);
}

TEST_F(PolicyRunnerTest, CountsAgainstTheDayWhatAPersonWritesBack) {
  make_backed();
  write_pages(0, 256, PageKind::Random);
  set_policy("on idle_after=5m writeback_after=1h bytes_per_day=256K");
  run_for(Minutes(1));
  WritebackRequest request;
  request.most_pages = 48;
  ASSERT_EQ(uzram::write_back(*store_, request, stop_).written_pages, 48U);
  run_for(Hours(20));
  EXPECT_EQ(written_blocks(), 64U);
}

TEST_F(PolicyRunnerTest, KeepsToItsShareOfCpu) {
  make_looked_after();
  write_pages(0, 1024, PageKind::Text);
  cpu_step_ = Microseconds(5000);  // Each look costs 10 ms, each step 10 ms more.
  set_policy(
      "on idle_after=1m recompress_after=off cluster_after=1m large_after=off "
      "max_pages=32 cpu_percent=2");
  run_for(Hours(1));
  EXPECT_LT(cpu_, Milliseconds(Hours(1)) * 2 / 100);
  EXPECT_EQ(count(SlotState::Member), 1024U);
}

TEST_F(PolicyRunnerTest, FindsAFewOldPagesBehindManyOthers) {
  constexpr std::uint64_t kOthers = 150'000;
  make_looked_after(kOthers + 16);
  const Page same = filled_page(7);
  for (std::uint64_t page = 0; page < kOthers; ++page)
    ASSERT_EQ(code_of(store_->write({page}, same)), 0);
  write_pages(kOthers, 16, PageKind::Text);
  set_policy("on idle_after=1m recompress_after=off cluster_after=1m large_after=off");
  run_for(Minutes(10));
  EXPECT_EQ(count(SlotState::Member), 16U);
}

TEST_F(PolicyRunnerTest, RestsWhenNothingGetsSmaller) {
  make_looked_after();
  write_pages(0, 512, PageKind::Random);
  set_policy("on idle_after=1m recompress_after=off cluster_after=1m large_after=off");
  cpu_step_ = Milliseconds(3);
  run_for(Hours(1));
  const Microseconds before = cpu_;
  std::int64_t looks = 0;
  run_for(Hours(10), [&] { ++looks; });
  EXPECT_TRUE(says("has been through the whole device"));
  // A look glances at the clock twice, a step twice more.
  const std::int64_t steps = (cpu_ - before) / cpu_step_ / 2 - looks;
  const PolicyPlan plan = make_policy_plan(settings_, PolicyAbilities{});
  const std::int64_t sweeps = Hours(10) / plan.ladder.tick;
  EXPECT_GT(steps, 0);
  EXPECT_LT(steps, sweeps / 4) << "of " << sweeps << " sweeps";
}

TEST_F(PolicyRunnerTest, PassesOverWhatALowerPriorityDoesNotMakeSmaller) {
  StoreConfig config = config_of("lz4", "lz4", 1024);
  config.codecs[2].info = find_codec("zstd");
  make_looked_after(config);
  write_pages(0, 256, PageKind::HalfRandom);
  set_policy("on idle_after=1m cluster_after=off large_after=off max_pages=32");
  run_for(Hours(2));
  EXPECT_TRUE(says("has been through the whole device"));
}

// --- the foreground

TEST_F(PolicyRunnerTest, WaitsWhileTheDeviceIsBusy) {
  make_looked_after();
  write_pages(0, 256, PageKind::Text);
  set_policy(std::string(kQuickLine) + " burst=100");
  run_for(Hours(1), [&] { host_->requests += 5000; });
  EXPECT_EQ(count(SlotState::Member), 0U);
  run_for(Minutes(1));
  EXPECT_EQ(count(SlotState::Member), 256U);
}

TEST_F(PolicyRunnerTest, MakesDeepClustersOnlyWhileItIsQuiet) {
  make_looked_after();
  write_pages(0, 256, PageKind::Text);
  set_policy(std::string(kQuickLine) + " deep_after=20m deep_level=3");
  run_for(Hours(1), [&] { ++host_->requests; });
  EXPECT_EQ(count_members(32), 0U);
  run_for(Hours(1));
  EXPECT_EQ(count_members(32), 256U);
}

TEST_F(PolicyRunnerTest, HurriesUnderPressure) {
  make_looked_after();
  write_pages(0, 256, PageKind::Text);
  set_policy("on");
  memory_pressure_ = 30;
  run_for(Minutes(30));
  EXPECT_EQ(count_members(16), 256U);
}

TEST_F(PolicyRunnerTest, TakesALimitForPressureWhereTheKernelHasNone) {
  make_looked_after();
  write_pages(0, 256, PageKind::Text);
  store_->pool().set_limit_pages(store_->pool().resident_pages());
  set_policy("on");
  run_for(Minutes(30));
  EXPECT_EQ(count_members(16), 256U);
}

// --- the backing store

TEST_F(PolicyRunnerTest, LeavesAFailingStoreAloneAndTriesAgainLater) {
  make_backed();
  write_pages(0, 64, PageKind::Random);
  disk_->fail(BackingRequest::Kind::Write, EIO);
  set_policy("on idle_after=1m writeback_after=1m");
  run_for(Minutes(20));
  EXPECT_EQ(count_written_back(), 0U);
  EXPECT_TRUE(says("last trouble: writeback"));
  const std::uint64_t tries = disk_->request_count(BackingRequest::Kind::Write);
  EXPECT_GT(tries, 1U);
  EXPECT_LE(tries, 20U);
  disk_->work_again();
  run_for(Minutes(2));
  EXPECT_EQ(count_written_back(), 64U);
  expect_content();
}

TEST_F(PolicyRunnerTest, GoesOnWhenAFullStoreHasRoomAgain) {
  make_backed(64);
  write_pages(0, 128, PageKind::Random);
  set_policy("on idle_after=1m writeback_after=1m");
  run_for(Minutes(20));
  EXPECT_EQ(count_written_back(), 64U);
  EXPECT_TRUE(says("the backing store is full"));
  std::uint64_t freed = 0;
  for (std::uint64_t page = 0; page < 128 && freed < 32; ++page) {
    if (state(page) != SlotState::WrittenBack) continue;
    free_page(page);
    ++freed;
  }
  run_for(Minutes(20));
  EXPECT_EQ(count_written_back(), 64U);
  expect_content();
}

TEST_F(PolicyRunnerTest, KeepsToTheLimitOfAPerson) {
  make_backed();
  write_pages(0, 64, PageKind::Random);
  host_->allowance = 0;
  set_policy("on idle_after=1m writeback_after=1m");
  run_for(Hours(1));
  EXPECT_EQ(written_blocks(), 0U);
  EXPECT_TRUE(says("writeback_limit"));
  host_->allowance.reset();
  run_for(Minutes(1));
  EXPECT_EQ(written_blocks(), 64U);
}

TEST_F(PolicyRunnerTest, MakesPagesSmallerAtTheMemoryLimit) {
  make_looked_after();
  write_pages(0, 64, PageKind::Text);
  set_policy("on idle_after=1m cluster_after=off large_after=off");
  store_->pool().set_limit_pages(1);
  run_for(Hours(1));
  EXPECT_EQ(count_recompressed(), 64U);
  expect_content();
}

// --- settings and words

TEST_F(PolicyRunnerTest, BeginsAgesAgainWithNewSettings) {
  make_looked_after();
  write_pages(0, 64, PageKind::Text);
  set_policy("on idle_after=1h recompress_after=off cluster_after=1h");
  run_for(Minutes(50));
  set_policy("on idle_after=30m recompress_after=off cluster_after=30m");
  run_for(Minutes(29));
  EXPECT_EQ(count(SlotState::Member), 0U);
  run_for(Hours(1));
  EXPECT_EQ(count(SlotState::Member), 64U);
}

TEST_F(PolicyRunnerTest, ExplainsWithoutDoing) {
  make_looked_after();
  write_pages(0, 64, PageKind::Text);
  set_policy(kQuickLine);
  run_for(Minutes(1));
  const std::string text = runner_->explain();
  EXPECT_NE(text.find("policy: on"), std::string::npos);
  EXPECT_NE(text.find("off: backing_dev is not set"), std::string::npos);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(runner_->explain(), text);
  now_ += Hours(1);
  EXPECT_TRUE(says("now: sweep"));
  EXPECT_EQ(count_recompressed(), 0U);
}

TEST_F(PolicyRunnerTest, DoesNothingAfterItsEnd) {
  make_looked_after();
  write_pages(0, 64, PageKind::Text);
  set_policy(kQuickLine);
  run_for(Minutes(1));
  runner_->end();
  now_ += Hours(1);
  EXPECT_EQ(runner_->look(), std::nullopt);
  EXPECT_EQ(count_recompressed(), 0U);
}

}  // namespace
}  // namespace uzram
