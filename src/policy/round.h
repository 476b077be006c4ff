// SPDX-License-Identifier: Apache-2.0
// policy/round.h: one decision in the making. Inside of decide(); not for other rooms.
//
// What:    what the stages of one decision share, and why a stage may be held back.
// Owns:    nothing; everything outlives the call of decide().
// Proof:   decide_test.cc.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "policy/decide.h"

namespace uzram {

// While there are pages, somebody looks so often: PSI's shortest average is over 10 seconds, and
// the rate of requests is measured between two looks.
inline constexpr std::chrono::milliseconds kLook{10'000};

struct Round {
  const PolicyPlan& plan;
  const PolicySnapshot& snapshot;
  PolicyState& state;
  Decision& decision;
  std::uint64_t sweeps;                // Made before this decision.
  std::chrono::milliseconds due_at;    // When work may go on.
  std::chrono::microseconds cpu_left;  // Less what this decision has given away.
  std::uint64_t pages_left;            // The same, for recompression and clusters.

  [[nodiscard]] StageNote& note(Stage stage) const { return decision.notes[index_of(stage)]; }
  [[nodiscard]] std::chrono::milliseconds now() const { return snapshot.now; }
  [[nodiscard]] const PolicySettings& settings() const { return plan.settings; }
};

// Why a stage does nothing, whatever pages there are.
struct Hold {
  std::string text;
  std::optional<std::chrono::milliseconds> until;
};
[[nodiscard]] std::optional<Hold> hold_of(const Round& round, Stage stage);

// Whether the stage takes time that a foreground request may want: recompression and clusters.
[[nodiscard]] constexpr bool needs_cpu(Stage stage) {
  return stage != Stage::Idle && stage != Stage::WriteBack;
}

// How old pages must be: "untouched for 20m", or what is left of that under pressure.
[[nodiscard]] std::string age_words(const Round& round, Stage stage);

}  // namespace uzram
