// SPDX-License-Identifier: Apache-2.0
// bench/dedup_bench.h: what deduplication finds, and what it costs writes that find nothing.
//
// What:   the share of the corpus's duplicates that a device finds, against a count by comparing
//         all pages; memory of what finds them; the time of writes with it and without, round by
//         round, on pages none of which is a duplicate.
// Units:  nanoseconds per page, bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "bench/corpus.h"

namespace uzram::bench {

struct DedupPlan {
  int rounds = 7;
  int processor = 0;
};

Result<nlohmann::json> measure_dedup(const Corpus& corpus, const DedupPlan& plan);

}  // namespace uzram::bench
