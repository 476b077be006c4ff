// SPDX-License-Identifier: Apache-2.0
#include "policy/explain.h"

#include <fmt/format.h>

namespace uzram {

namespace {

using std::chrono::milliseconds;

std::string psi_words(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  if (!settings.psi_percent) return "PSI is not asked";
  if (!snapshot.memory_some_avg10_percent) return "this kernel shows no PSI";
  return fmt::format("processes wait for memory {:.1f} % of the time, pressure begins at {} %",
                     *snapshot.memory_some_avg10_percent, *settings.psi_percent);
}

std::string limit_words(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  if (!settings.limit_percent) return "mem_limit is not asked";
  if (snapshot.mem_limit_bytes == 0) return "no mem_limit is set";
  return fmt::format("{} of mem_limit {} are used, pressure begins at {} %",
                     size_words(snapshot.pool_bytes), size_words(snapshot.mem_limit_bytes),
                     *settings.limit_percent);
}

// What a stage is for, with its threshold and how late it may come.
std::string stage_title(const PolicyPlan& plan, const Decision& decision, Stage stage) {
  const StagePlan& planned = plan.stage(stage);
  if (!planned.after) return fmt::format("{:<11}", stage_name(stage));
  const int age = decision.note(stage).age;
  return fmt::format("{:<11}after {}, at the latest {}{}; ", stage_name(stage),
                     duration_text(*planned.after), time_text(plan.ladder.ceiling(planned.age)),
                     age == planned.age ? std::string()
                                        : fmt::format(", under this pressure {} to {}",
                                                      time_text(plan.ladder.floor(age)),
                                                      time_text(plan.ladder.ceiling(age))));
}

std::string stage_lines(const PolicyPlan& plan, const PolicySnapshot& snapshot,
                        const Decision& decision) {
  std::string text;
  for (const Stage stage : kStages) {
    const StageNote& note = decision.note(stage);
    text += fmt::format("  {}{}{}", stage_title(plan, decision, stage), note.runs ? "now: " : "",
                        note.text);
    if (!note.runs && note.eligible_pages != 0) {
      text += fmt::format("; {} pages are ready", note.eligible_pages);
    }
    // Some texts say the time themselves.
    const bool says_when = note.text.find(" in ") != std::string::npos ||
                           note.text.find("backs off") != std::string::npos;
    if (!note.runs && note.until && !says_when) {
      text += fmt::format("; next look in {}", time_text(*note.until - snapshot.now));
    }
    text += '\n';
  }
  return text;
}

std::string budget_lines(const PolicyPlan& plan, const Decision& decision) {
  const PolicySettings& settings = plan.settings;
  const auto capacity = CpuBucket::capacity(settings.cpu_percent, settings.round);
  std::string text =
      fmt::format("  CPU: {} of {} left; {} % of one core flow in\n", cpu_text(decision.cpu_left),
                  cpu_text(capacity), settings.cpu_percent);
  text += fmt::format("  pages: {} a round of {} to recompress and cluster, {} to write back\n",
                      settings.max_pages, duration_text(settings.round), settings.writeback_pages);
  if (decision.day_bytes_left) {
    text += fmt::format("  writeback: {} of {} for 24 hours left\n",
                        size_words(*decision.day_bytes_left), size_words(*settings.bytes_per_day));
  } else {
    text += "  writeback: as many bytes a day as there are\n";
  }
  return text;
}

}  // namespace

std::string explain(const PolicyPlan& plan, const PolicySnapshot& snapshot,
                    const Decision& decision) {
  if (!plan.settings.is_on) {
    return "policy: off; nothing happens by itself. \"on\" starts it.\n";
  }
  std::string text = fmt::format("policy: on; {}\n", decision.reason);
  if (decision.wake_at) {
    text += fmt::format("next look: in {}\n", time_text(*decision.wake_at - snapshot.now));
  }
  text += fmt::format("pressure: {}; {}; {}\n", pressure_name(decision.pressure),
                      psi_words(plan.settings, snapshot), limit_words(plan.settings, snapshot));
  text +=
      fmt::format("stages, in their order; sweeps are {} apart:\n", time_text(plan.ladder.tick));
  text += stage_lines(plan, snapshot, decision);
  text += "budgets:\n" + budget_lines(plan, decision);
  return text;
}

}  // namespace uzram
