// SPDX-License-Identifier: Apache-2.0
// bench/policy_bench.h: what readers notice of work in the background.
//
// What:   a device holds the corpus; one thread reads pages of its second half at random, first
//         while the first half is demoted in the background, and then alone. In the background is
//         the device's own policy, or else rounds of its size by a thread that makes no pauses.
// Units:  nanoseconds.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"

namespace uzram::bench {

struct PolicyBenchPlan {
  int rounds = 5;
  int processor = 0;  // Of the reader.
  // Of the policy: "on" and its words. Empty: rounds without pauses.
  std::string settings = {};
  double seconds = 2;                // How long reads go on beside the policy.
  std::uint64_t round_pages = 4096;  // Of rounds without pauses.
};

// Errors: EINVAL settings that the policy does not take; EBADMSG when the background has touched
// the reader's half; ENODATA when it did nothing, or too little for a measurement.
Result<nlohmann::json> measure_reads_beside_policy(const Corpus& corpus,
                                                   const PolicyBenchPlan& plan);

}  // namespace uzram::bench
