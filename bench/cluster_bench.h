// SPDX-License-Identifier: Apache-2.0
// bench/cluster_bench.h: what a cluster file costs above the codec alone.
//
// What:   the corpus packed into a new cluster file, to its last sync, against the codec that packs
//         the same clusters, one after the other, into a small hot buffer; both on one thread and
//         on two. Reads of 4 KiB from clusters that no buffer has, against the codec that unpacks
//         the same clusters as a whole, in the same order, into one hot buffer. Reads of 4 KiB from
//         buffers. The space that the file saves in its file system, against f2fs's rule on what
//         the codec made of each cluster. Rounds take turns.
// Units:  seconds for all of the content; nanoseconds per read; bytes.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "bench/corpus.h"
#include "cluster/cluster_options.h"

namespace uzram::bench {

struct ClusterPlan {
  ClusterOptions options;
  std::string folder = "/dev/shm";  // For the cluster file; should be in memory.
  std::size_t most_bytes = std::size_t{64} << 20;
  int rounds = 7;
  int processor = 0;
};

// Errors: those of the codec and of the file system.
Result<nlohmann::json> measure_clusters(const Corpus& corpus, const ClusterPlan& plan);

}  // namespace uzram::bench
