// SPDX-License-Identifier: Apache-2.0
// pager/memory_backend.h: how pages appear at their addresses and leave them.
//
// What:    MemoryBackend, the span of addresses for all regions and for staging, and what can be
//          done to a page there; one row per way. Not here: which page, and when (pager_core.h).
// Shapes:  page numbers count from the start of the span; staging pages from the start of staging.
// Owns:    both address ranges, and what the kernel needs to know of them.
// Errors:  install -> ENOMEM the machine (its cgroup) has none. take -> how many pages went; the
//          rest stays as it is. Anything else would be a broken promise of the kernel: UZ_CHECK.
// Threads: every member from any thread, also from a fault handler; nothing allocates. The caller
//          holds the locks of all pages that it names.
// Laws:    5, 7.
// Proof:   memory_backend_test.cc and every test of the room, which run over all rows.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/units.h"
#include "pager/pager.h"

namespace uzram {

// What a page may be used for.
enum class PageAccess : std::uint8_t { Read, Write };

struct SpanShape {
  std::uint64_t span_pages = 0;     // Multiples of kClusterPages.
  std::uint64_t staging_pages = 0;  // At most 65,536.
};

class MemoryBackend {
 public:
  virtual ~MemoryBackend() = default;
  [[nodiscard]] std::byte* span() const { return span_; }
  [[nodiscard]] std::byte* staging() const { return staging_; }
  [[nodiscard]] const SpanShape& shape() const { return shape_; }

  // Which signal a touch of an absent page raises; 0: none that we handle.
  [[nodiscard]] virtual int fault_signal() const = 0;
  // Where faults are told as messages, while whoever has them waits (fault_threads.h); -1: nowhere.
  [[nodiscard]] virtual int fault_descriptor() const { return -1; }
  // Whoever waits for this page tries again. No other call here lets them.
  virtual void let_retry(std::uint64_t) {}
  // Lets pages of the span be used, or not any more. Requires for not: none is in memory.
  virtual Result<void> open_range(std::uint64_t first, std::uint64_t count) = 0;
  virtual Result<void> close_range(std::uint64_t first, std::uint64_t count) = 0;
  // Makes absent pages present with content from `source`. Each appears whole or not at all.
  // Returns: how many; less than `count` only when memory ended.
  virtual Result<std::uint64_t> install(std::uint64_t first, std::uint64_t count,
                                        const std::byte* source, PageAccess access) = 0;
  // Lets a page that was installed for reading be written.
  virtual void allow_write(std::uint64_t page) = 0;
  // Stops that: from then on whoever writes has a fault. Returns: false when this page cannot be
  // protected now, and stays as it is.
  [[nodiscard]] virtual bool forbid_write(std::uint64_t page) = 0;
  // Takes pages out of the span to the same number of staging pages, at once for all other threads:
  // they find a page whole or absent. Bit i of `present` says whether page first + i is there;
  // others leave holes. Returns: the pages at the front of the range that are gone; fewer than
  // `count` when one cannot be taken. Requires: count <= kClusterPages.
  virtual std::uint64_t take(std::uint64_t first, std::uint64_t count, std::uint64_t present,
                             std::uint64_t staging_first) = 0;
  // An absent page that nobody can bring back: who touches it gets SIGBUS, until it is forgotten.
  // Where faults are signals, whoever handles them says so instead.
  virtual void poison(std::uint64_t) {}
  // Forgets what is present in the range, and what is poisoned.
  virtual void forget(std::uint64_t first, std::uint64_t count) = 0;
  virtual void forget_staging(std::uint64_t first, std::uint64_t count) = 0;
  // Whether a page is really there, when its word says so; true when unknown.
  [[nodiscard]] virtual bool is_present(std::uint64_t page) const = 0;

  // --- around fork(), for ForkRule::Populate. Returns: false when this way cannot.
  virtual bool inherit(bool is_inherited) = 0;
  // The parent again: pages are shared with a child, so that some of them cannot be moved.
  virtual void note_shared() {}

 protected:
  explicit MemoryBackend(SpanShape shape) : shape_(shape) {}
  const SpanShape shape_;
  std::byte* span_ = nullptr;
  std::byte* staging_ = nullptr;
};

inline constexpr std::uint64_t kClusterPages = 64;
inline constexpr std::uint64_t kClusterBytes = kClusterPages * kPageBytes;

// Requires: not Automatic. Errors: ENOSYS when this machine does not allow it; ENOMEM.
[[nodiscard]] Result<std::unique_ptr<MemoryBackend>> make_memory_backend(PagerBackend kind,
                                                                         SpanShape shape);

}  // namespace uzram
