// SPDX-License-Identifier: Apache-2.0
// store/recompressor.h: packs pages again with a slower algorithm that packs them smaller.
//
// What:    single pages and shared contents, the largest first. A page that gets no smaller size
//          class stays as it is. Not here: clusters (cluster_maker.h), when to do it (policy/).
// Errors:  EINVAL no algorithm at the priority, or a threshold that nothing reaches; ENOMEM no
//          context. Work that was done stays.
// Threads: one at a time: holds the store's background mutex. Pages that are used meanwhile are
//          left alone.
// Memory:  a context and two pages while it runs.
// Laws:    3, 4, 8.
// Source:  the kernel's recompress (facts in docs/attributes.md).
// Proof:   recompressor_test.cc, store_model_test.cc.
#pragma once

#include <optional>

#include "store/page_filter.h"
#include "store/store.h"

namespace uzram {

struct RecompressRequest {
  PageFilter pages;
  int priority = 1;                                        // 1 to 3.
  std::size_t threshold_bytes = 0;                         // Packed pages below stay; 0: none.
  std::optional<std::uint64_t> most_pages = std::nullopt;  // Attempts, not successes.
  std::optional<std::chrono::microseconds> most_cpu = std::nullopt;
};

struct BackgroundOutcome {
  std::uint64_t tried_pages = 0;
  std::uint64_t changed_pages = 0;
  std::uint64_t saved_bytes = 0;  // Of the pool.
  bool has_seen_all = false;      // Came to the end of the device.
  PageIndex next;                 // Where to go on; a step that has seen all says slot 0.
};

Result<BackgroundOutcome> recompress(Store& store, const RecompressRequest& request,
                                     const StopSignal& stop);

}  // namespace uzram
