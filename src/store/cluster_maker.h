// SPDX-License-Identifier: Apache-2.0
// store/cluster_maker.h: packs cold neighbours together.
//
// What:    takes pages that a filter wants in the order of the device, 2 to 32 at a time, and packs
//          them as one object, if that costs less than they do. Pages of smaller clusters and of
//          mostly dead ones are taken along. Not here: which pages are cold, and when (policy/).
// Errors:  EINVAL a size or level that clusters do not have; ENOMEM no context; ENOSPC, ENOMEM from
//          the pool. Work that was done stays.
// Threads: one at a time: holds the store's background mutex. Pages that are used meanwhile are
//          left alone.
// Memory:  a context, and twice the cluster's pages, while it runs; the store's cluster cache.
// Laws:    3, 4, 8.
// Proof:   cluster_maker_test.cc, store_cluster_test.cc, store_model_test.cc.
#pragma once

#include <optional>

#include "store/recompressor.h"

namespace uzram {

struct ClusterRequest {
  PageFilter pages;
  std::size_t cluster_pages = 16;  // 2 to kMostClusterPages.
  int level = 3;                   // Of zstd.
  std::optional<std::uint64_t> most_pages = std::nullopt;
  std::optional<std::chrono::microseconds> most_cpu = std::nullopt;
  PageIndex first = {};  // The slot to begin with: BackgroundOutcome::next of the step before.
  // Only the living pages of mostly dead clusters.
  bool only_mostly_dead = false;
};

Result<BackgroundOutcome> make_clusters(Store& store, const ClusterRequest& request,
                                        const StopSignal& stop);

}  // namespace uzram
