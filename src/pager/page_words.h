// SPDX-License-Identifier: Apache-2.0
// pager/page_words.h: one word per page of the pager's addresses: where its content is.
//
// What:    PageWord, the meaning of the 32 bits, and PageWords, the table with its lock bit. Not
//          here: what is done with a page (pager_core.h).
// Shapes:  bits 0-1 place, 2 locked, 3 waiters, 4 stored, 5 lost, 8-14 pins, 16-31 a number:
//          of a staged page where in staging it is; of a page that is away when it was evicted.
//
//                 bring_in                    allow_write
//          Away ------------> Resident <------------------- Clean
//            ^  \________________|___________________________^  |
//            |      bring_in (read faults)                      |
//            |                   | take_cluster                 | take_cluster
//            |                   v                              v
//            +---------------- Staged <-------------------------+
//               pack_page
//
// Owns:    the table: sparse, 4 bytes per page that was ever used.
// Threads: a word changes only under its lock bit, but for the waiters bit. lock() waits by futex
//          for the holder, who never waits for another page (it only tries them) and never faults.
// Laws:    5.
// Proof:   page_words_test.cc, pager_thread_test.cc.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

#include "base/check.h"
#include "base/sparse_array.h"
#include "base/units.h"
#include "pager/futex.h"

namespace uzram {

enum class PagePlace : std::uint8_t {
  Away,      // In the device if stored; otherwise as the region began: zeros, or the file's bytes.
  Resident,  // In memory, and may differ from everything else.
  Clean,     // In memory, write-protected, the same as if it were away.
  Staged,    // On its way out; the number says where.
};

class PageWord {
 public:
  constexpr PageWord() = default;
  constexpr explicit PageWord(std::uint32_t bits) : bits_(bits) {}
  [[nodiscard]] constexpr std::uint32_t bits() const { return bits_; }

  [[nodiscard]] constexpr PagePlace place() const { return static_cast<PagePlace>(bits_ & 3U); }
  [[nodiscard]] constexpr bool is_locked() const { return (bits_ & kLocked) != 0; }
  [[nodiscard]] constexpr bool has_waiters() const { return (bits_ & kWaiters) != 0; }
  // The device holds content: for Away it is the content; for Clean, and for Staged, it equals it.
  [[nodiscard]] constexpr bool is_stored() const { return (bits_ & kStored) != 0; }
  // Staged: came from Clean, so that what it was before being brought in is still true.
  [[nodiscard]] constexpr bool is_unchanged() const { return (bits_ & kUnchanged) != 0; }
  // Its content could not be read: touching it is an error for ever, until it is dropped.
  [[nodiscard]] constexpr bool is_lost() const { return (bits_ & kLost) != 0; }
  [[nodiscard]] constexpr unsigned pins() const { return bits_ >> 8 & kMostPins; }
  [[nodiscard]] constexpr std::uint16_t number() const {
    return static_cast<std::uint16_t>(bits_ >> 16);
  }
  [[nodiscard]] constexpr bool is_in_memory() const {
    return place() == PagePlace::Resident || place() == PagePlace::Clean;
  }

  [[nodiscard]] constexpr PageWord at(PagePlace place) const {
    return PageWord((bits_ & ~3U) | static_cast<std::uint32_t>(place));
  }
  [[nodiscard]] constexpr PageWord with_number(std::uint16_t number) const {
    return PageWord((bits_ & 0xffffU) | static_cast<std::uint32_t>(number) << 16);
  }
  [[nodiscard]] constexpr PageWord with_stored(bool is) const { return with(kStored, is); }
  [[nodiscard]] constexpr PageWord with_unchanged(bool is) const { return with(kUnchanged, is); }
  [[nodiscard]] constexpr PageWord with_lost(bool is) const { return with(kLost, is); }
  // Requires: pins <= kMostPins.
  [[nodiscard]] constexpr PageWord with_pins(unsigned pins) const {
    return PageWord((bits_ & ~(kMostPins << 8)) | pins << 8);
  }

  static constexpr unsigned kMostPins = 127;
  static constexpr std::uint32_t kLocked = 1U << 2;
  static constexpr std::uint32_t kWaiters = 1U << 3;

 private:
  static constexpr std::uint32_t kStored = 1U << 4;
  static constexpr std::uint32_t kLost = 1U << 5;
  static constexpr std::uint32_t kUnchanged = 1U << 6;
  [[nodiscard]] constexpr PageWord with(std::uint32_t bit, bool is) const {
    return PageWord(is ? bits_ | bit : bits_ & ~bit);
  }
  std::uint32_t bits_ = 0;
};
// Of a region over a file: the file has other content, or did have it before this page was changed.
[[nodiscard]] constexpr bool differs_from_file(PageWord word) {
  if (word.place() == PagePlace::Resident) return true;
  return word.is_stored() || (word.place() == PagePlace::Staged && !word.is_unchanged());
}
// Of a region over a file: it has to be read there.
[[nodiscard]] constexpr bool is_only_in_file(PageWord word) {
  return word.place() == PagePlace::Away && !word.is_stored() && !word.is_lost();
}
static_assert(sizeof(std::atomic<std::uint32_t>) == sizeof(std::uint32_t));
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

class PageWords {
 public:
  static Result<PageWords> create(std::uint64_t page_count) {
    auto words = SparseArray<std::atomic<std::uint32_t>>::create(page_count);
    if (!words) return tl::unexpected(words.error());
    return PageWords(std::move(*words));
  }

  // A look without the lock: may be old when it is used.
  [[nodiscard]] PageWord look(std::uint64_t page) const {
    return PageWord(words_[page].load(std::memory_order_relaxed));
  }
  // Returns: the word, now locked by the caller, lock and waiters bits cleared.
  [[nodiscard]] PageWord lock(std::uint64_t page) const {
    std::atomic<std::uint32_t>& word = words_[page];
    std::uint32_t seen = word.load(std::memory_order_relaxed);
    for (;;) {
      if ((seen & PageWord::kLocked) == 0) {
        // Acquire: what the last holder did to the page is seen.
        if (word.compare_exchange_weak(seen, seen | PageWord::kLocked, std::memory_order_acquire,
                                       std::memory_order_relaxed))
          return cleaned(seen);
        continue;
      }
      const std::uint32_t waiting = seen | PageWord::kWaiters;
      if (seen != waiting && !word.compare_exchange_weak(seen, waiting, std::memory_order_relaxed))
        continue;
      futex_wait(word, waiting);
      seen = word.load(std::memory_order_relaxed);
      // Others may wait as well: whoever has waited assumes so.
      if ((seen & PageWord::kLocked) == 0 &&
          word.compare_exchange_strong(seen, seen | PageWord::kLocked | PageWord::kWaiters,
                                       std::memory_order_acquire, std::memory_order_relaxed))
        return cleaned(seen);
    }
  }
  [[nodiscard]] std::optional<PageWord> try_lock(std::uint64_t page) const {
    std::atomic<std::uint32_t>& word = words_[page];
    std::uint32_t seen = word.load(std::memory_order_relaxed);
    if ((seen & PageWord::kLocked) != 0 ||
        !word.compare_exchange_strong(seen, seen | PageWord::kLocked, std::memory_order_acquire,
                                      std::memory_order_relaxed))
      return std::nullopt;
    return cleaned(seen);
  }
  // Requires: locked by the caller. Says what the page is now.
  void unlock(std::uint64_t page, PageWord fresh) const {
    UZ_DCHECK(!fresh.is_locked() && !fresh.has_waiters());
    // Release: the page's content, and where it is, come before.
    const std::uint32_t old = words_[page].exchange(fresh.bits(), std::memory_order_release);
    UZ_DCHECK((old & PageWord::kLocked) != 0);
    if ((old & PageWord::kWaiters) != 0) futex_wake_all(words_[page]);
  }

 private:
  explicit PageWords(SparseArray<std::atomic<std::uint32_t>> words) : words_(std::move(words)) {}
  static PageWord cleaned(std::uint32_t bits) {
    return PageWord(bits & ~(PageWord::kLocked | PageWord::kWaiters));
  }
  SparseArray<std::atomic<std::uint32_t>> words_;
};

}  // namespace uzram
