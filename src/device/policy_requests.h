// SPDX-License-Identifier: Apache-2.0
// device/policy_requests.h: from the words of policy/ to those of store/ and back.
//
// What:    a step as the request that carries it out; the store's census as the policy's. Not here:
//          when (policy/decide.h), carrying out (policy_runner.h).
// Threads: pure functions over values.
// Proof:   policy_requests_test.cc.
#pragma once

#include "policy/decide.h"
#include "store/cluster_maker.h"
#include "store/page_ages.h"
#include "store/recompressor.h"
#include "store/writeback.h"

namespace uzram {

// A cluster of a size between two of the settings' counts as the smaller kind.
[[nodiscard]] PageCensus page_census(const SlotCensus& slots, const PolicySettings& settings);

// Requires for each: a step of that kind. `first`: where the step before has stopped.
[[nodiscard]] AgeSweep age_sweep(const PolicyStep& step);
[[nodiscard]] RecompressRequest recompress_request(const PolicyStep& step);
[[nodiscard]] ClusterRequest cluster_request(const PolicyStep& step, PageIndex first);
[[nodiscard]] WritebackRequest writeback_request(const PolicyStep& step, PageIndex first);

}  // namespace uzram
