// SPDX-License-Identifier: Apache-2.0
// policy/eligible.h: which pages a stage takes, by what they are today.
//
// What:   one table for the decision, which counts, and for the device, which walks.
// Proof:  eligible_test.cc.
#pragma once

#include <cstdint>

#include "policy/policy_settings.h"
#include "policy/policy_snapshot.h"
#include "policy/stage.h"

namespace uzram {

// Whether this step is worth anything for a page of this form. `pick` matters to WriteBack only.
[[nodiscard]] bool takes(Stage stage, WritebackPick pick, PageForm form);

// A member of a cluster that was made of so many pages. Stages that are off have no form.
[[nodiscard]] PageForm cluster_form(const PolicySettings& settings, int pages);

// Pages that the stage takes, of ages from `age` to below `below_age`.
[[nodiscard]] std::uint64_t eligible_pages(const PageCensus& census, Stage stage,
                                           WritebackPick pick, int age, int below_age);

}  // namespace uzram
