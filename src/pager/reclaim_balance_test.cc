// SPDX-License-Identifier: Apache-2.0
#include "pager/reclaim_balance.h"

#include <gtest/gtest.h>

namespace uzram {
namespace {

constexpr std::uint64_t kResident = 10000;

// Of 1000 turns, those of anonymous memory.
int anonymous_turns(ReclaimBalance& balance) {
  int turns = 0;
  for (int i = 0; i < 1000; ++i) turns += balance.choose() == PageKindOf::Anonymous ? 1 : 0;
  return turns;
}

TEST(ReclaimBalance, SwappinessSharesTheTurns) {
  for (const auto& [swappiness, turns] :
       {std::pair{0U, 0}, {50U, 250}, {100U, 500}, {200U, 1000}}) {
    ReclaimBalance balance;
    balance.set_swappiness(swappiness);
    EXPECT_NEAR(anonymous_turns(balance), turns, 1) << swappiness;
  }
}

TEST(ReclaimBalance, AKindThatComesBackIsTakenLess) {
  ReclaimBalance balance;
  for (int i = 0; i < 100; ++i) balance.note_refault(PageKindOf::File, kResident);
  // File pages have cost all of it: (sum + 1) / (2 sum + 1) against (sum + 1) / (sum + 1).
  EXPECT_NEAR(anonymous_turns(balance), 665, 5);
  for (int i = 0; i < 100; ++i) balance.note_refault(PageKindOf::Anonymous, kResident);
  EXPECT_NEAR(anonymous_turns(balance), 500, 5);
}

TEST(ReclaimBalance, OldCostsLoseTheirWeight) {
  ReclaimBalance balance;
  for (int i = 0; i < 2000; ++i) balance.note_refault(PageKindOf::File, kResident);
  for (int i = 0; i < 2500; ++i) balance.note_refault(PageKindOf::Anonymous, kResident);
  EXPECT_LT(anonymous_turns(balance), 450);
}

TEST(ReclaimBalance, ZeroIsZeroWhateverFilesCost) {
  ReclaimBalance balance;
  balance.set_swappiness(0);
  for (int i = 0; i < 500; ++i) balance.note_refault(PageKindOf::File, kResident);
  EXPECT_EQ(anonymous_turns(balance), 0);
}

}  // namespace
}  // namespace uzram
