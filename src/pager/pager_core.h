// SPDX-License-Identifier: Apache-2.0
// pager/pager_core.h: one pager from the inside: faults, reclaim, ranges.
//
// What:    PagerCore. fault_path.cc brings pages in, file_faults.cc those of cluster files;
//          reclaim.cc takes them out, pack.cc packs them, write_back.cc writes those of shared
//          mappings; ranges.cc does what a program asks for, pager_core.cc makes and ends it all,
//          pager_check.cc proves it.
// Threads: a fault and a reclaim meet at a page's lock. A thread waits for one page only while it
//          holds none; holding some, it only tries others. Reclaim never holds a page while it
//          waits for memory, and nobody who holds a page asks reclaim for memory.
// Laws:    5, 7, 8.
#pragma once

#include <array>
#include <atomic>
#include <bitset>
#include <memory>
#include <thread>
#include <vector>

#include "base/mutex.h"
#include "device/device.h"
#include "pager/budget.h"
#include "pager/cluster_mapping.h"
#include "pager/fault_buffers.h"
#include "pager/fault_threads.h"
#include "pager/memory_backend.h"
#include "pager/page_words.h"
#include "pager/pager.h"
#include "pager/reclaim_balance.h"
#include "pager/region_table.h"
#include "pager/staging_ring.h"
#include "pager/stall_meter.h"

namespace uzram {

[[nodiscard]] std::uint64_t monotonic_nanoseconds();

class PagerCore {
 public:
  using BackendMaker = Result<std::unique_ptr<MemoryBackend>> (*)(PagerBackend, SpanShape);
  // `make`: another than the standard one in tests of what machines do.
  static Result<std::unique_ptr<PagerCore>> create(const PagerConfig& config,
                                                   BackendMaker make = make_memory_backend);
  ~PagerCore();
  PagerCore(const PagerCore&) = delete;
  PagerCore& operator=(const PagerCore&) = delete;

  // --- fault_path.cc
  // A thread has touched a page that is not there, or has written to one that is write-protected.
  // Returns: false when no region has the page, or its content is damaged: the program gets the
  // signal. Ends the process when there is no memory for the page.
  bool handle_fault(std::uint64_t page, bool is_write);

  // --- pager_core.cc
  Result<std::byte*> add_region(std::uint64_t bytes, PageKindOf kind, AccessHint hint,
                                RegionSource source);
  Result<std::byte*> add_cluster_region(std::shared_ptr<ClusterFile> file, std::uint64_t offset,
                                        std::uint64_t bytes, MapSharing sharing, AccessHint hint);
  // `is_synced`: what files lack is written first, and nothing is lost.
  Result<void> close_region(std::byte* start, bool is_synced);
  Result<void> set_memory_limit(std::uint64_t bytes);
  Result<void> set_page_cluster(unsigned page_cluster);
  Result<void> set_swappiness(unsigned swappiness);
  [[nodiscard]] PagerStats stats() const;

  // --- ranges.cc. Pages, in regions.
  struct PageRange {
    std::uint64_t first = 0;
    std::uint64_t end = 0;
  };
  // Errors: EINVAL: some of it is in no region.
  [[nodiscard]] Result<PageRange> range_of(const void* start, std::uint64_t bytes,
                                           bool whole_pages_only) const;
  Result<void> prefetch(PageRange range);
  Result<void> drop(PageRange range);
  Result<void> pin(PageRange range, bool for_write);
  Result<void> unpin(PageRange range);
  Result<void> page_out(PageRange range);

  // --- write_back.cc
  Result<void> sync(PageRange range) { return write_back(range, true); }

  // --- around fork(): fork_guard.cc calls these in pairs.
  // Stops reclaim; with ForkRule::Populate brings everything in.
  void prepare_fork();
  void finish_fork_in_parent();
  void finish_fork_in_child() { is_child_.store(true, std::memory_order_relaxed); }
  // In a child of fork() nothing can be asked of a pager.
  [[nodiscard]] bool is_child() const { return is_child_.load(std::memory_order_relaxed); }

  // --- pager_check.cc
  void check_invariants();

  [[nodiscard]] std::uint64_t fruitless_takes() const {
    return counters_.fruitless_takes.load(std::memory_order_relaxed);
  }
  [[nodiscard]] PagerBackend backend_kind() const { return kind_; }
  [[nodiscard]] const MemoryBackend& memory() const { return *memory_; }
  [[nodiscard]] ForkRule fork_rule() const { return config_.fork_rule; }
  [[nodiscard]] bool contains(const void* address) const {
    const auto offset =
        static_cast<std::uint64_t>(static_cast<const std::byte*>(address) - memory_->span());
    return offset < memory_->shape().span_pages * kPageBytes;
  }
  [[nodiscard]] std::uint64_t page_of(const void* address) const {
    return static_cast<std::uint64_t>(static_cast<const std::byte*>(address) - memory_->span()) /
           kPageBytes;
  }
  [[nodiscard]] RegionTable& regions() { return regions_; }
  [[nodiscard]] Device& device() { return device_; }

 private:
  friend class PagerPeer;
  class ReclaimTicket;
  struct Counters {
    std::atomic<std::uint64_t> faults{0}, major_faults{0}, staging_hits{0}, write_upgrades{0},
        readahead_pages{0}, refaults{0}, evicted_pages{0}, clean_drops{0}, packed_pages{0},
        assisted_pages{0}, clustered_pages{0}, repacked_pages{0}, anonymous_evicted{0},
        file_evicted{0}, fruitless_takes{0}, file_faults{0}, file_clusters_read{0},
        written_back_pages{0}, failed_write_backs{0};
  };
  enum class Touch : std::uint8_t { Done, NoMemory, Lost };
  enum class Step : std::uint8_t { Done, Nothing, Failed };
  // Pages next to each other, locked by this thread.
  struct LockedRun {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::array<PageWord, kMostFaultPages> words;
  };
  // Pages of one cluster of a file, some of them locked by this thread.
  struct FilePages {
    ClusterMapping::Part part;
    std::array<PageWord, kMostFileClusterPages> words;
    std::bitset<kMostFileClusterPages> held;
    std::bitset<kMostFileClusterPages> is_protected;  // Of these, when they are to be written.
  };

  PagerCore(const PagerConfig& config, PagerBackend kind, std::unique_ptr<MemoryBackend> memory,
            PageWords words, RegionTable regions, FaultBuffers buffers, std::size_t slot_count);
  Result<void> start_device();
  Result<void> start_threads();
  Result<void> keep_mapping(std::unique_ptr<ClusterMapping> mapping);
  void let_go_of_mapping(const ClusterMapping* mapping);

  // --- fault_path.cc
  // Requires: locked; in memory afterwards if it succeeds, and unlocked in any case. Errors: EIO,
  // ENOMEM of the machine.
  Result<void> bring_in(Region& region, std::uint64_t page, PageWord word, bool is_write);
  LockedRun lock_window(Region& region, std::uint64_t page, PageWord word);
  Result<void> read_run(Region& region, LockedRun& run, std::byte* buffer, std::uint64_t page);
  Result<void> install_run(const LockedRun& run, const std::byte* source, PageAccess access,
                           std::uint64_t page);
  Result<void> read_content(const Region& region, std::uint64_t page, PageWord word,
                            PageBuffer out);
  void allow_write(Region& region, std::uint64_t page, PageWord word);
  void note_return(const Region& region, std::uint64_t page, PageWord word);
  [[nodiscard]] bool prefers_clean(Region& region, PageWord word) const;
  // Requires: locked. It cannot be read any more.
  void lose(std::uint64_t page, PageWord word);
  void forget_stored(std::uint64_t page, PageWord word);
  Touch touch_page(Region& region, std::uint64_t page, bool is_write);

  // --- file_faults.cc
  // As bring_in, for a page that is in a cluster file and nowhere else.
  Result<void> bring_in_cluster(Region& region, std::uint64_t page, PageWord word, bool is_write);
  // Returns: whether there may be room for more.
  bool read_ahead_cluster(ClusterMapping& mapping, std::uint64_t cluster);
  void lock_file_pages(const ClusterMapping& mapping, FilePages& pages, std::uint64_t start,
                       std::uint64_t most);
  void unlock_file_pages(const FilePages& pages);
  Result<void> install_file_pages(const FilePages& pages, const std::byte* cluster,
                                  std::optional<std::uint64_t> page, PageAccess access);

  // --- write_back.cc
  // Writes what their files do not have of these pages. Errors: the first; the rest is tried all
  // the same, and what was not written stays as it was.
  Result<void> write_back(PageRange range, bool is_synced) UZ_EXCLUDES(write_back_mutex_);
  Result<void> write_back_part(ClusterMapping& mapping, PageRange range)
      UZ_EXCLUDES(write_back_mutex_);
  // Requires: pages of one cluster of the file.
  Result<void> write_back_cluster(ClusterMapping& mapping, PageRange range, bool with_resident)
      UZ_REQUIRES(write_back_mutex_);
  Result<void> gather_unwritten(ClusterMapping& mapping, FilePages& pages, bool with_resident)
      UZ_REQUIRES(write_back_mutex_);
  Result<void> copy_unwritten(std::uint64_t page, PageWord word, std::byte* out);
  void settle_written(std::uint64_t page, PageWord word, bool is_protected);
  Result<void> start_write_back() UZ_REQUIRES(write_back_mutex_);
  void write_back_in_background();
  // One look at all that was put away. Returns: whether there is use in waiting for more.
  bool write_back_put_away();
  // The next cluster of one mapping, from `cluster` on. Nothing: there is none.
  Step write_back_next(std::size_t mapping_index, std::uint64_t& cluster);
  void end_write_back();
  [[nodiscard]] std::size_t mapping_count() UZ_EXCLUDES(write_back_mutex_);
  // Whoever makes more pages than the file takes waits for it.
  void wait_for_write_back();
  // Waits a moment, if there are pages to write. Returns: whether it did.
  bool try_wait_for_write_back();
  void wake_write_back();
  // The device has a page of a shared mapping that the file has not, or has it no more.
  void note_unwritten(std::uint64_t page);
  void note_written(std::uint64_t page);
  [[nodiscard]] ClusterMapping* shared_mapping_of(std::uint64_t page) const;

  // --- reclaim.cc
  // Waits until there are `pages` free pages, and works for them. Errors: ENOMEM: the limit cannot
  // be kept any more.
  Result<void> make_room(std::int64_t pages);
  // The machine gives no page although the limit would: takes less.
  Result<void> shrink_for_machine(unsigned attempt);
  // One piece of work towards free memory, at most `most` pages packed.
  Step reclaim_step(unsigned most, bool is_assist);
  void assist();
  bool evict_next_cluster();
  // Puts a cluster's pages, those in `wanted`, into staging. Returns: how many; nullopt when
  // staging has no room. Requires: `wanted` lies in the cluster.
  std::optional<unsigned> take_cluster(std::uint64_t cluster, PageRange wanted);
  struct LockedCluster;
  std::uint64_t take_runs(const LockedCluster& locked, std::uint32_t slot);
  [[nodiscard]] std::optional<std::uint64_t> next_cold_victim();
  [[nodiscard]] std::optional<std::uint64_t> next_victim(PageKindOf kind);
  [[nodiscard]] bool is_victim(std::uint64_t cluster, PageKindOf kind, bool is_second_pass);
  void note_other_bytes();
  [[nodiscard]] std::uint16_t eviction_age() const;
  void wake_reclaimers();
  void work();

  // --- pack.cc
  class StagedKeeper;
  // The oldest pages of staging that nobody has begun to pack: at most `most`, or as many as make a
  // cluster.
  Step pack_oldest(unsigned most, bool is_assist);
  std::uint64_t pack_together(const StagingRing::Batch& batch);
  bool pack_page(const StagingRing::Batch& batch, unsigned index);
  // Requires: locked. Unlocks it: it is in the device, if it is stored.
  void put_away(std::uint64_t page, PageWord word, bool is_stored);

  // --- ranges.cc
  Result<void> pin_page(std::uint64_t page, bool for_write);
  void unpin_page(std::uint64_t page);
  void note_pinned(std::uint64_t page, bool is_pinned);
  Result<void> forget(PageRange range, bool keeps_unwritten);
  bool drop_in_cluster(std::uint64_t first, std::uint64_t count, bool keeps_unwritten);
  void populate();

  // --- pager_check.cc
  void check_page(std::uint64_t page, std::uint64_t& in_memory, std::int64_t& unwritten) const;

  // constant after construction
  const PagerConfig config_;
  const PagerBackend kind_;
  const std::unique_ptr<MemoryBackend> memory_;
  const std::uint64_t staging_target_pages_;
  // synchronizes itself
  Device device_;
  PageWords words_;
  RegionTable regions_;
  FaultBuffers buffers_;
  StagingRing staging_;
  Budget budget_;
  ReclaimBalance balance_;
  Counters counters_;  // Relaxed: counts.
  std::atomic<unsigned> page_cluster_;
  std::array<std::atomic<std::uint64_t>, 2> hands_{};  // Per kind: the next cluster to look at.
  ColdClusters cold_clusters_;
  std::atomic<std::uint64_t> evicted_total_{0};  // Pages; its upper part is the age.
  // Seq_cst with reclaimers_inside_: either a reclaimer sees the freeze, or the freezer sees it.
  std::atomic<std::uint32_t> is_frozen_{0};
  std::atomic<std::uint32_t> reclaimers_inside_{0};
  std::atomic<bool> is_child_{false};
  // Bumped to wake reclaimers; what they wait on.
  std::atomic<std::uint32_t> wake_count_{0};
  std::atomic<std::uint32_t> sleeper_count_{0};
  std::atomic<bool> is_wake_pending_{false};
  std::atomic<unsigned> assist_count_{0};  // Relaxed: whose turn it is.
  // Bumped when a slot of staging has been emptied; what faults without room wait on.
  std::atomic<std::uint32_t> released_count_{0};
  std::atomic<std::uint64_t> table_bytes_{0};
  std::atomic<std::uint64_t> packed_bytes_{0};
  std::atomic<std::uint64_t> mapping_bytes_{0};
  // Pages of shared mappings that only the device has. Relaxed: a count.
  std::atomic<std::int64_t> unwritten_pages_{0};
  std::atomic<std::uint32_t> write_back_wake_{0};   // Bumped to wake the one who writes them,
  std::atomic<std::uint32_t> written_count_{0};     // and when some were written.
  std::atomic<bool> is_write_back_failing_{false};  // Relaxed: then nobody waits for it.
  std::atomic<bool> is_write_back_urgent_{false};   // Relaxed: somebody waits.
  std::atomic<bool> is_ending_{false};
  mutable Mutex stall_mutex_;  // Innermost.
  mutable StallMeter stall_;   // add() from anywhere; the rest under stall_mutex_.
  // Held while pages are written to a file; taken with no page locked.
  Mutex write_back_mutex_;
  std::vector<std::unique_ptr<ClusterMapping>> mappings_ UZ_GUARDED_BY(write_back_mutex_);
  std::thread write_back_thread_ UZ_GUARDED_BY(write_back_mutex_);
  std::vector<std::thread> threads_;
  std::unique_ptr<FaultThreads> fault_threads_;  // Null: faults are signals.
};

// Inside: nobody forks meanwhile. False: somebody does.
class PagerCore::ReclaimTicket {
 public:
  explicit ReclaimTicket(PagerCore& core) : core_(core) {
    core_.reclaimers_inside_.fetch_add(1, std::memory_order_seq_cst);
    is_inside_ = core_.is_frozen_.load(std::memory_order_seq_cst) == 0;
  }
  ~ReclaimTicket() {
    if (core_.reclaimers_inside_.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
        core_.is_frozen_.load(std::memory_order_seq_cst) != 0)
      futex_wake_all(core_.reclaimers_inside_);
  }
  ReclaimTicket(const ReclaimTicket&) = delete;
  ReclaimTicket& operator=(const ReclaimTicket&) = delete;
  explicit operator bool() const { return is_inside_; }

 private:
  PagerCore& core_;
  bool is_inside_;
};

}  // namespace uzram
