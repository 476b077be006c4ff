// SPDX-License-Identifier: Apache-2.0
// bench/memory_bench.h: what stored pages cost in memory, everything counted.
//
// What:   measure_memory fills a device and compares its own account with what the system says.
//         measure_overhead follows the pool through a fill, four random overwrites of everything,
//         and the freeing of a random half.
// Units:  bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"

namespace uzram::bench {

Result<nlohmann::json> measure_memory(const Corpus& corpus, const std::string& algorithm);
Result<nlohmann::json> measure_overhead(const Corpus& corpus, const std::string& algorithm);

}  // namespace uzram::bench
