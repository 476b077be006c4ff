// SPDX-License-Identifier: Apache-2.0
// store/slot_table.h: the table of slot words in the arena, and the two short locks that live in a
// word.
//
// What:    busy is held while one slot's object is read, copied or moved; claimed while one page is
//          read, changed and compressed again. A page's own locks are no other page's business; the
//          lock of a shared or cluster slot is held for a copy of packed bytes, never while
//          (de)compressing. Lock order: page, shared slot, cluster slot. A word on a table page
//          that was never written must not even be read (reading would make the page resident):
//          is_touched says so.
// Shapes:  the device's pages, then shared slots, then cluster slots, each from a multiple of
//          kSlotsPerTablePage (SlotRegions).
// Threads: every member from any thread.
// Laws:    1, 2, 3, 4.
#pragma once

#include <sched.h>

#include <atomic>
#include <ctime>
#include <optional>
#include <vector>

#include "store/slot_word.h"

namespace uzram {

// Waits a little longer each time: the holder works for nanoseconds, unless the system has put it
// to sleep.
class Backoff {
 public:
  void wait() {
    if (++round_ < 32) {
      relax_cpu();
    } else if (round_ < 64) {
      ::sched_yield();
    } else {
      const timespec nap{0, 50'000};
      ::nanosleep(&nap, nullptr);
    }
  }

 private:
  static void relax_cpu() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  int round_ = 0;
};

inline constexpr std::uint64_t kSlotsPerTablePage = kPageBytes / sizeof(std::uint64_t);

// Which slots are what. Shared content and clusters have at least one page each, so as many of
// those slots are enough, and one more for the cluster that takes the place of others.
struct SlotRegions {
  explicit constexpr SlotRegions(std::uint64_t disk_pages)
      : pages_end(disk_pages),
        shared_begin(round_up(disk_pages, kSlotsPerTablePage)),
        shared_end(shared_begin + round_up(disk_pages, kSlotsPerTablePage)),
        cluster_end(shared_end + round_up(disk_pages + 1, kSlotsPerTablePage)) {}

  [[nodiscard]] constexpr bool is_page(PageIndex slot) const { return slot.value < pages_end; }
  [[nodiscard]] constexpr bool is_shared(PageIndex slot) const {
    return slot.value >= shared_begin && slot.value < shared_end;
  }
  [[nodiscard]] constexpr bool is_cluster(PageIndex slot) const {
    return slot.value >= shared_end && slot.value < cluster_end;
  }

  std::uint64_t pages_end;
  std::uint64_t shared_begin;
  std::uint64_t shared_end;  // Cluster slots begin here.
  std::uint64_t cluster_end;
};

class SlotTable {
 public:
  static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
  static_assert(sizeof(std::atomic<std::uint64_t>) == sizeof(std::uint64_t));

  // Requires: `base` is page aligned and holds slot_count words rounded up to whole pages.
  SlotTable(std::byte* base, std::uint64_t slot_count)
      : slots_(reinterpret_cast<std::atomic<std::uint64_t>*>(base)),
        slot_count_(slot_count),
        touched_(round_up(bytes_to_pages(slot_count * sizeof(std::uint64_t)), 64) / 64) {}

  [[nodiscard]] std::uint64_t slot_count() const { return slot_count_; }
  [[nodiscard]] bool is_touched(PageIndex page) const {
    const std::uint64_t table_page = page.value / kSlotsPerTablePage;
    return (touched_[table_page / 64].load(std::memory_order_relaxed) >> (table_page % 64) & 1) !=
           0;
  }
  // The first slot in [slot, end) that may hold something; end when there is none.
  [[nodiscard]] std::uint64_t next_touched(std::uint64_t slot, std::uint64_t end) const {
    while (slot < end && !is_touched({slot}))
      slot = (slot / kSlotsPerTablePage + 1) * kSlotsPerTablePage;
    return slot < end ? slot : end;
  }
  // From now on the page's word may be written.
  void touch(PageIndex page) {
    if (is_touched(page)) return;
    const std::uint64_t table_page = page.value / kSlotsPerTablePage;
    const std::uint64_t bit = std::uint64_t{1} << (table_page % 64);
    // Relaxed: publishes nothing; a reader that misses it reads zeros, as before the write.
    if ((touched_[table_page / 64].fetch_or(bit, std::memory_order_relaxed) & bit) == 0) {
      touched_count_.fetch_add(1, std::memory_order_relaxed);
    }
  }
  [[nodiscard]] std::uint64_t touched_bytes() const {
    return touched_count_.load(std::memory_order_relaxed) * kPageBytes;
  }

  // Requires for all that follows: is_touched(page).
  // Acquire: whoever sees the word sees the object's bytes.
  [[nodiscard]] SlotWord load(PageIndex page) const {
    return SlotWord(slots_[page.value].load(std::memory_order_acquire));
  }
  void prefetch(PageIndex page) const { __builtin_prefetch(&slots_[page.value], 1); }

  // Replaces the word once nobody uses the old object. Returns: the old word; its object is the
  // caller's to free. Release: publishes the new object's bytes; acquire: what readers did with the
  // old one is over.
  [[nodiscard]] SlotWord publish(PageIndex page, SlotWord fresh) {
    return exchange(page, SlotWord::kBusy | SlotWord::kClaimed,
                    [fresh](SlotWord) { return fresh; });
  }
  // The same by the thread that has claimed the page; ends the claim.
  [[nodiscard]] SlotWord publish_claimed(PageIndex page, SlotWord fresh) {
    return exchange(page, SlotWord::kBusy, [fresh](SlotWord) { return fresh; })
        .without(SlotWord::kClaimed);
  }
  // Replaces the word if it is still marked, that is, if nobody has read or written the page since:
  // it is as old as before. Returns: the old word, its object the caller's to free; nullopt when
  // nothing was done.
  [[nodiscard]] std::optional<SlotWord> publish_marked(PageIndex page, SlotWord fresh) {
    // An unmarked word is put back as it was.
    const SlotWord word = exchange(page, SlotWord::kBusy, [fresh](SlotWord old) {
      return old.is_marked() ? fresh.with_age(old.age()) : old;
    });
    if (!word.is_marked()) return std::nullopt;
    return word;
  }
  // Changes flags alone. Waits for nobody but a holder.
  template <typename Change>
  void change_flags(PageIndex page, Change change) {
    static_cast<void>(exchange(page, SlotWord::kBusy, change));
  }
  // Holds off whole-page writers and other claims. Readers and movers go on.
  void claim(PageIndex page) {
    static_cast<void>(exchange(page, SlotWord::kBusy | SlotWord::kClaimed, [](SlotWord word) {
      return word.accessed().with(SlotWord::kClaimed);
    }));
  }
  // The same if the word is still `seen` and nobody has it; the age stays. Returns: whether it did.
  [[nodiscard]] bool try_claim(PageIndex page, SlotWord seen) {
    std::uint64_t word = seen.bits();
    if (seen.is_busy() || seen.is_claimed()) return false;
    // Acquire: whoever made the word has made its object.
    return slots_[page.value].compare_exchange_strong(
        word, seen.without(SlotWord::kMarked).with(SlotWord::kClaimed).bits(),
        std::memory_order_acq_rel, std::memory_order_relaxed);
  }
  void unclaim(PageIndex page) {
    static_cast<void>(exchange(page, SlotWord::kBusy,
                               [](SlotWord word) { return word.without(SlotWord::kClaimed); }));
  }
  // Keeps the object where it is until release(). Returns: the word without busy (it may be
  // claimed).
  [[nodiscard]] SlotWord hold(PageIndex page) {
    return exchange(page, SlotWord::kBusy,
                    [](SlotWord word) { return word.with(SlotWord::kBusy); });
  }
  // Ends a hold; `word` may say a new place for the same page.
  // Release: the holder's reads of the object, and its writes at the new place, come before.
  void release(PageIndex page, SlotWord word) {
    UZ_DCHECK(!word.is_busy());
    slots_[page.value].store(word.bits(), std::memory_order_release);
  }

  // For recovery, before any other thread is in the table.
  void overwrite(PageIndex page, SlotWord word) {
    slots_[page.value].store(word.bits(), std::memory_order_relaxed);
  }

 private:
  // Waits while any of `blocking` is set, then replaces the word. Returns: the word before.
  template <typename Change>
  SlotWord exchange(PageIndex page, std::uint64_t blocking, Change change) {
    std::atomic<std::uint64_t>& slot = slots_[page.value];
    std::uint64_t word = slot.load(std::memory_order_relaxed);
    Backoff backoff;
    for (;;) {
      if ((word & blocking) != 0) {
        backoff.wait();
        word = slot.load(std::memory_order_relaxed);
        continue;
      }
      const SlotWord fresh = change(SlotWord(word));
      if (slot.compare_exchange_weak(word, fresh.bits(), std::memory_order_acq_rel,
                                     std::memory_order_relaxed)) {
        return SlotWord(word);
      }
    }
  }

  // constant after construction
  std::atomic<std::uint64_t>* const slots_;
  const std::uint64_t slot_count_;
  // synchronizes itself
  std::vector<std::atomic<std::uint64_t>> touched_;  // Bit per table page.
  std::atomic<std::uint64_t> touched_count_{0};
};

}  // namespace uzram
