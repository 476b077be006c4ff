// SPDX-License-Identifier: Apache-2.0
// policy/observe.h: what a new snapshot adds to the policy's state.
//
// What:    budgets, the rate of foreground requests, what became of the last steps. Inside of
//          decide(); not for other rooms.
// Proof:   decide_test.cc, budgets_test.cc.
#pragma once

#include <cstdint>

#include "policy/decide.h"

namespace uzram {

// Changes `state` only.
void observe_snapshot(const PolicyPlan& plan, const PolicySnapshot& snapshot, PolicyState& state);

// What a page of this stage costs, measured or, before that, guessed.
[[nodiscard]] std::uint32_t nanoseconds_per_page(const PolicyState& state, Stage stage);

}  // namespace uzram
