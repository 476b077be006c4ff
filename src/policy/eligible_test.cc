// SPDX-License-Identifier: Apache-2.0
#include "policy/eligible.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

constexpr std::array<Stage, 4> kPacking = {Stage::Recompress, Stage::SmallCluster,
                                           Stage::LargeCluster, Stage::DeepCluster};

// Every page that a stage takes, the later ones take too: a page may go straight to the last.
TEST(Eligible, ForALaterStageIsWhatAnEarlierOneTakes) {
  for (std::size_t stage = 1; stage < kPacking.size(); ++stage) {
    for (int form = 0; form < kPageFormCount; ++form) {
      const auto page = static_cast<PageForm>(form);
      EXPECT_LE(takes(kPacking[stage - 1], WritebackPick::Any, page),
                takes(kPacking[stage], WritebackPick::Any, page));
    }
  }
}

TEST(Eligible, IsNothingThatAStageHasMadeItself) {
  EXPECT_FALSE(takes(Stage::Recompress, WritebackPick::Any, PageForm::Recompressed));
  EXPECT_FALSE(takes(Stage::Recompress, WritebackPick::Any, PageForm::Incompressible));
  EXPECT_FALSE(takes(Stage::SmallCluster, WritebackPick::Any, PageForm::SmallCluster));
  EXPECT_FALSE(takes(Stage::LargeCluster, WritebackPick::Any, PageForm::LargeCluster));
  EXPECT_FALSE(takes(Stage::DeepCluster, WritebackPick::Any, PageForm::DeepCluster));
  EXPECT_FALSE(takes(Stage::WriteBack, WritebackPick::Any, PageForm::WrittenBack));
}

TEST(Eligible, ForWritebackOfHugePagesIsWhatDoesNotCompress) {
  for (int form = 0; form < kPageFormCount; ++form) {
    const auto page = static_cast<PageForm>(form);
    EXPECT_EQ(takes(Stage::WriteBack, WritebackPick::Huge, page),
              page == PageForm::Raw || page == PageForm::Incompressible);
  }
}

TEST(Eligible, KnowsTheStageOfAClusterByItsWidth) {
  PolicySettings settings = *parse_policy("on deep_after=2h");
  EXPECT_EQ(cluster_form(settings, 2), PageForm::SmallCluster);
  EXPECT_EQ(cluster_form(settings, 15), PageForm::SmallCluster);
  EXPECT_EQ(cluster_form(settings, 16), PageForm::LargeCluster);
  EXPECT_EQ(cluster_form(settings, 31), PageForm::LargeCluster);
  EXPECT_EQ(cluster_form(settings, 32), PageForm::DeepCluster);
  settings.deep.after.reset();
  EXPECT_EQ(cluster_form(settings, 32), PageForm::LargeCluster);
  settings.large.after.reset();
  EXPECT_EQ(cluster_form(settings, 32), PageForm::SmallCluster);
}

TEST(Eligible, CountsAgesOfAHalfOpenRange) {
  PageCensus census;
  for (int age = 0; age < kPageAges; ++age) {
    census.at(PageForm::Packed, age) = 1U << age;
    census.at(PageForm::SmallCluster, age) = 1000;
  }
  EXPECT_EQ(eligible_pages(census, Stage::SmallCluster, WritebackPick::Any, 2, 5), 4U + 8 + 16);
  EXPECT_EQ(eligible_pages(census, Stage::SmallCluster, WritebackPick::Any, 7, kPageAges), 128U);
  EXPECT_EQ(eligible_pages(census, Stage::LargeCluster, WritebackPick::Any, 7, kPageAges), 1128U);
  EXPECT_EQ(eligible_pages(census, Stage::SmallCluster, WritebackPick::Any, 5, 5), 0U);
}

}  // namespace
}  // namespace uzram
