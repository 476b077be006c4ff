// SPDX-License-Identifier: Apache-2.0
// policy/explain.h: a decision in words, for `uzram policy zram0 --explain`.
//
// What:    several lines, each ended by a newline: what happens next and why, what each stage waits
//          for, how much of each budget is left. Every number has its unit.
// Proof:   explain_test.cc (golden texts).
#pragma once

#include <string>

#include "policy/decide.h"

namespace uzram {

// `decision` is what decide() made of this plan and this snapshot.
[[nodiscard]] std::string explain(const PolicyPlan& plan, const PolicySnapshot& snapshot,
                                  const Decision& decision);

}  // namespace uzram
