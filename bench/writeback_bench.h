// SPDX-License-Identifier: Apache-2.0
// bench/writeback_bench.h: how fast pages get to the backing store.
//
// What:   fills a device with pages that do not compress, or with the corpus, and writes all of
//         them back in one request. Only that request is timed.
// Shapes: the backing file must be there, and large enough.
// Errors: those of the backing store; ENODATA when not every page went.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"

namespace uzram::bench {

enum class WritebackContent { Incompressible, Corpus };

struct WritebackPlan {
  std::string path;
  WritebackContent content = WritebackContent::Incompressible;
  std::size_t mebibytes = 256;  // Of incompressible pages.
  bool encrypts = true;
};

Result<nlohmann::json> measure_writeback(const Corpus& corpus, const WritebackPlan& plan);

}  // namespace uzram::bench
