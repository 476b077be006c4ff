// SPDX-License-Identifier: Apache-2.0
// store/cluster_cache.h: the clusters that were read last, unpacked as far as somebody asked.
//
// What:    a read of one page unpacks its cluster up to that page; the reads that follow find the
//          neighbours here, or go on unpacking where the last one stopped. Not here: where a
//          cluster's bytes are (store.cc).
// Shapes:  a few entries, each one cluster: its packed stream, its pages, the context between them.
// Threads: an Entry belongs to whoever holds it. Nobody waits for another's unpacking: whoever
//          meets a cluster that is being unpacked takes another entry, and waits only when all are
//          taken.
// Memory:  made by prepare, before the first cluster exists; reading allocates nothing.
// Laws:    4, 5.
// Proof:   cluster_cache_test.cc, store_cluster_test.cc.
#pragma once

#include <atomic>
#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/sparse_array.h"
#include "base/units.h"
#include "codec/cluster_codec.h"
#include "store/page_check.h"

namespace uzram {

// Which content: a cluster's slot, and what tells it from others that the slot had before.
struct ClusterKey {
  PageIndex slot;
  std::uint32_t serial = 0;
  friend bool operator==(const ClusterKey&, const ClusterKey&) = default;
};

class ClusterCache {
 public:
  struct alignas(64) Entry {
    Mutex mutex;
    std::atomic<std::uint64_t> tag{0};        // Of the key; 0: nothing. A hint for who looks.
    std::atomic<std::uint64_t> last_used{0};  // A count of uses, not a time.
    // guarded by mutex
    ClusterKey key;
    std::size_t stream_bytes = 0;  // `packed` holds the key's stream when not 0.
    bool is_open = false;          // The stream was checked, and unpacking has begun.
    std::size_t ready_pages = 0;   // Of `pages`; more come by unpacking.
    std::unique_ptr<ClusterDecompressor> decompressor;
    std::unique_ptr<SparseArray<std::byte>> packed;
    std::unique_ptr<SparseArray<std::byte>> pages;
  };

  // Holds an entry for one thread.
  class Holder {
   public:
    explicit Holder(Entry& entry) : entry_(&entry) {}
    ~Holder() UZ_NO_THREAD_SAFETY_ANALYSIS {
      if (entry_ != nullptr) entry_->mutex.unlock();
    }
    Holder(Holder&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}
    Holder& operator=(Holder&&) = delete;
    Entry& operator*() const { return *entry_; }
    Entry* operator->() const { return entry_; }

   private:
    Entry* entry_;
  };

  explicit ClusterCache(std::size_t entry_count) : entries_(entry_count) {}

  // Makes room for clusters of so many pages. Errors: ENOMEM. From any thread, while others read.
  Result<void> prepare(std::size_t most_pages);
  // The entry that holds the cluster, or the one to be filled with it: then stream_bytes is 0 and
  // the key is set. Requires: prepare for clusters as large.
  [[nodiscard]] Holder find(ClusterKey key);
  [[nodiscard]] std::size_t memory_bytes() const {
    return memory_bytes_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t hits() const { return hits_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t misses() const { return misses_.load(std::memory_order_relaxed); }

 private:
  [[nodiscard]] Entry* try_find_filled(ClusterKey key, std::uint64_t tag);
  [[nodiscard]] Entry* try_take_oldest();

  std::vector<Entry> entries_;
  Mutex prepare_mutex_;
  std::size_t most_pages_ UZ_GUARDED_BY(prepare_mutex_) = 0;
  // Relaxed: counts.
  std::atomic<std::size_t> memory_bytes_{0};
  std::atomic<std::uint64_t> clock_{0};
  std::atomic<std::uint64_t> hits_{0};
  std::atomic<std::uint64_t> misses_{0};
};

// Copies one page of the entry's cluster out, unpacking as far as needed. `check` may be null: then
// the stream is not checked.
// Requires: stream_bytes is not 0. Errors: EIO when the stream is damaged; the entry is then
// forgotten.
[[nodiscard]] Result<void> unpack_member(ClusterCache::Entry& entry, std::size_t number,
                                         PageCheckFunction check, PageBuffer out);

}  // namespace uzram
