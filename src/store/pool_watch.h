// SPDX-License-Identifier: Apache-2.0
// store/pool_watch.h: keeps the pool from growing while objects are replaced by smaller ones.
//
// What:    new objects take new pages at once, and the old ones leave holes, which only compaction
//          gives back: without a watch, packing everything anew takes a fifth more memory before it
//          takes a third less.
// Threads: one at a time, which may hold the store's background mutex, but no slot.
// Proof:   recompressor_test.cc, cluster_maker_test.cc.
#pragma once

#include <algorithm>

#include "store/store.h"

namespace uzram {

class PoolWatch {
 public:
  explicit PoolWatch(Store& store) : store_(store) { set_limit(); }

  // After each replacement.
  void look() {
    if (store_.pool().resident_pages() <= limit_pages_) return;
    store_.maintain();
    set_limit();
  }

 private:
  // So much more is not worth a walk over the table.
  static constexpr std::uint64_t kLeastSlackPages = 256;
  static constexpr std::uint64_t kSlackShare = 32;

  void set_limit() {
    const std::uint64_t resident = store_.pool().resident_pages();
    limit_pages_ = resident + std::max(kLeastSlackPages, resident / kSlackShare);
  }

  Store& store_;
  std::uint64_t limit_pages_ = 0;
};

}  // namespace uzram
