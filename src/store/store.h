// SPDX-License-Identifier: Apache-2.0
// store/store.h: the pages of one device: what each is, and where its bytes are.
//
// What:    read, write and free of pages through slot table, codec and pool; compaction; recovery.
//          Not here: byte ranges, life and limits of a device (device/), when to compact
//          (device/maintenance.h).
// Shapes:  whole pages, PageIndex below disk_pages; parts of one page for read_part and write_part.
// Owns:    the arena with slot table and pool, and the codec contexts.
// Errors:  write -> ENOSPC at the limit, ENOMEM when the pool cannot grow: the page then reads as
//          before. read -> EIO when a page's check or packed bytes are damaged: that page alone.
//          open -> EINVAL for an arena that is not ours or whose header is damaged.
// Threads: read, write, free, compact and statistics from any thread at once. A write waits for
//          another thread only while that thread reads or moves the same page's object, or changes
//          a part of the same page.
// Memory:  nothing allocates after create or open, but compact (lists of spans).
// Laws:    1 to 8.
// Proof:   store_test.cc, store_model_test.cc, store_thread_test.cc, store_recovery_test.cc,
//          store_kill_test.cc.
#pragma once

#include <memory>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "pool/pool.h"
#include "store/arena_header.h"
#include "store/lanes.h"
#include "store/page_check.h"
#include "store/slot_table.h"
#include "store/store_counters.h"

namespace uzram {

// Whether pages have been changing since the last maintenance.
enum class Pace { Busy, Rest };

class Store {
 public:
  // Makes an empty arena. `lane_count` threads can compress, and as many decompress, at the same
  // time.
  static Result<std::unique_ptr<Store>> create(const StoreConfig& config, std::size_t lane_count);
  // Goes on with the arena of a process that has ended at any instruction: every acknowledged write
  // is there.
  static Result<std::unique_ptr<Store>> open(FileDescriptor memfd, std::size_t lane_count);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const StoreConfig& config() const { return config_; }
  [[nodiscard]] int arena_descriptor() const { return arena_->descriptor(); }

  // Requires for all: the pages are inside the device; bytes are whole pages.
  Result<void> read(PageIndex first, MutableBytes pages);
  Result<void> write(PageIndex first, ConstBytes pages);
  void free(PageIndex first, std::uint64_t page_count);
  // Requires: offset + bytes <= kPageBytes.
  Result<void> read_part(PageIndex page, std::size_t offset, MutableBytes out);
  Result<void> write_part(PageIndex page, std::size_t offset, ConstBytes data);

  // What a page is, without reading it. Busy and claimed are cleared.
  [[nodiscard]] SlotWord word_of(PageIndex page) const;
  // The first page at or after `page` that may hold something; disk_pages when there is none.
  [[nodiscard]] PageIndex next_touched(PageIndex page) const {
    return {table_.next_touched(page.value)};
  }

  // Makes slot table and pool resident ahead of need: with `pool_pages` set aside, writes that
  // store no more than that touch no new memory. 0 gives the pool's part back. Errors: ENOMEM, and
  // then nothing is kept.
  Result<void> reserve(std::uint64_t pool_pages);
  // Moves objects together and gives emptied pages back, but for a stock of `keep_pages`.
  // Returns: the pool pages given back.
  std::uint64_t compact(std::uint64_t keep_pages = 0);
  // Gives back empty pages beyond a small stock, and compacts when a few percent of the pool are
  // waste. A busy store keeps a little more than one at rest.
  void maintain(Pace pace = Pace::Rest);

  [[nodiscard]] Pool& pool() { return *pool_; }
  [[nodiscard]] const Pool& pool() const { return *pool_; }
  [[nodiscard]] StoreSums sums() const { return counters_.sum(); }
  [[nodiscard]] std::uint64_t raw_pages_since() const {
    return raw_pages_since_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t pages_compacted() const {
    return pages_compacted_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t table_bytes() const { return table_.touched_bytes(); }
  [[nodiscard]] std::uint64_t context_bytes() const { return lanes_.bytes; }

  // Every law that a quiet moment can show: sums against slots, objects against slots, checks
  // against bytes. Aborts on a violation.
  void check_invariants() const;

 private:
  Store(StoreConfig config, std::unique_ptr<Arena> arena, const ArenaLayout& layout,
        std::unique_ptr<Pool> pool, std::vector<std::unique_ptr<Codec>> codecs, Lanes lanes);
  static Result<std::unique_ptr<Store>> make(const StoreConfig& config,
                                             std::unique_ptr<Arena> arena,
                                             const ArenaLayout& layout, std::size_t lane_count);

  Result<void> write_page(WriteLane& lane, PageIndex page, PageView content);
  // The object for `content`, not yet published.
  Result<SlotWord> build(WriteLane& lane, PageView content, SlotWord old_word);
  Result<SlotWord> build_same(std::uint64_t pattern, SlotWord old_word);
  Result<void> read_page(ReadLane& lane, PageIndex page, PageBuffer out);
  Result<void> unpack(ReadLane& lane, SlotWord word, PageBuffer out) const;
  // After a publish: counts, and frees the old word's object.
  void retire(SlotWord old_word, SlotWord new_word);
  void free_object(SlotWord word);
  [[nodiscard]] std::size_t check_bytes() const {
    return config_.has_page_checks ? kPageCheckBytes : 0;
  }
  // Bytes of the object that the word points to; 0 when it points to none.
  [[nodiscard]] std::size_t object_bytes(SlotWord word) const;
  [[nodiscard]] LimitRule limit_rule(std::size_t new_bytes, SlotWord old_word) const;
  bool move_object(PageIndex page);
  Result<void> recover();
  void survey_table();
  [[nodiscard]] std::size_t claimed_bytes(SlotWord word) const;
  [[nodiscard]] SlotWord recovered_word(SlotWord word);

  // constant after construction
  const StoreConfig config_;
  const std::unique_ptr<Arena> arena_;
  const ArenaLayout layout_;
  const PageCheckFunction page_check_;
  const std::vector<std::unique_ptr<Codec>> codecs_;  // By priority; null when there is none.
  // synchronizes itself
  const std::unique_ptr<Pool> pool_;
  SlotTable table_;
  Lanes lanes_;
  StoreCounters counters_;
  std::atomic<std::uint64_t> raw_pages_since_{0};  // Relaxed: counts.
  std::atomic<std::uint64_t> pages_compacted_{0};
  Mutex compaction_mutex_;  // One compaction at a time. Taken before every other mutex of store and
                            // pool.
};

}  // namespace uzram
