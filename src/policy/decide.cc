// SPDX-License-Identifier: Apache-2.0
#include "policy/decide.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/units.h"
#include "policy/eligible.h"
#include "policy/observe.h"
#include "policy/round.h"

namespace uzram {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

int age_under_pressure(const PolicyPlan& plan, Stage stage, PressureLevel level) {
  const StagePlan& planned = plan.stage(stage);
  if (!planned.after || level == PressureLevel::None) return planned.age;
  const milliseconds hurried = milliseconds(*planned.after) / (1 << static_cast<int>(level));
  return std::min(planned.age, plan.ladder.age_within(hurried));
}

const ClusterSettings* cluster_of(const PolicySettings& settings, Stage stage) {
  switch (stage) {
    case Stage::SmallCluster:
      return &settings.small;
    case Stage::LargeCluster:
      return &settings.large;
    case Stage::DeepCluster:
      return &settings.deep;
    default:
      return nullptr;
  }
}

void restart_ages(Round& round) {
  round.state.has_ages = true;
  round.state.last_sweep = round.now();
  round.state.sweep_count = 0;
  PolicyStep step;
  step.is_restart = true;
  step.reason = "ages begin now; nothing is known about earlier accesses";
  StageNote& note = round.note(Stage::Idle);
  note.text = step.reason;
  note.runs = true;
  note.until = round.now() + round.plan.ladder.tick;
  round.decision.steps.push_back(std::move(step));
}

void plan_sweep(Round& round) {
  StageNote& note = round.note(Stage::Idle);
  const milliseconds tick = round.plan.ladder.tick;
  const milliseconds due_at = round.state.last_sweep + tick;
  if (round.now() < due_at) {
    note.until = due_at;
    note.text = "waits for the next sweep over all ages";
    return;
  }
  if (round.cpu_left < microseconds(0)) {
    note.until = round.state.cpu.ready_at(microseconds(0), round.settings().cpu_percent);
    note.text =
        fmt::format("waits for its share of CPU: {} too much were used", cpu_text(-round.cpu_left));
    return;
  }
  PolicyStep step;
  ++round.state.sweep_count;
  step.advancing = round.plan.ladder.advancing(round.state.sweep_count);
  step.age = note.age;
  step.reason = fmt::format(
      "sweep {} is due, {} after the one before; what is {} is idle", round.state.sweep_count,
      time_text(round.now() - round.state.last_sweep), age_words(round, Stage::Idle));
  round.state.last_sweep = round.now();
  note.runs = true;
  note.until = round.now() + tick;
  note.text = step.reason;
  round.decision.steps.push_back(std::move(step));
}

// How much of what a stage could do fits into this round.
struct Grant {
  std::uint64_t pages = 0;  // 0: nothing, because
  std::string why_none;
  std::optional<milliseconds> until;
  microseconds cpu{};
};

// `unit`: the fewest pages that make sense; `most`: what the budgets of pages and bytes allow.
Grant grant(const Round& round, Stage stage, std::uint64_t unit, std::uint64_t most) {
  const milliseconds next_round = round.now() + round.settings().round;
  if (round.now() < round.due_at) {
    return {0, "waits for the next round", round.due_at, {}};
  }
  if (most < unit) {
    return {0, "waits: earlier stages take all pages of this round", next_round, {}};
  }
  const int percent = round.settings().cpu_percent;
  const std::uint64_t cost = nanoseconds_per_page(round.state, stage);
  // What a full bucket cannot pay for at once is still done, one unit at a time.
  const microseconds wanted = std::min(microseconds((unit * cost + 999) / 1000),
                                       CpuBucket::capacity(percent, round.settings().round));
  if (round.cpu_left < wanted) {
    return {0,
            fmt::format("waits for its share of CPU: {} of {} are there",
                        cpu_text(std::max(round.cpu_left, microseconds(0))), cpu_text(wanted)),
            std::max(round.state.cpu.ready_at(wanted, percent), next_round),
            {}};
  }
  const auto affordable = static_cast<std::uint64_t>(round.cpu_left.count()) * 1000 / cost;
  Grant granted;
  granted.pages = std::max(unit, std::min(most, affordable));
  granted.cpu = std::min(round.cpu_left, microseconds((granted.pages * cost + 999) / 1000));
  return granted;
}

// The words of a step's reason: what for. `eligible` pages could be taken.
void add_step(Round& round, PolicyStep step, const Grant& granted, std::uint64_t eligible,
              std::string_view what_for) {
  StageNote& note = round.note(step.stage);
  step.max_pages = granted.pages;
  step.max_cpu = granted.cpu;
  step.reason = fmt::format("{} of {} pages {}: {}; at most {} of CPU", granted.pages, eligible,
                            age_words(round, step.stage), what_for, cpu_text(granted.cpu));
  note.text = note.runs ? fmt::format("{}; then {}", note.text, step.reason) : step.reason;
  note.runs = true;
  round.cpu_left -= granted.cpu;
  round.state.asked_ages[index_of(step.stage)] = step.age;
  round.state.last_round = round.now();
  round.decision.steps.push_back(std::move(step));
}

void hold_back(StageNote& note, std::string text, std::optional<milliseconds> until) {
  note.text = std::move(text);
  note.until = until;
}

// Recompression or clusters, of pages younger than `below_age`.
void plan_packing(Round& round, Stage stage, int below_age) {
  StageNote& note = round.note(stage);
  PolicyStep step;
  step.stage = stage;
  step.age = note.age;
  step.below_age = below_age;
  std::string what_for;
  std::uint64_t unit = 1;
  if (const ClusterSettings* cluster = cluster_of(round.settings(), stage)) {
    step.cluster_pages = cluster->pages;
    step.level = cluster->level;
    unit = std::min(note.eligible_pages, static_cast<std::uint64_t>(cluster->pages));
    what_for = fmt::format("into clusters of {} with zstd {}", cluster->pages, cluster->level);
  } else {
    step.priority = round.settings().recompress_priority;
    what_for = fmt::format("recompressed with the algorithm of priority {}", step.priority);
  }
  const Grant granted = grant(round, stage, unit, std::min(note.eligible_pages, round.pages_left));
  if (granted.pages == 0) return hold_back(note, granted.why_none, granted.until);
  round.pages_left -= granted.pages;
  add_step(round, std::move(step), granted, note.eligible_pages, what_for);
}

void plan_writeback(Round& round) {
  StageNote& note = round.note(Stage::WriteBack);
  const PageCensus& census = round.snapshot.census;
  const std::uint64_t huge =
      eligible_pages(census, Stage::WriteBack, WritebackPick::Huge, note.age, kPageAges);
  const std::uint64_t others = note.eligible_pages - huge;
  std::uint64_t pages_left = round.settings().writeback_pages;
  if (const std::optional<std::uint64_t> bytes = round.decision.day_bytes_left) {
    pages_left = std::min(pages_left, *bytes / kPageBytes);
  }
  const auto write = [&](WritebackPick pick, std::uint64_t eligible, std::string_view what_for) {
    const Grant granted = grant(round, Stage::WriteBack, 1, std::min(eligible, pages_left));
    if (granted.pages == 0) {
      if (!note.runs) hold_back(note, granted.why_none, granted.until);
      return;
    }
    PolicyStep step;
    step.stage = Stage::WriteBack;
    step.age = note.age;
    step.pick = pick;
    step.max_bytes = granted.pages * kPageBytes;
    pages_left -= granted.pages;
    add_step(round, std::move(step), granted, eligible, what_for);
  };
  if (huge != 0) write(WritebackPick::Huge, huge, "written back, since they do not compress");
  if (others != 0 && pages_left != 0) write(WritebackPick::Any, others, "written back");
}

using Holds = std::array<std::optional<Hold>, kStageCount>;

// From this age on a later stage takes the pages.
int age_of_later_stage(const Round& round, const Holds& holds, Stage stage) {
  int below_age = kPageAges;
  for (const Stage later : kStages) {
    if (later <= stage || !needs_cpu(stage) || !needs_cpu(later) || holds[index_of(later)])
      continue;
    below_age = std::min(below_age, round.note(later).age);
  }
  return below_age;
}

void plan_stage(Round& round, const Holds& holds, Stage stage) {
  StageNote& note = round.note(stage);
  const int below_age = age_of_later_stage(round, holds, stage);
  const WritebackPick pick = round.settings().writeback_type == WritebackType::HugeIdle
                                 ? WritebackPick::Huge
                                 : WritebackPick::Any;
  if (note.age != 0) {
    note.eligible_pages = eligible_pages(round.snapshot.census, stage, pick, note.age, below_age);
  }
  if (const std::optional<Hold>& hold = holds[index_of(stage)]) {
    hold_back(note, hold->text, hold->until);
  } else if (note.age >= below_age) {
    note.text = "a later stage takes the same pages";
  } else if (note.eligible_pages == 0) {
    note.text = fmt::format("waits for pages that are {}", age_words(round, stage));
  } else if (stage == Stage::WriteBack) {
    plan_writeback(round);
  } else {
    plan_packing(round, stage, below_age);
  }
}

// Work after the sweep, in the order of the stages.
void plan_work(Round& round) {
  Holds holds;
  for (const Stage stage : kStages) holds[index_of(stage)] = hold_of(round, stage);
  // Writeback needs little CPU, so it gets that first: packing would leave none.
  plan_stage(round, holds, Stage::WriteBack);
  for (const Stage stage : kStages) {
    if (needs_cpu(stage)) plan_stage(round, holds, stage);
  }
  std::stable_sort(round.decision.steps.begin(), round.decision.steps.end(),
                   [](const PolicyStep& a, const PolicyStep& b) { return a.stage < b.stage; });
}

void choose_wake(Round& round) {
  Decision& decision = round.decision;
  // A step leaves something to look at; a note's time has been waited for.
  milliseconds wake = round.now() + (decision.steps.empty() ? milliseconds::max() / 2
                                                            : milliseconds(round.settings().round));
  if (round.snapshot.census.in_memory() != 0) wake = std::min(wake, round.now() + kLook);
  const StageNote* next = nullptr;
  for (const StageNote& note : decision.notes) {
    if (!note.until || *note.until <= round.now()) continue;
    wake = std::min(wake, *note.until);
    if (next == nullptr || *note.until < *next->until) next = &note;
  }
  decision.wake_at = wake;
  if (!decision.steps.empty()) {
    decision.reason = fmt::format("{} {} now", decision.steps.size(),
                                  decision.steps.size() == 1 ? "step" : "steps");
  } else if (next != nullptr) {
    decision.reason =
        fmt::format("nothing for {}: {}", time_text(*next->until - round.now()), next->text);
  }
}

}  // namespace

DecideResult decide(const PolicyPlan& plan, const PolicyState& state,
                    const PolicySnapshot& snapshot) {
  DecideResult result{state, {}};
  Decision& decision = result.decision;
  observe_snapshot(plan, snapshot, result.state);
  result.state.asked_ages = {};
  decision.cpu_left = result.state.cpu.left();
  if (plan.settings.bytes_per_day) {
    decision.day_bytes_left = result.state.day.left(*plan.settings.bytes_per_day);
  }
  if (!plan.settings.is_on) {
    decision.reason = "nothing: the policy is off";
    for (StageNote& note : decision.notes) note.text = "off: the policy is off";
    return result;
  }
  decision.pressure = pressure_level(plan.settings, snapshot);
  const milliseconds due_at =
      result.state.last_round ? *result.state.last_round + plan.settings.round : snapshot.now;
  Round round{plan,   snapshot,          result.state,           decision, state.sweep_count,
              due_at, decision.cpu_left, plan.settings.max_pages};
  for (const Stage stage : kStages) {
    round.note(stage).age = age_under_pressure(plan, stage, decision.pressure);
  }
  if (!state.has_ages) {
    // What the census says about ages belongs to another plan.
    restart_ages(round);
    for (const Stage stage : kStages) {
      if (stage == Stage::Idle) continue;
      const StagePlan& planned = plan.stage(stage);
      round.note(stage).text = planned.after ? "waits for ages, which begin now" : planned.why_not;
    }
  } else {
    plan_sweep(round);
    plan_work(round);
  }
  choose_wake(round);
  return result;
}

}  // namespace uzram
