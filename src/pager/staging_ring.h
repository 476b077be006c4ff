// SPDX-License-Identifier: Apache-2.0
// pager/staging_ring.h: pages on their way out: a queue of clusters that wait to be packed.
//
// What:    which slot of staging holds which pages, which of them nobody has begun to pack, and
//          which slot is free. It is write-behind queue and second chance in one: a page that is
//          touched here comes back without being unpacked. Not here: the pages themselves, and what
//          a page is (page_words.h): a page that came back is still queued, and found gone.
// Shapes:  a slot is kClusterPages pages; a page stands in its slot where it stands in its cluster.
//              take_slot         fill         claim (all claimed)       finish (all finished)
//          Free --------> Taken ------> Queued ----------------> Working -----------------> Taken
//            ^--------------------------------- free_slot ----------------------------------/
// Threads: every member from any thread, also in a fault handler: a mutex that is held for a few
//          instructions and never during a fault.
// Memory:  allocates when it is made, and never again.
// Laws:    5.
// Proof:   staging_ring_test.cc.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/mutex.h"
#include "pager/memory_backend.h"

namespace uzram {

class StagingRing {
 public:
  explicit StagingRing(std::size_t slot_count);

  // Pages of one slot that the caller shall pack. Bit i of `mask`: page first_page + i, which
  // stands at staging page slot * kClusterPages + i.
  struct Batch {
    std::uint32_t slot = 0;
    std::uint64_t first_page = 0;
    std::uint64_t mask = 0;
  };

  [[nodiscard]] std::optional<std::uint32_t> take_slot();
  // Gives back a slot without content. Requires: taken, or finished.
  void free_slot(std::uint32_t slot);
  // Queues a taken slot. Requires: mask != 0.
  void fill(std::uint32_t slot, std::uint64_t first_page, std::uint64_t mask);
  // The oldest pages that nobody has begun to pack, at most `most` of one slot.
  [[nodiscard]] std::optional<Batch> claim(unsigned most);
  // Says that the batch needs no staging any more. Returns: the mask of all pages that the slot
  // held, when this was the last of them: the caller forgets their memory and frees the slot.
  [[nodiscard]] std::uint64_t finish(const Batch& batch);
  // Takes a claim back: the pages wait again, before all others.
  void unclaim(const Batch& batch);

  // Pages in slots that are queued, claimed or not.
  [[nodiscard]] std::uint64_t queued_pages() const;
  [[nodiscard]] std::size_t slot_count() const { return slot_count_; }
  [[nodiscard]] std::uint64_t memory_bytes() const;
  // Aborts when slots, lists and counts contradict each other.
  void check_invariants() const;

 private:
  struct Slot {
    std::uint64_t first_page = 0;
    std::uint64_t held = 0;        // Pages that it was filled with; 0: not filled.
    std::uint64_t unclaimed = 0;   // Of these, those that nobody packs.
    std::uint64_t unfinished = 0;  // Of these, those that may still be here.
    bool is_free = true;
  };

  const std::size_t slot_count_;
  mutable Mutex mutex_;
  std::vector<Slot> slots_ UZ_GUARDED_BY(mutex_);
  std::vector<std::uint32_t> free_ UZ_GUARDED_BY(mutex_);
  // Queued slots with unclaimed pages, oldest first: a ring of slot_count entries.
  std::vector<std::uint32_t> queue_ UZ_GUARDED_BY(mutex_);
  std::size_t front_ UZ_GUARDED_BY(mutex_) = 0;
  std::size_t queued_ UZ_GUARDED_BY(mutex_) = 0;
  std::uint64_t queued_pages_ UZ_GUARDED_BY(mutex_) = 0;
};

}  // namespace uzram
