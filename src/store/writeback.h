// SPDX-License-Identifier: Apache-2.0
// store/writeback.h: moves cold pages to the backing store.
//
// What:    single pages, shared contents and whole clusters that a filter wants, or pages by
//          number. Packed pages stay packed and share blocks; a cluster goes as one object when all
//          its pages are wanted. Not here: how objects lie on the store (backing/), how they come
//          back (store_backing.cc), the kernel's limit and its units (device/).
// Errors:  in the outcome: ENODEV no backing store; ENOSPC it is full; otherwise the last error of
//          the store, after all other pages were tried. A page that could not be written stays in
//          memory.
// Threads: one at a time: holds the store's background mutex. Pages that are used meanwhile are
//          left where they are. A second thread encrypts, unless most_cpu counts the time of one.
// Memory:  a byte for each page and cluster that is looked at, while it runs, and what the backing
//          store's writer has.
// Laws:    3, 4, 7.
// Proof:   writeback_test.cc, writeback_fault_test.cc, store_model_test.cc.
#pragma once

#include <optional>
#include <vector>

#include "store/recompressor.h"

namespace uzram {

struct PageRange {
  PageIndex first;
  PageIndex last;  // Included.
};

struct WritebackRequest {
  PageFilter pages;
  std::vector<PageRange> ranges = {};  // Empty: the whole device.
  // Pages that are packed stay so; otherwise single pages are written as they were.
  bool keep_packed = true;
  std::size_t most_in_flight = 32;  // Requests of up to 64 blocks each.
  std::optional<std::uint64_t> most_pages = std::nullopt;
  std::optional<std::uint64_t> most_blocks = std::nullopt;  // Of 4 KiB, written.
  std::optional<std::chrono::microseconds> most_cpu = std::nullopt;
  PageIndex first = {};  // Without ranges: the slot to begin with.
};

struct WritebackOutcome {
  std::uint64_t tried_pages = 0;
  std::uint64_t written_pages = 0;
  std::uint64_t written_blocks = 0;
  bool has_seen_all = false;
  PageIndex next = {};            // Where to go on; slot 0 when all was seen.
  bool is_limit_reached = false;  // most_blocks would not have held the next one.
  int error = 0;                  // 0, or the last errno value.
};

WritebackOutcome write_back(Store& store, const WritebackRequest& request, const StopSignal& stop);

}  // namespace uzram
