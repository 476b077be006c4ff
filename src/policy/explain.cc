// SPDX-License-Identifier: Apache-2.0
#include "policy/explain.h"

#include <fmt/format.h>

namespace uzram {

namespace {

std::string psi_line(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  if (!settings.psi_percent) return "  PSI is not asked\n";
  if (!snapshot.memory_some_avg10_percent) return "  this kernel shows no PSI\n";
  return fmt::format("  processes wait for memory {:.1f} % of the time; pressure begins at {} %\n",
                     *snapshot.memory_some_avg10_percent, *settings.psi_percent);
}

std::string limit_line(const PolicySettings& settings, const PolicySnapshot& snapshot) {
  if (!settings.limit_percent) return "  mem_limit is not asked\n";
  if (snapshot.mem_limit_bytes == 0) return "  no mem_limit is set\n";
  return fmt::format("  {} of mem_limit {} are used; pressure begins at {} %\n",
                     size_words(snapshot.pool_bytes), size_words(snapshot.mem_limit_bytes),
                     *settings.limit_percent);
}

// How long pages wait for a stage.
std::string waiting_words(const PolicyPlan& plan, int age, Stage stage) {
  const StagePlan& planned = plan.stage(stage);
  std::string text = fmt::format("after {}, at the latest {}", duration_text(*planned.after),
                                 time_text(plan.ladder.ceiling(planned.age)));
  if (age != planned.age) {
    text += fmt::format("; under this pressure {} to {}", time_text(plan.ladder.floor(age)),
                        time_text(plan.ladder.ceiling(age)));
  }
  return text;
}

std::string stage_lines(const PolicyPlan& plan, const PolicySnapshot& snapshot,
                        const Decision& decision, Stage stage) {
  const StageNote& note = decision.note(stage);
  if (!plan.stage(stage).after) return fmt::format("  {}: {}\n", stage_name(stage), note.text);
  std::string text =
      fmt::format("  {}: {}\n    {}{}\n", stage_name(stage), waiting_words(plan, note.age, stage),
                  note.runs ? "now: " : "", note.text);
  if (note.runs) return text;
  if (note.eligible_pages != 0)
    text += fmt::format("    {} pages are ready\n", note.eligible_pages);
  if (note.until) {
    text += fmt::format("    next look in {}\n", time_text(*note.until - snapshot.now));
  }
  return text;
}

std::string budget_lines(const PolicyPlan& plan, const Decision& decision) {
  const PolicySettings& settings = plan.settings;
  const auto capacity = CpuBucket::capacity(settings.cpu_percent, settings.round);
  std::string text =
      fmt::format("  CPU: {} of {} left; fills with {} % of one core\n",
                  cpu_text(decision.cpu_left), cpu_text(capacity), settings.cpu_percent);
  text += fmt::format("  pages: in {} recompress and cluster {}, write back {}\n",
                      duration_text(settings.round), settings.max_pages, settings.writeback_pages);
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
  text += fmt::format("pressure: {}\n", pressure_name(decision.pressure));
  text += psi_line(plan.settings, snapshot) + limit_line(plan.settings, snapshot);
  text += fmt::format("stages; sweeps are {} apart:\n", time_text(plan.ladder.tick));
  for (const Stage stage : kStages) text += stage_lines(plan, snapshot, decision, stage);
  text += "budgets:\n" + budget_lines(plan, decision);
  return text;
}

}  // namespace uzram
