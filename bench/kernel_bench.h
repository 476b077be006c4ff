// SPDX-License-Identifier: Apache-2.0
// bench/kernel_bench.h: one page at a time, our device in process against a block device.
//
// What:   Device::write and Device::read against pwrite and pread of 4 KiB with O_DIRECT, the same
//         pages in the same order, turn by turn; then one pass of each in which every request is
//         timed. The block device (the kernel's zram, set up by bench/run) is overwritten.
// Units:  nanoseconds per page.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"

namespace uzram::bench {

struct KernelPlan {
  std::string path;
  std::string algorithm;  // Of our device; the block device has its own already.
  int rounds = 7;
  int processor = 0;
};

// Errors: those of open(), and of the requests of either side.
Result<nlohmann::json> measure_kernel(const Corpus& corpus, const KernelPlan& plan);

}  // namespace uzram::bench
