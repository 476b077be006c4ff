// SPDX-License-Identifier: Apache-2.0
// policy/policy_fixture.h: a policy with a clock that tests move by hand.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string_view>

#include "policy/decide.h"
#include "policy/explain.h"

namespace uzram {

class PolicyTest : public testing::Test {
 protected:
  using Hours = std::chrono::hours;
  using Microseconds = std::chrono::microseconds;
  using Milliseconds = std::chrono::milliseconds;
  using Minutes = std::chrono::minutes;
  using Seconds = std::chrono::seconds;

  // A device with everything, and a policy that has begun to count ages.
  void start(std::string_view line) {
    const SettingResult<PolicySettings> settings = parse_policy(line);
    ASSERT_TRUE(settings) << settings.error().text;
    plan_ = make_policy_plan(*settings, abilities_);
    state_ = {};
    snapshot_.now = Hours(1);
    snapshot_.since_foreground_request = Hours(1);
    look();
  }
  const Decision& look() {
    DecideResult result = decide(plan_, state_, snapshot_);
    state_ = result.state;
    decision_ = std::move(result.decision);
    snapshot_.results.clear();
    return decision_;
  }
  const Decision& look_after(Milliseconds time) {
    snapshot_.now += time;
    return look();
  }
  void put(PageForm form, int age, std::uint64_t pages) { snapshot_.census.at(form, age) = pages; }
  // Pages that are just old enough for a stage.
  void put_for(Stage stage, PageForm form, std::uint64_t pages) {
    put(form, plan_.stage(stage).age, pages);
  }
  void report(Stage stage, std::uint64_t changed, std::uint64_t failed, bool has_seen_all) {
    snapshot_.results.push_back(
        {stage, WritebackPick::Any, changed, failed, Microseconds(0), has_seen_all});
  }
  // The step of a stage, the first one if there are several.
  const PolicyStep* step(Stage stage) const {
    for (const PolicyStep& each : decision_.steps) {
      if (each.stage == stage) return &each;
    }
    return nullptr;
  }
  bool does(Stage stage) const { return step(stage) != nullptr; }
  const std::string& says(Stage stage) const { return decision_.note(stage).text; }

  PolicyAbilities abilities_{{true, true, true, true}, true, true};
  PolicyPlan plan_;
  PolicyState state_;
  PolicySnapshot snapshot_;
  Decision decision_;
};

}  // namespace uzram
