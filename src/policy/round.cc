// SPDX-License-Identifier: Apache-2.0
#include "policy/round.h"

#include <fmt/format.h>

#include "base/units.h"

namespace uzram {

namespace {

using std::chrono::milliseconds;

// Deep clusters are for CPU that nobody waits for: processes wait for less than this share of time.
constexpr double kIdleCpuPercent = 1.0;

std::optional<Hold> hold_deep(const Round& round) {
  const PolicySnapshot& snapshot = round.snapshot;
  const milliseconds quiet = round.settings().quiet;
  if (snapshot.since_foreground_request < quiet) {
    return Hold{fmt::format("waits until the device has been quiet for {}", time_text(quiet)),
                round.now() + quiet - snapshot.since_foreground_request};
  }
  if (snapshot.cpu_some_avg10_percent && *snapshot.cpu_some_avg10_percent >= kIdleCpuPercent) {
    return Hold{
        fmt::format("waits for idle CPU: processes wait for one {:.1f} % of the time, not below "
                    "{:.1f} %",
                    *snapshot.cpu_some_avg10_percent, kIdleCpuPercent),
        round.now() + kLook};
  }
  return std::nullopt;
}

std::optional<Hold> hold_writeback(const Round& round) {
  switch (round.snapshot.backing) {
    case BackingState::Stalls:
      return Hold{"waits: the backing store does not answer", round.now() + kLook};
    case BackingState::Full:
      return Hold{"waits: the backing store is full", std::nullopt};
    case BackingState::Failed:
      return Hold{"stopped: the backing store has failed", std::nullopt};
    case BackingState::Limited:
      return Hold{"waits: writeback_limit lets nothing more go to the backing store", std::nullopt};
    case BackingState::Works:
      break;
  }
  if (round.decision.day_bytes_left && *round.decision.day_bytes_left < kPageBytes) {
    return Hold{fmt::format("waits: {} of {} for 24 hours are left",
                            size_words(*round.decision.day_bytes_left),
                            size_words(*round.settings().bytes_per_day)),
                round.state.day.relief_at()};
  }
  return std::nullopt;
}

std::optional<Hold> hold_backoff(const Round& round) {
  const milliseconds until = round.state.backoff_until;
  if (round.now() >= until || round.decision.pressure == PressureLevel::Hard) return std::nullopt;
  return Hold{fmt::format("backs off: {} foreground requests a second, a burst is above {}",
                          round.state.burst_requests, round.settings().burst.value_or(0)),
              until};
}

std::optional<Hold> hold_rest(const Round& round, Stage stage) {
  const StageRest& rest = round.state.rests[index_of(stage)];
  if (round.sweeps >= rest.until_sweep || round.note(stage).age < rest.age) return std::nullopt;
  const std::uint64_t sweeps = rest.until_sweep - round.sweeps;
  return Hold{fmt::format("has been through the whole device; rests for {} more {}", sweeps,
                          sweeps == 1 ? "sweep" : "sweeps"),
              std::nullopt};
}

}  // namespace

std::optional<Hold> hold_of(const Round& round, Stage stage) {
  if (round.note(stage).age == 0) return Hold{round.plan.stage(stage).why_not, std::nullopt};
  std::optional<Hold> hold;
  if (needs_cpu(stage)) hold = hold_backoff(round);
  if (!hold && stage == Stage::DeepCluster) hold = hold_deep(round);
  if (!hold && stage == Stage::WriteBack) hold = hold_writeback(round);
  if (!hold) hold = hold_rest(round, stage);
  return hold;
}

std::string age_words(const Round& round, Stage stage) {
  if (round.decision.pressure == PressureLevel::None) {
    return fmt::format("untouched for {}", duration_text(*round.plan.stage(stage).after));
  }
  const milliseconds floor = round.plan.ladder.floor(round.note(stage).age);
  if (floor == milliseconds(0)) return "untouched since the last sweep (pressure)";
  return fmt::format("untouched for {} (pressure)", time_text(floor));
}

}  // namespace uzram
