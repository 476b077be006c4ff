// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <vector>

#include "policy/decide.h"

namespace uzram {

namespace {

using std::chrono::seconds;

StagePlan planned(std::optional<seconds> after) { return {after, {}, 0}; }
StagePlan impossible(std::string why_not) { return {std::nullopt, std::move(why_not), 0}; }

StagePlan plan_recompression(const PolicySettings& settings, const PolicyAbilities& abilities) {
  if (!settings.recompress_after) return impossible("off: recompress_after=off");
  const auto priority = static_cast<std::size_t>(settings.recompress_priority);
  if (!abilities.has_priority[priority]) {
    return impossible(
        fmt::format("off: recomp_algorithm has no algorithm of priority {}", priority));
  }
  return planned(settings.recompress_after);
}

StagePlan plan_cluster(const ClusterSettings& cluster, Stage stage,
                       const PolicyAbilities& abilities) {
  if (!cluster.after) return impossible(fmt::format("off: {}_after=off", stage_name(stage)));
  if (!abilities.has_clusters) return impossible("off: this device keeps no clusters");
  return planned(cluster.after);
}

StagePlan plan_writeback(const PolicySettings& settings, const PolicyAbilities& abilities) {
  if (!settings.writeback_after) return impossible("off: writeback_after=off");
  if (!abilities.has_backing) return impossible("off: backing_dev is not set");
  return planned(settings.writeback_after);
}

}  // namespace

PolicyPlan make_policy_plan(const PolicySettings& settings, const PolicyAbilities& abilities) {
  PolicyPlan plan{settings, abilities, {}, {}};
  auto& stages = plan.stages;
  stages[index_of(Stage::Idle)] = planned(settings.idle_after);
  stages[index_of(Stage::Recompress)] = plan_recompression(settings, abilities);
  stages[index_of(Stage::SmallCluster)] =
      plan_cluster(settings.small, Stage::SmallCluster, abilities);
  stages[index_of(Stage::LargeCluster)] =
      plan_cluster(settings.large, Stage::LargeCluster, abilities);
  stages[index_of(Stage::DeepCluster)] = plan_cluster(settings.deep, Stage::DeepCluster, abilities);
  stages[index_of(Stage::WriteBack)] = plan_writeback(settings, abilities);

  std::vector<seconds> thresholds;
  for (const StagePlan& stage : stages) {
    if (stage.after) thresholds.push_back(*stage.after);
  }
  plan.ladder = make_age_ladder(thresholds);
  for (StagePlan& stage : stages) {
    if (stage.after) stage.age = plan.ladder.age_of(*stage.after);
  }
  return plan;
}

PolicyState restarted(const PolicyState& state) {
  PolicyState next = state;
  next.has_ages = false;
  next.sweep_count = 0;
  next.rests = {};
  next.asked_ages = {};
  return next;
}

}  // namespace uzram
