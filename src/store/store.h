// SPDX-License-Identifier: Apache-2.0
// store/store.h: the pages of one device: what each is, and where its bytes are.
//
// What:    read, write and free of pages through slot table, codec and pool; compaction; recovery.
//          Not here: byte ranges, life and limits of a device (device/), when to compact
//          (device/maintenance.h), what to do with pages after the write (recompressor.h,
//          cluster_maker.h, which work through the last part of this interface).
// Shapes:  whole pages, PageIndex below disk_pages; parts of one page for read_part and write_part.
// Owns:    the arena with slot table and pool, and the codec contexts.
// Errors:  write -> ENOSPC at the limit, ENOMEM when the pool cannot grow: the page then reads as
//          before. read -> EIO when a page's check or packed bytes are damaged: that page alone.
//          open -> EINVAL for an arena that is not ours or whose header is damaged.
// Threads: read, write, free, compact and statistics from any thread at once. A write waits for
//          another thread only while that thread reads or moves the same page's object, or changes
//          a part of the same page. Work in the background is one at a time (background_mutex).
// Memory:  nothing allocates after create or open, but compact (lists of spans) and work in the
//          background.
// Laws:    1 to 8.
// Proof:   store_test.cc, store_model_test.cc, store_thread_test.cc, store_recovery_test.cc,
//          store_kill_test.cc, store_cluster_test.cc, store_dedup_test.cc.
#pragma once

#include <memory>
#include <vector>

#include "backing/backing_space.h"
#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "pool/pool.h"
#include "store/arena_header.h"
#include "store/cluster_cache.h"
#include "store/cluster_object.h"
#include "store/dedup_index.h"
#include "store/lanes.h"
#include "store/page_check.h"
#include "store/page_filter.h"
#include "store/shared_slots.h"
#include "store/slot_table.h"
#include "store/store_counters.h"

namespace uzram {

// Objects beyond this cost as much as a raw page: kSpanPages of them need kSpanPages pages.
constexpr std::size_t most_object_bytes() {
  std::size_t most = kPageBytes;
  while (kSizeClasses[class_index_for(most)].object_count <=
         kSizeClasses[class_index_for(most)].page_count) {
    most -= kClassStepBytes;
  }
  return most;
}
// Pages that pack to more are stored raw.
inline constexpr std::size_t kMostPackedBytes = most_object_bytes() - kPageCheckBytes;
static_assert(kMostPackedBytes >= 4000, "a page that packs to 4,000 bytes is worth packing");

// Whether pages have been changing since the last maintenance.
enum class Pace { Busy, Rest };

struct DedupStats {
  std::uint64_t saved_bytes = 0;     // Packed bytes that pages would need for content they share.
  std::uint64_t metadata_bytes = 0;  // Index, tags and shared slots.
};

class Store {
 public:
  // Makes an empty arena. `lane_count` threads can compress, and as many decompress, at the same
  // time.
  // `backing` is what config.backing names, with its block count; null when it names nothing.
  static Result<std::unique_ptr<Store>> create(const StoreConfig& config, std::size_t lane_count,
                                               std::unique_ptr<BackingStore> backing = nullptr);
  // Goes on with the arena of a process that has ended at any instruction: every acknowledged write
  // is there. `backing`: the backing store if the caller has it open; otherwise it is opened by the
  // arena's name for it. What was written back to one that is gone reads as EIO.
  static Result<std::unique_ptr<Store>> open(FileDescriptor memfd, std::size_t lane_count,
                                             std::unique_ptr<BackingStore> backing = nullptr);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  [[nodiscard]] const StoreConfig& config() const { return config_; }
  // Pages of the disk as it is now; config().disk_pages is what it may grow to.
  [[nodiscard]] std::uint64_t size_pages() const {
    return size_pages_.load(std::memory_order_relaxed);
  }
  // Makes the disk larger, and ready for it where memory is reserved; or smaller again, without
  // a look at what is stored there. Errors: EFBIG more than it may grow to; ENOMEM. Nothing has
  // changed then.
  Result<void> set_size(std::uint64_t pages);
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
  // When the page was used last, in seconds since boot; 0 when accesses are not tracked.
  [[nodiscard]] std::uint32_t access_seconds(PageIndex page) const {
    if (!access_seconds_) return 0;
    return (*access_seconds_)[page.value].load(std::memory_order_relaxed);
  }
  static std::uint32_t boot_seconds();
  // The first page at or after `page` that may hold something; disk_pages when there is none.
  [[nodiscard]] PageIndex next_touched(PageIndex page) const {
    return {table_.next_touched(page.value, config_.disk_pages)};
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
  [[nodiscard]] std::uint64_t context_bytes() const {
    return lanes_.bytes + cluster_cache_.memory_bytes();
  }
  // Counts of users behind shared and cluster slots.
  [[nodiscard]] std::uint64_t slot_metadata_bytes() const {
    return shared_->memory_bytes() + clusters_->memory_bytes() + access_bytes() + dedup_bytes();
  }

  // Walks the shared slots; all zeros without deduplication.
  [[nodiscard]] DedupStats dedup_stats() const;
  // The index does not know what pages the store was opened with.
  [[nodiscard]] bool needs_dedup_index() const {
    return needs_dedup_index_.load(std::memory_order_relaxed);
  }
  // Finds out what content there is, after open; may take long.
  void rebuild_dedup_index(const StopSignal& stop);

  // Null when there is none, or it is gone.
  [[nodiscard]] BackingSpace* backing() const { return backing_.get(); }
  // Reads from the backing store, and what of it came back to memory.
  [[nodiscard]] std::uint64_t pages_brought_back() const {
    return pages_brought_back_.load(std::memory_order_relaxed);
  }

  // Every law that a quiet moment can show: sums against slots, objects against slots, checks
  // against bytes. Aborts on a violation.
  void check_invariants() const;

  // --- for work in the background: everything is "read and mark a slot, then replace its word"
  [[nodiscard]] Mutex& background_mutex() UZ_RETURN_CAPABILITY(background_mutex_) {
    return background_mutex_;
  }
  // The word of any slot, without its locks.
  [[nodiscard]] SlotWord word_of_slot(PageIndex slot) const;
  [[nodiscard]] const SlotRegions& regions() const { return regions_; }
  [[nodiscard]] const SharedSlots& shared_slots() const { return *shared_; }
  [[nodiscard]] const SharedSlots& cluster_slots() const { return *clusters_; }
  // The first slot in [slot, end) that may hold something; end when there is none.
  [[nodiscard]] std::uint64_t next_touched_slot(std::uint64_t slot, std::uint64_t end) const {
    return table_.next_touched(slot, end);
  }
  // Reads the content of a page or shared slot if its word is still `seen`, and marks it, so that
  // replace_marked finds out whether anybody has used it since. Returns: false when the word has
  // changed. Errors: EIO.
  Result<bool> read_and_mark(PageIndex slot, SlotWord seen, PageBuffer out);
  // The same for what the slot has in the pool, as it is: a packed or raw page, or the stream of a
  // cluster, without unpacking. Returns: its bytes in `out`; 0 when the word has changed. Errors:
  // EIO when its check does not hold.
  Result<std::size_t> copy_and_mark(PageIndex slot, SlotWord seen, MutableBytes out);
  // Publishes a word if the slot is still marked, and drops the old content; the age stays.
  // Returns: whether it did; if not, the new content is the caller's to drop.
  bool replace_marked(PageIndex slot, SlotWord fresh);
  // Ends a mark without a change of the content: the slot is not idle any more, and gets the flags.
  // It stays as old as it is.
  void unmark(PageIndex slot, std::uint64_t flags);
  // Ends a mark and leaves everything else as it is.
  void release_mark(PageIndex slot) {
    table_.change_flags(slot, [](SlotWord word) { return word.without(SlotWord::kMarked); });
  }
  // Changes idle flags and ages of pages and nothing else.
  template <typename Change>
  void change_flags(PageIndex page, Change change) {
    table_.change_flags(page, change);
  }
  // An object for what `compressor` made of a page, not yet published.
  Result<SlotWord> build_packed(MutableBytes packed, std::size_t packed_bytes, int priority,
                                SlotWord old_word);
  // The same for a page as a write would store it.
  Result<SlotWord> build_alone(PageView content, SlotWord old_word);
  // Gives up content that was never published.
  void drop(SlotWord word);
  // What the slot's own object costs in the pool; 0 when it has none of its own.
  [[nodiscard]] std::size_t pool_bytes_of(SlotWord word) const;
  // Stores a packed cluster behind a new cluster slot; it has page_count users, and the caller.
  // Errors: as Pool::allocate, ENOSPC also when there is no free slot. What replaces pages that
  // cost more must succeed at the limit.
  Result<PageIndex> add_cluster(MutableBytes stream, std::size_t packed_bytes,
                                std::size_t page_count, LimitRule rule = LimitRule::Exceed);
  // Makes `fresh` what the page is, as a write does.
  void put(PageIndex page, SlotWord fresh);
  // Reads a page if its word is still `seen`, and holds off who would change it until one of the
  // next two. Returns: false when the word has changed, or somebody has it. Errors: EIO.
  Result<bool> try_claim_and_read(PageIndex page, SlotWord seen, PageBuffer out);
  // The page is as old as before.
  void replace_claimed(PageIndex page, SlotWord fresh);
  void unclaim(PageIndex page) { table_.unclaim(page); }
  // Gives up the caller's use of a cluster or shared slot.
  void drop_cluster_user(PageIndex slot);
  Result<void> prepare_clusters(std::size_t most_pages) {
    return cluster_cache_.prepare(most_pages);
  }
  [[nodiscard]] const Codec* codec_at(int priority) const {
    return codecs_[static_cast<std::size_t>(priority)].get();
  }

 private:
  using AccessTimes = SparseArray<std::atomic<std::uint32_t>>;
  // What is made before a store is.
  struct Parts {
    std::unique_ptr<Pool> pool;
    std::unique_ptr<SharedSlots> shared;
    std::unique_ptr<SharedSlots> clusters;
    std::optional<AccessTimes> access_seconds;
    std::unique_ptr<DedupIndex> dedup;
    std::unique_ptr<BackingSpace> backing;
    std::vector<std::unique_ptr<Codec>> codecs;
    Lanes lanes;
  };
  Store(StoreConfig config, std::unique_ptr<Arena> arena, const ArenaLayout& layout, Parts parts);
  static Result<std::unique_ptr<Store>> make(const StoreConfig& config,
                                             std::unique_ptr<Arena> arena,
                                             const ArenaLayout& layout, std::size_t lane_count,
                                             std::unique_ptr<BackingStore> backing);

  Result<void> write_page(WriteLane& lane, PageIndex page, PageView content);
  // What a page shall say, not yet published: shared content, or an object of its own, whose tag is
  // for the index then.
  struct Placed {
    SlotWord word;
    ContentTag tag;
  };
  Result<Placed> place(WriteLane& lane, PageIndex page, PageView content, SlotWord old_word);
  void note_content(PageIndex page, const Placed& placed);
  std::optional<SlotWord> find_same_content(PageIndex page, PageView content, ContentTag tag);
  bool join_shared(ReadLane& lane, PageIndex slot, PageView content);
  std::optional<PageIndex> share_page(ReadLane& lane, PageIndex other, PageView content,
                                      ContentTag tag);
  bool holds_content(ReadLane& lane, SlotWord word, PageView content);
  // The object for `content`, not yet published.
  Result<SlotWord> build(WriteLane& lane, PageView content, SlotWord old_word);
  Result<SlotWord> build_same(std::uint64_t pattern, SlotWord old_word);
  Result<void> read_page(ReadLane& lane, PageIndex page, PageBuffer out);
  Result<void> read_with(std::optional<LaneHolder<ReadLane>>& lane, PageIndex page, PageBuffer out);
  // What reading says of a page that is on the backing store; no caller sees it.
  static constexpr int kElsewhere = EREMOTE;
  // The content behind a word whose slot the caller holds.
  Result<void> read_held(ReadLane& lane, SlotWord word, PageBuffer out);
  Result<void> read_shared(ReadLane& lane, PageIndex slot, PageBuffer out);
  // Packed bytes in the thread's own hands, to be unpacked after every slot was let go: of one page
  // in the lane, or of a cluster in an entry of the cache.
  struct Fetched {
    SlotWord word;
    std::optional<ClusterCache::Holder> cluster;
  };
  // Errors: kElsewhere when it is on the backing store.
  Result<Fetched> fetch(ReadLane& lane, SlotWord word);
  Result<ClusterCache::Holder> fetch_cluster(PageIndex cluster_slot);
  Result<void> unpack_fetched(ReadLane& lane, const Fetched& fetched, PageBuffer out) const;
  // --- store_backing.cc
  // What a page was when its slot was held: where its content is on the backing store.
  struct Away {
    PageIndex slot;  // Whose word says WrittenBack or ClusterWrittenBack.
    SlotWord word;
    std::uint16_t generation = 0;
    std::size_t member_number = 0;
    std::uint32_t serial = 0;  // Of a cluster.
    [[nodiscard]] std::size_t bytes() const;
  };
  // Returns: nullopt when the page's content is not there (any more).
  std::optional<Away> find_away(PageIndex page);
  std::optional<Away> away_of(PageIndex slot, SlotWord word) const;
  // Reads a page from the backing store, and brings it back to memory, with neighbours that lie in
  // the same blocks. Returns: false when it has changed meanwhile, and the caller should look
  // again.
  Result<bool> read_away(PageIndex page, PageBuffer out);
  Result<bool> read_away_page(const Away& away, PageIndex page, PageBuffer out);
  Result<bool> read_away_cluster(const Away& away, PageBuffer out);
  Result<void> unpack_away(SlotWord word, ConstBytes object, PageBuffer out);
  void bring_back(const Away& away, MutableBytes object);
  Result<SlotWord> build_back(SlotWord word, MutableBytes object);
  static constexpr std::uint64_t kNeighbourPages = 16;  // Looked at on either side.
  struct Neighbours {
    std::array<Away, 2 * kNeighbourPages> pages;
    std::size_t count = 0;
  };
  Neighbours neighbours_of(PageIndex page, BlockRange& range);
  [[nodiscard]] bool is_still_away(const Away& away, SlotWord held) const;
  [[nodiscard]] bool is_still_away(const Away& away);  // Looks at the slot.

  // `object` holds the word's object.
  Result<void> unpack(ReadLane& lane, SlotWord word, ConstBytes object, PageBuffer out) const;
  void note_access(PageIndex page) {
    if (access_seconds_)
      (*access_seconds_)[page.value].store(boot_seconds(), std::memory_order_relaxed);
  }
  // Makes what is kept for these pages resident: words and access times.
  Result<void> make_resident(std::uint64_t begin, std::uint64_t end);
  // Where pages are, there are their access times.
  [[nodiscard]] std::uint64_t access_bytes() const {
    return access_seconds_ ? table_.touched_bytes() / 2 : 0;
  }
  [[nodiscard]] std::uint64_t dedup_bytes() const {
    return dedup_ == nullptr ? 0 : dedup_->bucket_bytes() + table_.touched_bytes() / 2;
  }
  // After a publish: counts, and drops the old word's content.
  void retire(SlotWord old_word, SlotWord new_word);
  void drop_user(SharedSlots& slots, PageIndex slot, SlotKind kind);
  [[nodiscard]] std::size_t check_bytes() const {
    return config_.has_page_checks ? kPageCheckBytes : 0;
  }
  // Bytes of the object that the word points to; 0 when it points to none.
  [[nodiscard]] std::size_t object_bytes(SlotWord word) const;
  [[nodiscard]] LimitRule limit_rule(std::size_t new_bytes, SlotWord old_word) const;
  [[nodiscard]] SlotKind kind_of(PageIndex slot) const;
  bool move_object(PageIndex slot);
  bool move_objects(std::uint64_t begin, std::uint64_t end);
  Result<void> recover();
  void survey_table();
  void survey_region(std::uint64_t begin, std::uint64_t end);
  // Whether the word can stand in such a slot, and what it refers to can be.
  [[nodiscard]] bool is_plausible(SlotWord word, SlotKind kind) const;
  void count_users(SlotWord word);
  void count_users_of_region(std::uint64_t begin, std::uint64_t end);
  void adopt_users_region(SharedSlots& slots, SlotKind kind);
  [[nodiscard]] SlotWord recovered_word(SlotWord word, SlotKind kind);
  void forget_lost_users();
  Result<void> prepare_found_clusters();
  void check_users() const;
  std::uint64_t check_region(std::uint64_t begin, std::uint64_t end, StoreSums& sums) const;

  // constant after construction
  const StoreConfig config_;
  const std::unique_ptr<Arena> arena_;
  const ArenaLayout layout_;
  const SlotRegions regions_;
  const PageCheckFunction page_check_;
  const std::vector<std::unique_ptr<Codec>> codecs_;  // By priority; null when there is none.
  // synchronizes itself
  const std::unique_ptr<Pool> pool_;
  const std::unique_ptr<SharedSlots> shared_;
  const std::unique_ptr<SharedSlots> clusters_;
  const std::optional<AccessTimes> access_seconds_;
  const std::unique_ptr<DedupIndex> dedup_;  // Null: off.
  DuplicateOdds duplicate_odds_;
  const std::unique_ptr<BackingSpace> backing_;  // Null: none.
  SlotTable table_;
  ClusterObjects cluster_objects_;
  ClusterCache cluster_cache_;
  Lanes lanes_;
  StoreCounters counters_;
  // Relaxed: whoever has been told of a larger size comes later by other ways.
  std::atomic<std::uint64_t> size_pages_;
  std::atomic<std::uint64_t> raw_pages_since_{0};  // Relaxed: counts.
  std::atomic<std::uint64_t> pages_compacted_{0};
  std::atomic<std::uint64_t> pages_brought_back_{0};
  std::atomic<bool> needs_dedup_index_{false};  // Relaxed: a hint for who makes it.
  // The page brought back last, and how many neighbours may come along next time. Hints.
  std::atomic<std::uint64_t> last_brought_page_{0};
  std::atomic<std::uint32_t> readahead_pages_{0};
  Mutex compaction_mutex_;  // One compaction at a time. Taken before every other mutex of store and
                            // pool.
  Mutex background_mutex_;  // Taken before compaction_mutex_.
};

}  // namespace uzram
