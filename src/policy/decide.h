// SPDX-License-Identifier: Apache-2.0
// policy/decide.h: what a device should do next, and why. Decisions only: no page is touched here.
//
// What:    decide() turns a plan, the state that the last decision left, and a snapshot into the
//          next state and a decision. Pure: the same input gives the same decision. Not here:
//          carrying it out (device/), putting it into words for a person (explain.h).
// Shapes:  a decision's steps stand in the order of Stage, each stage at most once, except that
//          WriteBack may come twice (pages that do not compress first). A step never comes without
//          a reason.
// Pressure: each level of pressure halves every threshold (and then takes the largest age that
//          fits, not the smallest that is safe), so pages move on earlier. Budgets stay what they
//          are. Hard pressure also ends the back-off.
// Back-off: after a burst of foreground requests the steps that need much CPU wait (recompression,
//          clusters); sweeps and writeback go on.
// Ranges:  where several stages could take a page, the last of them that is not held back takes
//          it, so nothing is packed twice in a row. Writeback takes what is old enough in any form.
// Rest:    a stage that has walked over the whole device rests until ages have advanced, or until
//          pressure lowers its age. If it changed next to nothing, it rests for twice as many
//          sweeps each time, up to 16.
// Laws:    nothing while off; budgets as in budgets.h; in a round at most max_pages for
//          recompression and clusters together, and at most writeback_pages.
// Threads: pure functions over values.
// Proof:   decide_test.cc, decide_property_test.cc (printed seed), policy_simulation_test.cc.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/age_ladder.h"
#include "policy/budgets.h"
#include "policy/policy_settings.h"
#include "policy/policy_snapshot.h"
#include "policy/pressure.h"
#include "policy/stage.h"

namespace uzram {

// What the device can do; constant from disksize to reset.
struct PolicyAbilities {
  std::array<bool, 4> has_priority{true, false, false, false};  // Algorithms by priority.
  bool has_clusters = true;
  bool has_backing = false;
  friend bool operator==(const PolicyAbilities&, const PolicyAbilities&) = default;
};

struct StagePlan {
  std::optional<std::chrono::seconds> after;  // Absent: the stage never runs,
  std::string why_not;                        // for this reason.
  int age = 0;                                // Without pressure. At least 1.
};

// What follows from the settings once and for all. Made when the policy is switched on.
struct PolicyPlan {
  PolicySettings settings;
  PolicyAbilities abilities;
  AgeLadder ladder;
  std::array<StagePlan, kStageCount> stages;
  [[nodiscard]] const StagePlan& stage(Stage stage) const { return stages[index_of(stage)]; }
};
[[nodiscard]] PolicyPlan make_policy_plan(const PolicySettings& settings,
                                          const PolicyAbilities& abilities);

struct PolicyStep {
  Stage stage = Stage::Idle;
  // Idle: pages of the ages in `advancing` become one older; then those of at least `age` get the
  // idle mark. `is_restart`: instead every page's age becomes 0, what ages meant before is void.
  bool is_restart = false;
  AgeMask advancing = 0;
  // All others: pages of at least this age, and younger than `below_age`, since older ones go
  // straight to a later stage. A cluster is as old as its youngest member.
  int age = 0;
  int below_age = kPageAges;
  std::uint64_t max_pages = 0;          // Stop when so many have changed or failed, or
  std::chrono::microseconds max_cpu{};  // when this is used up, or (WriteBack)
  std::uint64_t max_bytes = 0;          // before more would be written.
  int priority = 0;                     // Recompress: to this algorithm.
  int cluster_pages = 0;                // Clusters: so many neighbours,
  int level = 0;                        // zstd at this level, from smaller clusters and singles.
  WritebackPick pick = WritebackPick::Any;
  std::string reason;  // One line.
};

// What one stage does or waits for.
struct StageNote {
  bool runs = false;
  int age = 0;  // With pressure; 0: the stage is off.
  std::uint64_t eligible_pages = 0;
  std::optional<std::chrono::milliseconds> until;  // When it is worth another look, if known.
  std::string text;                                // One line.
};

struct Decision {
  std::vector<PolicyStep> steps;
  std::array<StageNote, kStageCount> notes;
  std::string reason;                                // One line for the whole of it.
  std::optional<std::chrono::milliseconds> wake_at;  // Decide again then. Absent: never (off).
  PressureLevel pressure = PressureLevel::None;
  // What was left before these steps.
  std::chrono::microseconds cpu_left{};
  std::optional<std::uint64_t> day_bytes_left;  // Absent: no limit.
  [[nodiscard]] const StageNote& note(Stage stage) const { return notes[index_of(stage)]; }
};

struct StageRest {
  std::uint64_t until_sweep = 0;    // Rests while fewer sweeps were made,
  int age = 0;                      // and the stage would take no younger pages than this.
  std::uint32_t sweeps = 0;         // How long it rested the last time.
  std::uint64_t changed_pages = 0;  // In this walk over the device.
  std::uint64_t failed_pages = 0;
  friend bool operator==(const StageRest&, const StageRest&) = default;
};

// What one decision leaves for the next. Starts empty.
struct PolicyState {
  bool has_ages = false;  // Ages count from the first sweep under this plan.
  std::chrono::milliseconds last_sweep{};
  std::uint64_t sweep_count = 0;
  std::optional<std::chrono::milliseconds> last_round;
  std::optional<std::chrono::milliseconds> last_look;
  std::uint64_t seen_requests = 0;
  std::uint64_t requests_per_second = 0;
  std::uint64_t burst_requests = 0;  // A second, in the burst that began the back-off.
  std::chrono::milliseconds backoff_until{};
  CpuBucket cpu;
  DayWindow day;
  std::array<StageRest, kStageCount> rests{};
  std::array<int, kStageCount> asked_ages{};  // Of the last decision's steps; 0: none.
  std::array<std::uint32_t, kStageCount> nanoseconds_per_page{};  // Measured; 0: not yet.
};
// For a new plan on the same device: ages start again, budgets go on.
[[nodiscard]] PolicyState restarted(const PolicyState& state);

struct DecideResult {
  PolicyState state;
  Decision decision;
};
[[nodiscard]] DecideResult decide(const PolicyPlan& plan, const PolicyState& state,
                                  const PolicySnapshot& snapshot);

}  // namespace uzram
