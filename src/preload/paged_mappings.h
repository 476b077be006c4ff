// SPDX-License-Identifier: Apache-2.0
// preload/paged_mappings.h: private anonymous mappings in paged memory, with what the kernel
// promises for them.
//
// What:    PagedMappings: mmap, munmap of parts, mremap, mprotect and madvise. Not here: which
//          calls of a program come here (interpose/memory_calls.cc).
// Shapes:  mappings begin at a granule; parts are pages. Addresses behind the end of a mapping, up
//          to its granule's, belong to nobody: touching them is not found out.
// Owns:    64 bits a granule outside paged memory: which of its pages are mapped.
// Errors:  errno values as the system call gives them; 0 for success.
// Threads: every member from any thread.
// Proof:   paged_mappings_test.cc.
#pragma once

#include <cstdint>
#include <memory>

#include "preload/paged_space.h"

namespace uzram {

class PagedMappings {
 public:
  // `space` must outlive it.
  static Result<std::unique_ptr<PagedMappings>> create(PagedSpace& space);

  // Null: no addresses left.
  [[nodiscard]] std::byte* map(std::uint64_t bytes);
  // Whole pages. Pages of the range that nobody has mapped are passed over, as the kernel does.
  // Requires: the range lies in the space.
  int unmap(std::byte* start, std::uint64_t bytes);
  // Another access than read and write keeps the pages in memory. Errors: ENOMEM no room for that,
  // or pages that nobody has mapped.
  int protect(std::byte* start, std::uint64_t bytes, int protection);
  int advise(std::byte* start, std::uint64_t bytes, int advice);
  // Requires: no MREMAP_FIXED. Returns: the new place, or null with the error in `code`.
  std::byte* remap(std::byte* start, std::uint64_t old_bytes, std::uint64_t new_bytes,
                   bool may_move, int& code);
  // MAP_FIXED over pages of ours, for memory of the same kind: fresh zeros with another access.
  int map_over(std::byte* start, std::uint64_t bytes, int protection);

 private:
  PagedMappings(PagedSpace& space, SparseArray<std::uint64_t> mapped)
      : space_(space), mapped_(std::move(mapped)) {}
  static constexpr std::uint64_t kAllPages = ~std::uint64_t{0};
  // The bits of the pages [first, end) that lie in a granule.
  [[nodiscard]] static std::uint64_t bits_in(std::uint64_t granule, std::uint64_t first,
                                             std::uint64_t end);
  [[nodiscard]] bool is_mapped(std::uint64_t first, std::uint64_t end);
  // Mapped, or of a heap, whose pages a program may protect and advise about as well.
  [[nodiscard]] bool is_usable(std::uint64_t first, std::uint64_t end);
  void set_mapped(std::uint64_t first, std::uint64_t end);
  // The granules in which nothing is mapped any more are given back.
  void clear_mapped(std::uint64_t first, std::uint64_t end);
  [[nodiscard]] bool grow(std::byte* start, std::uint64_t old_bytes, std::uint64_t new_bytes);
  [[nodiscard]] std::uint64_t page_of(const std::byte* place) const {
    return static_cast<std::uint64_t>(place - space_.base()) / kPageBytes;
  }

  PagedSpace& space_;
  Mutex mutex_;
  SparseArray<std::uint64_t> mapped_ UZ_GUARDED_BY(mutex_);  // A bit a page, a word a granule.
  static_assert(PagedSpace::kGranulePages == 64);
};

}  // namespace uzram
