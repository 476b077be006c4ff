// SPDX-License-Identifier: Apache-2.0
#include "policy/decide.h"

#include <gtest/gtest.h>

#include "base/units.h"
#include "policy/policy_fixture.h"

namespace uzram {
namespace {

class Decide : public PolicyTest {};

TEST_F(Decide, NothingWhileOff) {
  start("off");
  put(PageForm::Packed, kOldestAge, 1'000'000);
  look_after(Hours(100));
  EXPECT_TRUE(decision_.steps.empty());
  EXPECT_EQ(decision_.wake_at, std::nullopt);
  EXPECT_EQ(decision_.reason, "nothing: the policy is off");
}

TEST_F(Decide, ByTheLadderThatTheManualShows) {
  start("on");
  struct Row {
    Stage stage;
    int age;
    Milliseconds floor;
    Milliseconds ceiling;
  };
  for (const Row& row : {Row{Stage::Recompress, 2, Minutes(10), Minutes(20)},
                         Row{Stage::SmallCluster, 3, Minutes(20), Minutes(30)},
                         Row{Stage::LargeCluster, 5, Minutes(60), Minutes(90)},
                         Row{Stage::WriteBack, 7, Minutes(570), Minutes(1050)}}) {
    EXPECT_EQ(plan_.stage(row.stage).age, row.age);
    EXPECT_EQ(plan_.ladder.floor(row.age), row.floor);
    EXPECT_EQ(plan_.ladder.ceiling(row.age), row.ceiling);
  }
}

TEST_F(Decide, ToBeginWithAgesWhateverTheyWereBefore) {
  put(PageForm::Packed, kOldestAge, 1000);
  start("on");
  ASSERT_EQ(decision_.steps.size(), 1U);
  EXPECT_TRUE(decision_.steps[0].is_restart);
  EXPECT_EQ(decision_.steps[0].stage, Stage::Idle);
}

TEST_F(Decide, ToSweepOnceATick) {
  start("on");
  EXPECT_EQ(plan_.ladder.tick, Minutes(10));
  look_after(Minutes(10) - Milliseconds(1));
  EXPECT_FALSE(does(Stage::Idle));
  EXPECT_EQ(says(Stage::Idle), "waits for the next sweep over all ages");
  look_after(Milliseconds(1));
  ASSERT_TRUE(does(Stage::Idle));
  EXPECT_EQ(step(Stage::Idle)->advancing, plan_.ladder.advancing(1));
  EXPECT_EQ(step(Stage::Idle)->age, plan_.stage(Stage::Idle).age);
  EXPECT_EQ(step(Stage::Idle)->reason,
            "sweep 1 is due, 10m after the one before; what is untouched for 10m is idle");
  look();
  EXPECT_FALSE(does(Stage::Idle));
}

TEST_F(Decide, NeverToMakeUpForSweepsThatCameLate) {
  start("on");
  look_after(Minutes(25));
  EXPECT_TRUE(does(Stage::Idle));
  look_after(Minutes(9));
  EXPECT_FALSE(does(Stage::Idle));
}

TEST_F(Decide, EverythingInTheOrderOfTheStages) {
  start("on deep_after=2h cpu_percent=100");
  put_for(Stage::Recompress, PageForm::Packed, 100);
  put_for(Stage::SmallCluster, PageForm::Packed, 100);
  put_for(Stage::LargeCluster, PageForm::SmallCluster, 100);
  put_for(Stage::DeepCluster, PageForm::LargeCluster, 100);
  put_for(Stage::WriteBack, PageForm::Incompressible, 100);
  put_for(Stage::WriteBack, PageForm::DeepCluster, 100);
  look_after(plan_.ladder.tick);
  std::vector<Stage> stages;
  for (const PolicyStep& each : decision_.steps) stages.push_back(each.stage);
  EXPECT_EQ(stages, (std::vector<Stage>{Stage::Idle, Stage::Recompress, Stage::SmallCluster,
                                        Stage::LargeCluster, Stage::DeepCluster, Stage::WriteBack,
                                        Stage::WriteBack}));
}

TEST_F(Decide, ToRecompressWhatIsIdle) {
  start("on recompress_priority=2");
  put_for(Stage::Recompress, PageForm::Packed, 300);
  look();
  ASSERT_TRUE(does(Stage::Recompress));
  EXPECT_EQ(step(Stage::Recompress)->priority, 2);
  EXPECT_EQ(step(Stage::Recompress)->max_pages, 300U);
  EXPECT_EQ(step(Stage::Recompress)->reason,
            "300 of 300 pages untouched for 10m: recompressed with the algorithm of priority 2; "
            "at most 4500 µs of CPU");
}

TEST_F(Decide, NotToRecompressWithoutAnAlgorithm) {
  abilities_.has_priority = {true, false, true, true};
  start("on");
  put_for(Stage::SmallCluster, PageForm::Packed, 300);
  look();
  EXPECT_FALSE(does(Stage::Recompress));
  EXPECT_EQ(says(Stage::Recompress), "off: recomp_algorithm has no algorithm of priority 1");
}

TEST_F(Decide, ToClusterByTheSettings) {
  start("on cluster_pages=8 cluster_level=2");
  put_for(Stage::SmallCluster, PageForm::Packed, 300);
  look();
  ASSERT_TRUE(does(Stage::SmallCluster));
  EXPECT_EQ(step(Stage::SmallCluster)->cluster_pages, 8);
  EXPECT_EQ(step(Stage::SmallCluster)->level, 2);
  EXPECT_EQ(step(Stage::SmallCluster)->age, plan_.stage(Stage::SmallCluster).age);
}

TEST_F(Decide, ThatAPageGoesStraightToTheLastStageForItsAge) {
  start("on");
  put_for(Stage::LargeCluster, PageForm::Packed, 300);
  look();
  EXPECT_FALSE(does(Stage::Recompress));
  EXPECT_FALSE(does(Stage::SmallCluster));
  ASSERT_TRUE(does(Stage::LargeCluster));
  EXPECT_EQ(step(Stage::LargeCluster)->below_age, kPageAges);
  put_for(Stage::SmallCluster, PageForm::Packed, 10);
  look_after(Seconds(1));
  EXPECT_EQ(step(Stage::SmallCluster)->below_age, plan_.stage(Stage::LargeCluster).age);
}

TEST_F(Decide, ThatAnEarlierStageTakesWhatALaterOneIsDoneWith) {
  start("on");
  put_for(Stage::LargeCluster, PageForm::Packed, 300);
  look();
  report(Stage::LargeCluster, 0, 300, true);
  look_after(Seconds(1));
  EXPECT_FALSE(does(Stage::LargeCluster));
  ASSERT_TRUE(does(Stage::SmallCluster));
  EXPECT_EQ(step(Stage::SmallCluster)->below_age, kPageAges);
}

TEST_F(Decide, ToRestAfterThePagesUntilAgesAdvance) {
  start("on recompress_after=off");
  put_for(Stage::SmallCluster, PageForm::Packed, 300);
  look();
  report(Stage::SmallCluster, 300, 0, true);
  look_after(Seconds(1));
  EXPECT_FALSE(does(Stage::SmallCluster));
  EXPECT_EQ(says(Stage::SmallCluster), "has been through the whole device; rests for 1 more sweep");
  look_after(plan_.ladder.tick);
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::SmallCluster));
}

TEST_F(Decide, ToGoOnWhereAStepStoppedForItsBudget) {
  start("on recompress_after=off");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  look();
  report(Stage::SmallCluster, 0, 4096, false);
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::SmallCluster));
}

TEST_F(Decide, ToRestTwiceAsLongEachTimeInVain) {
  start("on recompress_after=off cluster_after=off writeback_after=off");
  put_for(Stage::LargeCluster, PageForm::Packed, 300);
  std::vector<int> rests;
  look();
  for (int time = 0; time < 5; ++time) {
    ASSERT_TRUE(does(Stage::LargeCluster));
    report(Stage::LargeCluster, 0, 300, true);
    look_after(Seconds(1));
    int sweeps = 0;
    while (!does(Stage::LargeCluster) && sweeps < 100) {
      look_after(plan_.ladder.tick);
      ++sweeps;
      look_after(Seconds(1));
    }
    rests.push_back(sweeps);
  }
  EXPECT_EQ(rests, (std::vector<int>{2, 4, 8, 16, 16}));
}

TEST_F(Decide, HowLongToRestByTheWholeWalk) {
  start("on recompress_after=off cluster_after=off writeback_after=off");
  put_for(Stage::LargeCluster, PageForm::Packed, 3000);
  look();
  report(Stage::LargeCluster, 100, 900, false);
  look_after(Seconds(1));
  report(Stage::LargeCluster, 0, 500, true);
  look_after(Seconds(1));
  EXPECT_EQ(says(Stage::LargeCluster), "has been through the whole device; rests for 1 more sweep");
  look_after(plan_.ladder.tick);
  look_after(Seconds(1));
  report(Stage::LargeCluster, 10, 900, true);
  look_after(Seconds(1));
  EXPECT_EQ(says(Stage::LargeCluster),
            "has been through the whole device; rests for 2 more sweeps");
}

TEST_F(Decide, OneRoundAfterTheOther) {
  start("on round=5s");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  look();
  ASSERT_TRUE(does(Stage::SmallCluster));
  EXPECT_EQ(decision_.wake_at, snapshot_.now + Seconds(5));
  look_after(Seconds(4));
  EXPECT_FALSE(does(Stage::SmallCluster));
  EXPECT_EQ(says(Stage::SmallCluster), "waits for the next round");
  EXPECT_EQ(decision_.reason, "nothing for 1s: waits for the next round");
  EXPECT_EQ(decision_.wake_at, snapshot_.now + Seconds(1));
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::SmallCluster));
}

TEST_F(Decide, AtMostMaxPagesInARound) {
  start("on max_pages=1000 cpu_percent=100");
  put_for(Stage::Recompress, PageForm::Packed, 700);
  put_for(Stage::SmallCluster, PageForm::Packed, 700);
  put_for(Stage::LargeCluster, PageForm::SmallCluster, 700);
  look();
  EXPECT_EQ(step(Stage::Recompress)->max_pages, 700U);
  EXPECT_EQ(step(Stage::SmallCluster)->max_pages, 300U);
  EXPECT_FALSE(does(Stage::LargeCluster));
  EXPECT_EQ(says(Stage::LargeCluster), "waits: earlier stages take all pages of this round");
}

TEST_F(Decide, WithinTheShareOfCpu) {
  start("on cpu_percent=1");  // 20 ms at once.
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  look();
  EXPECT_EQ(step(Stage::SmallCluster)->max_cpu, Milliseconds(20));
  EXPECT_EQ(step(Stage::SmallCluster)->max_pages, 2000U);
  snapshot_.policy_cpu += Milliseconds(30);
  look_after(Seconds(1));
  EXPECT_FALSE(does(Stage::SmallCluster));
  EXPECT_EQ(says(Stage::SmallCluster), "waits for its share of CPU: 0 µs of 40 µs are there");
  look_after(Seconds(2));
  ASSERT_TRUE(does(Stage::SmallCluster));
  EXPECT_EQ(step(Stage::SmallCluster)->max_cpu, Milliseconds(10));
}

TEST_F(Decide, NotEvenToSweepWhileCpuIsOwed) {
  start("on cpu_percent=1");
  snapshot_.policy_cpu += Seconds(30);
  look_after(Minutes(10));
  EXPECT_FALSE(does(Stage::Idle));
  EXPECT_TRUE(says(Stage::Idle).starts_with("waits for its share of CPU: "));
  look_after(Minutes(50));
  EXPECT_TRUE(does(Stage::Idle));
}

TEST_F(Decide, ByWhatAPageHasCost) {
  start("on cpu_percent=1 recompress_after=off");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  look();
  const std::uint64_t before = step(Stage::SmallCluster)->max_pages;
  for (int round = 0; round < 20; ++round) {
    snapshot_.results.push_back(
        {Stage::SmallCluster, WritebackPick::Any, 900, 100, Milliseconds(100), false});
    look_after(Seconds(2));
  }
  // 100 µs a page instead of the 10 that were guessed.
  const std::uint64_t after = step(Stage::SmallCluster)->max_pages;
  EXPECT_GE(after, before / 10);
  EXPECT_LE(after, before / 9);
}

TEST_F(Decide, ToBackOffAfterABurst) {
  start("on burst=1000 backoff=30s");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  put_for(Stage::WriteBack, PageForm::Incompressible, 300'000);
  snapshot_.foreground_requests += 10'010;
  look_after(Seconds(10));
  EXPECT_FALSE(does(Stage::SmallCluster));
  EXPECT_EQ(says(Stage::SmallCluster),
            "backs off: 1001 foreground requests a second, a burst is above 1000");
  EXPECT_TRUE(does(Stage::WriteBack)) << "it takes little CPU";
  look_after(Seconds(29));
  EXPECT_FALSE(does(Stage::SmallCluster));
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::SmallCluster));
}

TEST_F(Decide, NotToBackOffUnderHardPressure) {
  start("on burst=1000 backoff=30s psi_percent=5 large_after=off");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  snapshot_.foreground_requests += 1'000'000;
  snapshot_.memory_some_avg10_percent = 19;
  look_after(Seconds(10));
  EXPECT_FALSE(does(Stage::SmallCluster));
  snapshot_.memory_some_avg10_percent = 20;
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::SmallCluster));
}

TEST_F(Decide, NotToBackOffForSteadyRequestsBelowTheBurst) {
  start("on burst=1000");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  snapshot_.foreground_requests += 10'000;
  look_after(Seconds(10));
  EXPECT_TRUE(does(Stage::SmallCluster));
}

TEST_F(Decide, NotToTakeAFewRequestsAtOnceForABurst) {
  start("on burst=1000");
  put_for(Stage::SmallCluster, PageForm::Packed, 300'000);
  snapshot_.foreground_requests += 90;
  look_after(Milliseconds(10));
  EXPECT_TRUE(does(Stage::SmallCluster));
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::SmallCluster));
  EXPECT_EQ(state_.requests_per_second, 90U * 1000 / 1010);
}

TEST_F(Decide, DeepClustersOnlyWhenNobodyWantsTheCpu) {
  start("on deep_after=2h quiet=1m");
  put_for(Stage::DeepCluster, PageForm::LargeCluster, 1000);
  snapshot_.since_foreground_request = Seconds(50);
  look();
  EXPECT_FALSE(does(Stage::DeepCluster));
  EXPECT_EQ(says(Stage::DeepCluster), "waits until the device has been quiet for 1m");
  EXPECT_EQ(decision_.note(Stage::DeepCluster).until, snapshot_.now + Seconds(10));
  snapshot_.since_foreground_request = Seconds(60);
  snapshot_.cpu_some_avg10_percent = 1.5;
  look();
  EXPECT_FALSE(does(Stage::DeepCluster));
  EXPECT_EQ(says(Stage::DeepCluster),
            "waits for idle CPU: processes wait for one 1.5 % of the time, not below 1.0 %");
  snapshot_.cpu_some_avg10_percent = 0.5;
  look();
  EXPECT_TRUE(does(Stage::DeepCluster));
}

TEST_F(Decide, ToWriteBackFirstWhatDoesNotCompress) {
  start("on writeback_pages=100");
  put_for(Stage::WriteBack, PageForm::Raw, 30);
  put_for(Stage::WriteBack, PageForm::Incompressible, 30);
  put_for(Stage::WriteBack, PageForm::LargeCluster, 500);
  look();
  ASSERT_EQ(decision_.steps.size(), 3U);
  EXPECT_EQ(decision_.steps[0].stage, Stage::LargeCluster) << "the raw pages, until they are gone";
  EXPECT_EQ(decision_.steps[1].pick, WritebackPick::Huge);
  EXPECT_EQ(decision_.steps[1].max_pages, 60U);
  EXPECT_EQ(decision_.steps[1].max_bytes, 60 * kPageBytes);
  EXPECT_EQ(decision_.steps[2].pick, WritebackPick::Any);
  EXPECT_EQ(decision_.steps[2].max_pages, 40U);
}

TEST_F(Decide, ToWriteBackNothingElseForHugeIdle) {
  start("on writeback_type=huge_idle recompress_after=off cluster_after=off large_after=off");
  put_for(Stage::WriteBack, PageForm::Packed, 500);
  look();
  EXPECT_TRUE(decision_.steps.empty());
  put_for(Stage::WriteBack, PageForm::Raw, 500);
  look();
  ASSERT_EQ(decision_.steps.size(), 1U);
  EXPECT_EQ(decision_.steps[0].pick, WritebackPick::Huge);
}

TEST_F(Decide, NotToRestWhileOnlyAPartWasWrittenBack) {
  start("on");
  put_for(Stage::WriteBack, PageForm::Incompressible, 10);
  look();
  snapshot_.results.push_back({Stage::WriteBack, WritebackPick::Huge, 10, 0, {}, true});
  put_for(Stage::WriteBack, PageForm::Incompressible, 0);
  put_for(Stage::WriteBack, PageForm::DeepCluster, 10);
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::WriteBack));
}

TEST_F(Decide, ToWriteBackNoMoreThanADayHasLeft) {
  start("on bytes_per_day=64K");
  put_for(Stage::WriteBack, PageForm::Incompressible, 500);
  look();
  EXPECT_EQ(step(Stage::WriteBack)->max_bytes, 64U << 10);
  snapshot_.written_back_bytes += 62 << 10;
  look_after(Seconds(1));
  EXPECT_FALSE(does(Stage::WriteBack));
  EXPECT_EQ(says(Stage::WriteBack), "waits: 2 KiB of 64 KiB for 24 hours are left");
  EXPECT_EQ(decision_.note(Stage::WriteBack).until, Hours(26));
  look_after(Hours(25));
  EXPECT_TRUE(does(Stage::WriteBack));
}

TEST_F(Decide, NotToWriteBackToAStoreThatCannot) {
  start("on");
  put_for(Stage::WriteBack, PageForm::Incompressible, 500);
  for (const BackingState state :
       {BackingState::Stalls, BackingState::Full, BackingState::Failed, BackingState::Limited}) {
    snapshot_.backing = state;
    look();
    EXPECT_FALSE(does(Stage::WriteBack));
    EXPECT_NE(says(Stage::WriteBack).find("the backing store"), std::string::npos);
  }
  snapshot_.backing = BackingState::Works;
  look();
  EXPECT_TRUE(does(Stage::WriteBack));
}

TEST_F(Decide, NotToWriteBackWithoutAStore) {
  abilities_.has_backing = false;
  start("on");
  put(PageForm::Incompressible, kOldestAge, 500);
  look();
  EXPECT_TRUE(decision_.steps.empty());
  EXPECT_EQ(says(Stage::WriteBack), "off: backing_dev is not set");
}

TEST_F(Decide, NoClustersWhereThereAreNone) {
  abilities_.has_clusters = false;
  start("on");
  put(PageForm::Packed, kOldestAge, 500);
  look();
  EXPECT_TRUE(does(Stage::Recompress));
  EXPECT_FALSE(does(Stage::SmallCluster));
  EXPECT_FALSE(does(Stage::LargeCluster));
  EXPECT_EQ(says(Stage::LargeCluster), "off: this device keeps no clusters");
}

TEST_F(Decide, ToTakeYoungerPagesUnderPressure) {
  start("on psi_percent=5");
  const int calm = plan_.stage(Stage::WriteBack).age;
  int before = calm;
  for (const double psi : {5.0, 10.0, 20.0}) {
    snapshot_.memory_some_avg10_percent = psi;
    look();
    const int age = decision_.note(Stage::WriteBack).age;
    EXPECT_LE(age, before);
    EXPECT_GE(age, 1);
    before = age;
  }
  EXPECT_LT(before, calm);
  put(PageForm::Incompressible, before, 100);
  look();
  ASSERT_TRUE(does(Stage::WriteBack));
  EXPECT_NE(step(Stage::WriteBack)->reason.find("(pressure)"), std::string::npos);
  snapshot_.memory_some_avg10_percent = 0;
  look_after(Seconds(1));
  EXPECT_FALSE(does(Stage::WriteBack));
}

TEST_F(Decide, ToEndARestWhenPressureLowersTheAge) {
  start("on psi_percent=5 recompress_after=off cluster_after=off");
  put(PageForm::Packed, 1, 500);
  put_for(Stage::LargeCluster, PageForm::Packed, 500);
  look();
  report(Stage::LargeCluster, 500, 0, true);
  look_after(Seconds(1));
  EXPECT_FALSE(does(Stage::LargeCluster));
  snapshot_.memory_some_avg10_percent = 50;
  look_after(Seconds(1));
  EXPECT_TRUE(does(Stage::LargeCluster));
}

TEST_F(Decide, ToLookAgainInTimeForPressure) {
  start("on");
  const Milliseconds begun = snapshot_.now;
  look_after(Seconds(1));
  EXPECT_EQ(decision_.wake_at, begun + Minutes(10)) << "an empty device waits for its sweep";
  put(PageForm::Packed, 0, 1);
  EXPECT_EQ(look().wake_at, snapshot_.now + Seconds(10));
}

TEST_F(Decide, ThatBudgetsOutliveANewPlan) {
  start("on bytes_per_day=64K");
  snapshot_.written_back_bytes += 64 << 10;
  look_after(Seconds(1));
  state_.rests[index_of(Stage::LargeCluster)].until_sweep = 16;
  state_ = restarted(state_);
  EXPECT_EQ(state_.rests[index_of(Stage::LargeCluster)], StageRest{});
  look_after(Seconds(1));
  ASSERT_EQ(decision_.steps.size(), 1U);
  EXPECT_TRUE(decision_.steps[0].is_restart);
  EXPECT_EQ(decision_.day_bytes_left, 0U);
}

}  // namespace
}  // namespace uzram
