// SPDX-License-Identifier: Apache-2.0
// bench/library_bench.h: what storing and fetching a page costs above the compression library.
//
// What:   the bare call of the library against Device::write and Device::read, on the same pages in
//         the same order, turn by turn. Source pages stream from memory; the bare compression
//         writes to a small hot buffer; the bare decompression reads packed pages that lie
//         scattered over as much memory as they need, in random order, into a hot page.
// Units:  nanoseconds per page; one value per round in the answer.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"

namespace uzram::bench {

struct LibraryPlan {
  std::string algorithm;  // lz4 or zstd
  int rounds = 7;
  int processor = 0;
  bool has_page_checks = true;
};

// Errors: EINVAL an algorithm that this cannot call by itself; those of the device.
Result<nlohmann::json> measure_library(const Corpus& corpus, const LibraryPlan& plan);

}  // namespace uzram::bench
