// SPDX-License-Identifier: Apache-2.0
// bench/mapping_bench.h: a cluster file through memory, against reading it.
//
// What:   the corpus as a cluster file, mapped by a pager whose limit is a quarter of it: one byte
//         of every page touched once, in random order with the hint Random, and in order without a
//         hint. Against ClusterFile::read of the same pages in the same order, 4 KiB at random and
//         128 KiB in order. Rounds take turns; each begins with
//         nothing in memory. All threads share one processor, so that what the pager does in the
//         background counts.
// Units:  nanoseconds per page.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "bench/cluster_bench.h"

namespace uzram::bench {

// Errors: those of the codec, of the file system and of the pager.
Result<nlohmann::json> measure_mapping(const Corpus& corpus, const ClusterPlan& plan);

}  // namespace uzram::bench
