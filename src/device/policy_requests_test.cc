// SPDX-License-Identifier: Apache-2.0
// Steps as requests, and the store's census as the policy's.
#include "device/policy_requests.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

PolicyStep step_of(Stage stage) {
  PolicyStep step;
  step.stage = stage;
  step.age = 3;
  step.below_age = 6;
  step.max_pages = 100;
  step.max_cpu = std::chrono::microseconds(700);
  return step;
}

SlotCensus one_page(SlotForm form, std::size_t age) {
  SlotCensus census{};
  census[static_cast<std::size_t>(form)][age] = 1;
  return census;
}

TEST(PolicyRequests, ASweepAdvancesAndMarks) {
  PolicyStep step = step_of(Stage::Idle);
  step.advancing = 0x15;
  const AgeSweep sweep = age_sweep(step);
  EXPECT_EQ(sweep.advancing, 0x15);
  EXPECT_EQ(sweep.idle_age, 3);
  EXPECT_FALSE(sweep.is_restart);
}

TEST(PolicyRequests, ARestartMarksNothing) {
  PolicyStep step = step_of(Stage::Idle);
  step.is_restart = true;
  step.age = 0;
  const AgeSweep sweep = age_sweep(step);
  EXPECT_TRUE(sweep.is_restart);
  EXPECT_EQ(sweep.idle_age, static_cast<int>(kAgeCount));
}

TEST(PolicyRequests, RecompressionTakesAgesAndBudgets) {
  PolicyStep step = step_of(Stage::Recompress);
  step.priority = 2;
  const RecompressRequest request = recompress_request(step);
  EXPECT_EQ(request.priority, 2);
  EXPECT_EQ(request.pages.least_age, 3);
  EXPECT_EQ(request.pages.below_age, 6);
  EXPECT_EQ(request.pages.type, PageType::All);
  EXPECT_EQ(request.most_pages, 100U);
  EXPECT_EQ(request.most_cpu, std::chrono::microseconds(700));
}

TEST(PolicyRequests, ClustersGoOnWhereTheyStopped) {
  PolicyStep step = step_of(Stage::LargeCluster);
  step.cluster_pages = 16;
  step.level = 5;
  const ClusterRequest request = cluster_request(step, {77});
  EXPECT_EQ(request.cluster_pages, 16U);
  EXPECT_EQ(request.level, 5);
  EXPECT_EQ(request.first, PageIndex{77});
  EXPECT_EQ(request.most_pages, 96U) << "whole clusters";
  EXPECT_FALSE(request.only_mostly_dead);
  step.max_pages = 9;
  EXPECT_EQ(cluster_request(step, {}).most_pages, 9U);
}

TEST(PolicyRequests, WritebackCountsBlocks) {
  PolicyStep step = step_of(Stage::WriteBack);
  step.max_bytes = 10 * kPageBytes + 1;
  EXPECT_EQ(writeback_request(step, {5}).most_blocks, 10U);
  EXPECT_EQ(writeback_request(step, {5}).first, PageIndex{5});
  step.pick = WritebackPick::Any;
  EXPECT_EQ(writeback_request(step, {}).pages.type, PageType::All);
  step.pick = WritebackPick::Huge;
  EXPECT_EQ(writeback_request(step, {}).pages.type, PageType::HugeOrIncompressible);
}

TEST(PolicyRequests, FormsAreThoseOfTheStore) {
  const PolicySettings settings;  // Clusters of 4 and 16; no deep ones.
  struct Row {
    SlotForm slot;
    PageForm page;
  };
  for (const Row& row :
       {Row{SlotForm::Packed, PageForm::Packed},
        Row{SlotForm::Recompressed, PageForm::Recompressed}, Row{SlotForm::Raw, PageForm::Raw},
        Row{SlotForm::Incompressible, PageForm::Incompressible},
        Row{SlotForm::Cluster2, PageForm::SmallCluster},
        Row{SlotForm::Cluster4, PageForm::SmallCluster},
        Row{SlotForm::Cluster8, PageForm::SmallCluster},
        Row{SlotForm::Cluster16, PageForm::LargeCluster},
        Row{SlotForm::Cluster32, PageForm::LargeCluster},
        Row{SlotForm::WrittenBack, PageForm::WrittenBack}}) {
    PageCensus census = page_census(one_page(row.slot, 4), settings);
    EXPECT_EQ(census.at(row.page, 4), 1U) << static_cast<int>(row.slot);
    EXPECT_EQ(census.in_memory(), row.page == PageForm::WrittenBack ? 0U : 1U);
  }
}

TEST(PolicyRequests, ClustersOfAllSizesAddUp) {
  PolicySettings settings;
  settings.deep.after = std::chrono::hours(4);
  SlotCensus slots{};
  for (auto& form : slots) form.fill(2);
  PageCensus census = page_census(slots, settings);
  EXPECT_EQ(census.at(PageForm::SmallCluster, 0), 6U);
  EXPECT_EQ(census.at(PageForm::LargeCluster, 0), 2U);
  EXPECT_EQ(census.at(PageForm::DeepCluster, 7), 2U);
}

}  // namespace
}  // namespace uzram
