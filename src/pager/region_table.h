// SPDX-License-Identifier: Apache-2.0
// pager/region_table.h: which clusters of the span belong to which region.
//
// What:    allocation of addresses in whole clusters, and what a fault must know of a region. Not
//          here: what its pages are (page_words.h).
// Shapes:  a region is a stretch of whole clusters; its number is 1 to kMostRegions.
// Owns:    the table, sparse; the descriptors of mapped files.
// Errors:  add -> ENOMEM no stretch of addresses that long, or too many regions.
// Threads: region_of and the clusters' counts from any thread, also in a fault handler; add and
//          remove by callers that hold no page. A region must not be used while it is removed.
// Laws:    5.
// Proof:   region_table_test.cc, pager_test.cc.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "base/sparse_array.h"
#include "pager/memory_backend.h"
#include "pager/readahead.h"
#include "pager/reclaim_balance.h"

namespace uzram {

// Whether it pays to install pages write-protected when they are read, so that their packed copy
// stays true: it saves packing when they go, and costs a fault when they are written.
class CleanPages {
 public:
  void note_drop() { add(kSavedByDrop); }
  void note_upgrade() { add(-kCostOfUpgrade); }
  // Where it has not paid, one in a few still tries.
  [[nodiscard]] bool pay() {
    if (score_.load(std::memory_order_relaxed) > 0) return true;
    return asked_count_.fetch_add(1, std::memory_order_relaxed) % kTryAgain == 0;
  }
  void forget() { score_.store(kHopefulScore, std::memory_order_relaxed); }

 private:
  // About microseconds.
  static constexpr std::int32_t kSavedByDrop = 7;
  static constexpr std::int32_t kCostOfUpgrade = 4;
  static constexpr std::int32_t kHopefulScore = 16;
  static constexpr std::int32_t kMostScore = 256;
  static constexpr std::int32_t kLeastScore = -64;
  static constexpr std::uint32_t kTryAgain = 32;
  void add(std::int32_t change) {
    const std::int32_t score = score_.load(std::memory_order_relaxed);
    score_.store(std::clamp(score + change, kLeastScore, kMostScore), std::memory_order_relaxed);
  }
  // Relaxed: hints.
  std::atomic<std::int32_t> score_{0};
  std::atomic<std::uint32_t> asked_count_{0};
};

class ClusterMapping;

// Where the pages of a region come from, if they come from a file.
struct RegionSource {
  FileDescriptor file;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;  // From there to the end of the file.
  ClusterMapping* mapping = nullptr;
};

struct Region {
  std::uint64_t first_page = 0;
  std::uint64_t page_count = 0;  // What was asked for: the last cluster may have more addresses.
  PageKindOf kind = PageKindOf::Anonymous;
  int file = -1;                      // Owned by the table.
  ClusterMapping* mapping = nullptr;  // Then the file is a cluster file; owned by the pager.
  std::uint64_t file_offset = 0;
  std::uint64_t file_bytes = 0;  // From the offset to the end of the file.
  std::atomic<AccessHint> hint{AccessHint::Normal};
  ReadaheadState readahead;
  CleanPages clean_pages;
};

// What is counted per cluster, so that reclaim need not look at words. Relaxed: changed under the
// locks of pages; between, off by pages in flight.
struct ClusterState {
  std::atomic<std::uint32_t> region{0};  // 0: none. Release with the region's fields.
  std::atomic<std::uint8_t> in_memory{0};
  std::atomic<std::uint8_t> pinned{0};   // Of these.
  std::atomic<std::uint16_t> active{0};  // Needed again soon after they had gone.
};

// Clusters of cold regions that pages were brought into: they go before all others. When there are
// more than it has room for, the oldest wait for their turn among the others.
class ColdClusters {
 public:
  void add(std::uint64_t cluster) {
    const std::uint64_t last = added_.load(std::memory_order_relaxed);
    if (last != 0 && places_[(last - 1) % kPlaces].load(std::memory_order_relaxed) == cluster + 1)
      return;  // A scan: one after another.
    const std::uint64_t place = added_.fetch_add(1, std::memory_order_relaxed);
    places_[place % kPlaces].store(cluster + 1, std::memory_order_relaxed);
  }
  [[nodiscard]] std::optional<std::uint64_t> take() {
    const std::uint64_t end = added_.load(std::memory_order_relaxed);
    for (std::uint64_t place = end < kPlaces ? 0 : end - kPlaces; place < end; ++place) {
      const std::uint64_t cluster = places_[place % kPlaces].exchange(0, std::memory_order_relaxed);
      if (cluster != 0) return cluster - 1;
    }
    return std::nullopt;
  }

 private:
  static constexpr std::uint64_t kPlaces = 64;
  // Relaxed: hints. A cluster and one, 0: none.
  std::array<std::atomic<std::uint64_t>, kPlaces> places_{};
  std::atomic<std::uint64_t> added_{0};
};

class RegionTable {
 public:
  static constexpr std::uint32_t kMostRegions = 65535;
  static Result<RegionTable> create(std::uint64_t cluster_count);
  ~RegionTable();
  RegionTable(RegionTable&&) noexcept;
  RegionTable& operator=(RegionTable&&) = delete;

  // Returns: the first page.
  Result<std::uint64_t> add(std::uint64_t page_count, PageKindOf kind, AccessHint hint,
                            RegionSource source = {});
  // Requires: the first page of a region, with no page in memory.
  void remove(std::uint64_t first_page);
  // Null when no region has this page.
  [[nodiscard]] Region* region_of(std::uint64_t page) const {
    // Acquire: the region's fields were written before.
    const std::uint32_t number =
        clusters_[page / kClusterPages].region.load(std::memory_order_acquire);
    return number == 0 ? nullptr : &regions_[number];
  }
  [[nodiscard]] ClusterState& cluster(std::uint64_t cluster) const { return clusters_[cluster]; }
  // No region has a cluster at or after this one.
  [[nodiscard]] std::uint64_t cluster_end() const {
    return cluster_end_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool has_files() const { return file_count_.load(std::memory_order_relaxed) != 0; }
  // Clusters in use.
  [[nodiscard]] std::uint64_t used_clusters() const;
  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  RegionTable(SparseArray<ClusterState> clusters, SparseArray<Region> regions);
  [[nodiscard]] std::uint64_t take_clusters(std::uint64_t count) UZ_REQUIRES(*mutex_);
  void give_clusters(std::uint64_t first, std::uint64_t count) UZ_REQUIRES(*mutex_);

  SparseArray<ClusterState> clusters_;
  SparseArray<Region> regions_;
  std::unique_ptr<Mutex> mutex_ = std::make_unique<Mutex>();
  std::map<std::uint64_t, std::uint64_t> free_ UZ_GUARDED_BY(*mutex_);  // First to count.
  std::vector<std::uint32_t> free_numbers_ UZ_GUARDED_BY(*mutex_);
  std::uint32_t used_numbers_ UZ_GUARDED_BY(*mutex_) = 0;  // Numbers ever used.
  std::uint64_t used_clusters_ UZ_GUARDED_BY(*mutex_) = 0;
  std::atomic<std::uint64_t> cluster_end_{0};
  std::atomic<std::uint32_t> file_count_{0};
};

}  // namespace uzram
