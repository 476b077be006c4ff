// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_maker.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "codec/cluster_codec.h"

namespace uzram {
namespace {

static_assert(kMostClusterPages == kClusterMostPages);

// Pages further apart than so many times a cluster are no neighbours.
constexpr std::uint64_t kMostSpread = 16;

class ClusterMaker {
 public:
  ClusterMaker(Store& store, const ClusterRequest& request, const StopSignal& stop,
               ClusterCompressor& compressor, SparseArray<std::byte> pages,
               SparseArray<std::byte> stream)
      : store_(store),
        request_(request),
        stop_(stop),
        compressor_(compressor),
        cpu_(request.most_cpu),
        pages_(std::move(pages)),
        stream_(std::move(stream)) {}

  Result<BackgroundOutcome> run() {
    const SlotRegions& regions = store_.regions();
    walk(0, regions.pages_end);
    walk(regions.shared_begin, store_.shared_slots().end());
    if (error_) return tl::unexpected(*error_);
    outcome_.has_seen_all = !is_done();
    return outcome_;
  }

 private:
  struct Candidate {
    PageIndex slot;
    std::uint64_t cost_bytes = 0;  // Of the pool, now.
  };

  [[nodiscard]] bool is_done() {
    return stop_.load(std::memory_order_relaxed) || error_ || cpu_.is_spent() ||
           (request_.most_pages && outcome_.tried_pages >= *request_.most_pages);
  }

  [[nodiscard]] bool is_mostly_dead(PageIndex cluster) const {
    const SharedSlots& clusters = store_.cluster_slots();
    return clusters.users(cluster) * 2 <= clusters.size(cluster);
  }
  [[nodiscard]] bool is_candidate(SlotWord word) const {
    if (word.is_claimed()) return false;
    if (word.state() == SlotState::Member) {
      const PageIndex cluster = word.slot();
      if (store_.word_of_slot(cluster).state() != SlotState::Cluster) return false;
      if (is_mostly_dead(cluster)) return true;
      return !request_.only_mostly_dead && request_.pages.wants(word) &&
             store_.cluster_slots().size(cluster) * 2 <= request_.cluster_pages;
    }
    if (request_.only_mostly_dead || word.is_incompressible()) return false;
    return (word.state() == SlotState::Packed || word.state() == SlotState::Raw) &&
           request_.pages.wants(word);
  }
  // A member's share of what its cluster costs.
  [[nodiscard]] std::uint64_t cost_of(SlotWord word) const {
    if (word.state() != SlotState::Member) return store_.pool_bytes_of(word);
    const std::uint32_t users = std::max(1U, store_.cluster_slots().users(word.slot()));
    return store_.pool_bytes_of(store_.word_of_slot(word.slot())) / users;
  }

  void walk(std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t slot = store_.next_touched_slot(begin, end); slot < end && !is_done();
         slot = store_.next_touched_slot(slot + 1, end)) {
      const SlotWord word = store_.word_of_slot({slot});
      if (!is_candidate(word)) continue;
      const bool is_far =
          count_ > 0 && slot - group_[0].slot.value > kMostSpread * request_.cluster_pages;
      if (is_far) pack_group();
      const Result<bool> is_read = store_.read_and_mark({slot}, word, page(count_));
      if (!is_read || !*is_read) continue;
      group_[count_++] = {{slot}, cost_of(word)};
      ++outcome_.tried_pages;
      if (count_ == request_.cluster_pages) pack_group();
    }
    pack_group();
  }

  [[nodiscard]] PageBuffer page(std::size_t number) {
    return PageBuffer(pages_.data() + number * kPageBytes, kPageBytes);
  }
  void leave_group() {
    for (std::size_t i = 0; i < count_; ++i) store_.unmark(group_[i].slot, 0);
  }

  void pack_group() {
    if (count_ == 1) {
      pack_alone();
    } else if (count_ > 1) {
      pack_together();
    }
    count_ = 0;
  }

  // A page without neighbours leaves a mostly dead cluster, and stays what it is otherwise.
  void pack_alone() {
    const SlotWord word = store_.word_of_slot(group_[0].slot);
    if (word.state() != SlotState::Member || !word.is_marked()) return leave_group();
    const Result<SlotWord> fresh = store_.build_alone(page(0), word);
    if (!fresh) return leave_group();
    if (store_.replace_marked(group_[0].slot, *fresh)) {
      ++outcome_.changed_pages;
    } else {
      store_.drop(*fresh);
    }
  }

  void pack_together() {
    const MutableBytes stream(stream_.data(), stream_.size());
    const std::optional<std::size_t> packed_bytes = compressor_.compress(
        {pages_.data(), count_ * kPageBytes}, stream.subspan(kClusterCheckBytes));
    std::uint64_t old_cost = 0;
    for (std::size_t i = 0; i < count_; ++i) old_cost += group_[i].cost_bytes;
    if (!packed_bytes) return leave_group();
    const ClusterShape shape = ClusterShape::for_stream(kClusterCheckBytes + *packed_bytes);
    const std::uint64_t new_cost = shape.pool_bytes() + sizeof(SlotWord);
    if (shape.pieces > kMostClusterPieces || new_cost >= old_cost) return leave_group();

    const Result<PageIndex> cluster = store_.add_cluster(stream, *packed_bytes, count_);
    if (!cluster) {
      error_ = cluster.error();
      return leave_group();
    }
    std::uint64_t moved = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (store_.replace_marked(group_[i].slot, SlotWord::member(*cluster, i))) {
        ++moved;
      } else {
        store_.drop_cluster_user(*cluster);
      }
    }
    store_.drop_cluster_user(*cluster);  // Ours, which kept it while it had no members.
    outcome_.changed_pages += moved;
    outcome_.saved_bytes += (old_cost - new_cost) * moved / count_;
  }

  Store& store_;
  const ClusterRequest& request_;
  const StopSignal& stop_;
  ClusterCompressor& compressor_;
  CpuBudget cpu_;
  SparseArray<std::byte> pages_;
  SparseArray<std::byte> stream_;
  std::array<Candidate, kMostClusterPages> group_;
  std::size_t count_ = 0;
  std::optional<Error> error_;
  BackgroundOutcome outcome_;
};

}  // namespace

Result<BackgroundOutcome> make_clusters(Store& store, const ClusterRequest& request,
                                        const StopSignal& stop) {
  const auto compressor = ClusterCompressor::make(request.level, request.cluster_pages);
  if (!compressor) return tl::unexpected(compressor.error());
  auto pages = SparseArray<std::byte>::create(request.cluster_pages * kPageBytes);
  auto stream = SparseArray<std::byte>::create(cluster_stream_room(request.cluster_pages));
  if (!pages || !stream) return fail(ENOMEM);
  MutexLock lock(store.background_mutex());
  if (const Result<void> ready = store.prepare_clusters(request.cluster_pages); !ready)
    return tl::unexpected(ready.error());
  ClusterMaker maker(store, request, stop, **compressor, std::move(*pages), std::move(*stream));
  return maker.run();
}

}  // namespace uzram
