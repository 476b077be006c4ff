// SPDX-License-Identifier: Apache-2.0
// preload/paged_space.h: the addresses that a program gets from a pager, in granules.
//
// What:    PagedSpace: one stretch of addresses over the regions of one pager; runs of granules are
//          taken and given back. Not here: blocks of a heap (block_heap.h), what mmap promises
//          (paged_mappings.h).
// Shapes:  a granule is 256 KiB; the first begins at a multiple of 2 MiB. Regions of 64 MiB are
//          made as they are needed and never closed.
// Owns:    the pager; a bit a granule and a byte a page outside paged memory.
// Errors:  take -> null: no addresses left. keep -> ENOMEM no room in the limit, EAGAIN too many
//          pins.
// Threads: every member from any thread; nothing here may run in a signal handler but contains and
//          is_protected.
// Laws:    5.
// Proof:   paged_space_test.cc.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/mutex.h"
#include "base/sparse_array.h"
#include "pager/pager.h"

namespace uzram {

class PagedSpace {
 public:
  static constexpr std::uint64_t kGranuleBytes = std::uint64_t{256} << 10;
  static constexpr std::uint64_t kGranulePages = kGranuleBytes / kPageBytes;
  static constexpr std::uint64_t kMostAlignment = std::uint64_t{2} << 20;
  static constexpr std::uint64_t kRegionBytes = std::uint64_t{64} << 20;

  // Why a page must stay where it is, and what it may be used for.
  enum class Keep : std::uint8_t {
    Protected = 1,  // mprotect: its access is not read and write.
    Locked = 2,     // mlock, a stack, a buffer of a stream: the kernel may use it at any time.
  };

  // Errors: those of Pager::create.
  static Result<std::unique_ptr<PagedSpace>> create(const PagerConfig& config);

  [[nodiscard]] bool contains(const void* address) const { return offset_of(address) < bytes_; }
  [[nodiscard]] std::byte* base() const { return base_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }
  [[nodiscard]] std::uint64_t granule_of(const void* address) const {
    return offset_of(address) / kGranuleBytes;
  }
  [[nodiscard]] std::byte* address_of(std::uint64_t granule) const {
    return base_ + granule * kGranuleBytes;
  }
  [[nodiscard]] std::uint64_t granule_count() const { return bytes_ / kGranuleBytes; }
  [[nodiscard]] Pager& pager() { return *pager_; }
  // More can never be in memory at once.
  [[nodiscard]] std::uint64_t limit_bytes() const { return limit_bytes_; }

  // A run of granules that read as zeros. Requires: alignment is a power of two, at most
  // kMostAlignment.
  [[nodiscard]] std::byte* take(std::uint64_t granules, std::uint64_t alignment = kGranuleBytes);
  // The granules behind a run, if all of them are free.
  [[nodiscard]] bool take_behind(std::uint64_t first, std::uint64_t granules);
  // Requires: taken. Their content is forgotten.
  void give(std::uint64_t first, std::uint64_t granules);

  [[nodiscard]] bool is_granule_taken(std::uint64_t granule) {
    const MutexLock lock(mutex_);
    return is_taken(granule);
  }

  // Whole pages inside the range read as zeros afterwards, also those that are pinned.
  void forget(std::byte* start, std::uint64_t bytes);

  // Keeps pages in memory until they are released or forgotten. Keeping them twice for one reason
  // is keeping them once.
  Result<void> keep(const void* start, std::uint64_t bytes, Keep reason);
  void release(const void* start, std::uint64_t bytes, Keep reason);
  [[nodiscard]] bool is_kept(const void* address, Keep reason) const;
  [[nodiscard]] bool is_protected(const void* address) const {
    return is_kept(address, Keep::Protected);
  }

  // Around fork(): nobody else changes anything meanwhile.
  void lock_for_fork() UZ_ACQUIRE(mutex_) { mutex_.lock(); }
  void unlock_after_fork() UZ_RELEASE(mutex_) { mutex_.unlock(); }

  // What programs have taken.
  [[nodiscard]] std::uint64_t taken_bytes() const {
    return taken_count_.load(std::memory_order_relaxed) * kGranuleBytes;
  }

 private:
  PagedSpace(std::unique_ptr<Pager> pager, std::uint64_t limit_bytes, std::byte* base,
             std::uint64_t bytes, std::uint64_t open_bytes, SparseArray<std::uint64_t> taken,
             SparseArray<std::uint8_t> kept);
  [[nodiscard]] std::uint64_t offset_of(const void* address) const {
    return reinterpret_cast<std::uint64_t>(address) - reinterpret_cast<std::uint64_t>(base_);
  }
  [[nodiscard]] bool is_taken(std::uint64_t granule) const UZ_REQUIRES(mutex_);
  void mark(std::uint64_t first, std::uint64_t granules, bool is) UZ_REQUIRES(mutex_);
  [[nodiscard]] bool open_up_to(std::uint64_t granule_end) UZ_REQUIRES(mutex_);
  void release_pages(std::uint64_t first, std::uint64_t end, unsigned reasons);

  // constant after construction
  const std::unique_ptr<Pager> pager_;
  const std::uint64_t limit_bytes_;
  std::byte* const base_;
  const std::uint64_t bytes_;
  // synchronizes itself
  std::atomic<std::uint64_t> taken_count_{0};  // Relaxed: a count.
  std::atomic<std::uint64_t> kept_count_{0};   // Relaxed: whether there is anything to look for.
  SparseArray<std::uint8_t> kept_;             // A byte a page; changed under keep_mutex_.
  Mutex keep_mutex_;
  Mutex mutex_;
  SparseArray<std::uint64_t> taken_ UZ_GUARDED_BY(mutex_);  // A bit a granule.
  std::uint64_t open_bytes_ UZ_GUARDED_BY(mutex_);          // From base_, in regions.
  std::uint64_t search_from_ UZ_GUARDED_BY(mutex_) = 0;     // All granules before are taken.
};

// No signal of the program interrupts this thread while it holds locks of pages: its handlers may
// touch the same pages.
class SignalShield {
 public:
  SignalShield();
  ~SignalShield();
  SignalShield(const SignalShield&) = delete;
  SignalShield& operator=(const SignalShield&) = delete;

 private:
  std::uint64_t former_ = 0;
};

}  // namespace uzram
