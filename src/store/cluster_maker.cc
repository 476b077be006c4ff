// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_maker.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "codec/cluster_codec.h"
#include "store/pool_watch.h"

namespace uzram {
namespace {

static_assert(kMostClusterPages == kClusterMostPages);

// Pages further apart than so many times a cluster are no neighbours.
constexpr std::uint64_t kMostSpread = 16;

class ClusterMaker {
 public:
  ClusterMaker(Store& store, const ClusterRequest& request, const StopSignal& stop,
               ClusterCompressor& compressor, SparseArray<std::byte> pages,
               SparseArray<std::byte> stream, SparseArray<std::uint8_t> wanted_members)
      : store_(store),
        request_(request),
        stop_(stop),
        compressor_(compressor),
        cpu_(request.most_cpu),
        pool_watch_(store),
        pages_(std::move(pages)),
        stream_(std::move(stream)),
        wanted_members_(std::move(wanted_members)) {}

  Result<BackgroundOutcome> run() {
    const SlotRegions& regions = store_.regions();
    outcome_.next = request_.first;
    count_wanted_members(0, regions.pages_end);
    count_wanted_members(regions.shared_begin, store_.shared_slots().end());
    walk(0, regions.pages_end);
    walk(regions.shared_begin, store_.shared_slots().end());
    if (error_) return tl::unexpected(*error_);
    outcome_.has_seen_all = !is_done();
    if (outcome_.has_seen_all) outcome_.next = {};
    return outcome_;
  }

 private:
  struct Candidate {
    PageIndex slot;
    SlotWord word;
  };

  [[nodiscard]] bool must_end() const {
    return stop_.load(std::memory_order_relaxed) || error_ ||
           (request_.most_pages && outcome_.tried_pages >= *request_.most_pages);
  }
  [[nodiscard]] bool is_done() { return must_end() || cpu_.is_spent(); }
  // Where CPU that is spent ends the walk: in the middle of a group it would leave pages behind
  // that have lost their neighbours.
  [[nodiscard]] bool is_between_groups(std::uint64_t slot) const {
    return count_ == 0 || is_far(slot);
  }
  // Requires: a group.
  [[nodiscard]] bool is_far(std::uint64_t slot) const {
    return slot - group_[0].slot.value > kMostSpread * request_.cluster_pages;
  }

  [[nodiscard]] bool is_mostly_dead(PageIndex cluster) const {
    const SharedSlots& clusters = store_.cluster_slots();
    return clusters.users(cluster) * 2 <= clusters.size(cluster);
  }
  // Whether the request is about this page, be it alone or in a smaller or mostly dead cluster.
  [[nodiscard]] bool is_wanted(SlotWord word) const {
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
  // A cluster gives nothing back before its last page has left, so it is taken as a whole or not.
  [[nodiscard]] bool is_candidate(SlotWord word) {
    if (!is_wanted(word)) return false;
    if (word.state() != SlotState::Member) return true;
    const std::uint32_t users = store_.cluster_slots().users(word.slot());
    return users <= request_.cluster_pages && wanted_of(word.slot()) >= users;
  }
  std::uint8_t& wanted_of(PageIndex cluster) {
    return wanted_members_[cluster.value - store_.cluster_slots().begin()];
  }

  template <typename Work>
  void for_each_slot(std::uint64_t begin, std::uint64_t end, Work work) {
    begin = std::max(begin, request_.first.value);
    for (std::uint64_t slot = store_.next_touched_slot(begin, end); slot < end && !must_end();
         slot = store_.next_touched_slot(slot + 1, end)) {
      if (cpu_.is_spent() && is_between_groups(slot)) break;
      work(PageIndex{slot}, store_.word_of_slot({slot}));
    }
  }

  void count_wanted_members(std::uint64_t begin, std::uint64_t end) {
    for_each_slot(begin, end, [this](PageIndex, SlotWord word) {
      if (word.state() != SlotState::Member || !is_wanted(word)) return;
      std::uint8_t& wanted = wanted_of(word.slot());
      if (wanted < kMostClusterPages) ++wanted;
    });
  }

  void walk(std::uint64_t begin, std::uint64_t end) {
    for_each_slot(begin, end, [this](PageIndex slot, SlotWord word) {
      outcome_.next = {slot.value + 1};
      if (!is_candidate(word)) return;
      // A cluster's first page comes only where the others find room.
      const bool is_split =
          word.state() == SlotState::Member && taken_of(word.slot()) == 0 &&
          count_ + store_.cluster_slots().users(word.slot()) > request_.cluster_pages;
      if (is_split || (count_ > 0 && is_far(slot.value))) pack_group();
      const Result<bool> is_read = store_.read_and_mark(slot, word, page(count_));
      if (!is_read || !*is_read) return;
      group_[count_++] = {slot, word};
      ++outcome_.tried_pages;
      if (count_ == request_.cluster_pages) pack_group();
    });
    pack_group();
  }

  // How many pages of the cluster are in the group.
  [[nodiscard]] std::size_t taken_of(PageIndex cluster) const {
    return static_cast<std::size_t>(std::count_if(
        group_.begin(), group_.begin() + static_cast<std::ptrdiff_t>(count_),
        [cluster](const Candidate& candidate) {
          return candidate.word.state() == SlotState::Member && candidate.word.slot() == cluster;
        }));
  }
  // What the pool gets back when the whole group goes elsewhere.
  [[nodiscard]] std::uint64_t freed_bytes() const {
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      const SlotWord word = group_[i].word;
      if (word.state() != SlotState::Member) {
        bytes += store_.pool_bytes_of(word);
        continue;
      }
      // A cluster counts once, with its first page here, and only if it is here as a whole.
      const PageIndex cluster = word.slot();
      const bool is_first = std::none_of(
          group_.begin(), group_.begin() + static_cast<std::ptrdiff_t>(i),
          [cluster](const Candidate& candidate) {
            return candidate.word.state() == SlotState::Member && candidate.word.slot() == cluster;
          });
      if (is_first && taken_of(cluster) >= store_.cluster_slots().users(cluster))
        bytes += store_.pool_bytes_of(store_.word_of_slot(cluster));
    }
    return bytes;
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

  // The last page of a cluster is better off alone; any other page without neighbours stays.
  void pack_alone() {
    if (group_[0].word.state() != SlotState::Member) return leave_group();
    const Result<SlotWord> fresh = store_.build_alone(page(0), SlotWord{});
    if (!fresh) return leave_group();
    const std::uint64_t new_bytes = store_.pool_bytes_of(*fresh);
    const std::uint64_t old_bytes = freed_bytes();
    if (new_bytes < old_bytes && store_.replace_marked(group_[0].slot, *fresh)) {
      ++outcome_.changed_pages;
      outcome_.saved_bytes += old_bytes - new_bytes;
      return;
    }
    store_.drop(*fresh);
    leave_group();
  }

  void pack_together() {
    const std::uint64_t old_cost = freed_bytes();
    const MutableBytes stream(stream_.data(), stream_.size());
    const std::optional<std::size_t> packed_bytes = compressor_.compress(
        {pages_.data(), count_ * kPageBytes}, stream.subspan(kClusterCheckBytes));
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
    outcome_.saved_bytes += (old_cost - new_cost) * moved / std::max<std::size_t>(count_, 1);
    pool_watch_.look();
  }

  Store& store_;
  const ClusterRequest& request_;
  const StopSignal& stop_;
  ClusterCompressor& compressor_;
  CpuBudget cpu_;
  PoolWatch pool_watch_;
  SparseArray<std::byte> pages_;
  SparseArray<std::byte> stream_;
  SparseArray<std::uint8_t> wanted_members_;  // By cluster: pages that the request is about.
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
  const SharedSlots& clusters = store.cluster_slots();
  auto wanted = SparseArray<std::uint8_t>::create(store.regions().cluster_end - clusters.begin());
  if (!pages || !stream || !wanted) return fail(ENOMEM);
  MutexLock lock(store.background_mutex());
  if (const Result<void> ready = store.prepare_clusters(request.cluster_pages); !ready)
    return tl::unexpected(ready.error());
  ClusterMaker maker(store, request, stop, **compressor, std::move(*pages), std::move(*stream),
                     std::move(*wanted));
  return maker.run();
}

}  // namespace uzram
