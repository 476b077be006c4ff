// SPDX-License-Identifier: Apache-2.0
// bench/demotion_bench.h: what it costs to pack cold pages together, what it saves, and what it
// costs to read them again.
//
// What:   measure_demotion: CPU time and memory of each stage, with deduplication on; everything
//         that runs behind a stage (compaction) is waited for and counted with it.
//         measure_cold_reads: single pages of clusters that were not read before, one page from
//         each cluster in random order; then all pages in their order.
// Units:  nanoseconds, bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/corpus.h"
#include "bench/demotion.h"

namespace uzram::bench {

struct DemotionPlan {
  std::string algorithm = "lz4";  // Of the write.
  std::vector<Stage> stages;
  int rounds = 5;
  int processor = 0;
};

Result<nlohmann::json> measure_demotion(const Corpus& corpus, const DemotionPlan& plan);
// Errors: ENODATA the last stage has made no cluster of its size.
Result<nlohmann::json> measure_cold_reads(const Corpus& corpus, const DemotionPlan& plan);

}  // namespace uzram::bench
