// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_writer.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "store/same_filled.h"

namespace uzram {
namespace {

// A cluster of which so many quarters or fewer are alive gives its pages to another: the pages that
// are moved for one that is freed are three at most.
constexpr std::size_t kMostAliveQuarters = 3;

}  // namespace

struct ClusterWriter::Lane {
  Mutex mutex;
  std::unique_ptr<ClusterCompressor> compressor;
  std::vector<std::byte> pages;
  std::vector<std::byte> stream;
  [[nodiscard]] std::size_t memory_bytes() const {
    return sizeof *this + compressor->memory_bytes() + pages.size() + stream.size();
  }
};

// One call of write.
class ClusterWriter::Writing {
 public:
  Writing(Store& store, Lane& lane, std::size_t cluster_pages, std::span<const PageToWrite> pages,
          PageKeeper& keeper)
      : store_(store),
        lane_(lane),
        cluster_pages_(cluster_pages),
        pages_(pages),
        keeper_(keeper),
        stretch_(pages.front().page.value / kStretchPages * kStretchPages) {}

  // Pages of one repeated word cost nothing by themselves; the others are to be packed.
  Result<void> collect() {
    for (std::size_t number = 0; number < pages_.size(); ++number) {
      const PageToWrite& given = pages_[number];
      UZ_DCHECK(given.page.value / kStretchPages * kStretchPages == stretch_);
      given_ |= std::uint64_t{1} << (given.page.value - stretch_);
      if (!same_filled_pattern(PageView(given.content, kPageBytes))) {
        members_[count_++] = {given.page, number, {}};
      } else if (const Result<void> done = write_alone(number); !done) {
        return done;
      }
    }
    return {};
  }

  void take_along() {
    if (count_ == 0) return;
    find_units();
    std::for_each_n(units_.begin(), unit_count_, [this](const Unit& unit) {
      if (is_worth_moving(unit)) take_unit(unit);
    });
  }

  // A rest that makes no full cluster will come along next time.
  Result<void> finish() {
    for (std::size_t first = 0; first < count_; first += cluster_pages_) {
      const std::size_t end = std::min(first + cluster_pages_, count_);
      if (const Result<void> done = pack({members_.data() + first, end - first}); !done)
        return done;
    }
    return {};
  }

  [[nodiscard]] const ClusterWriteOutcome& outcome() const { return outcome_; }

 private:
  struct Member {
    PageIndex page;
    std::size_t number = 0;  // Of the call; of no use for pages that came along.
    SlotWord word;           // What the page was, if it came along.
  };
  // What moves as a whole: a page that stands by itself, or a cluster.
  struct Unit {
    SlotWord word;            // Of its first page.
    std::uint32_t found = 0;  // Pages of it in the stretch.
  };

  [[nodiscard]] PageBuffer place(std::size_t index) {
    return PageBuffer(lane_.pages.data() + index * kPageBytes, kPageBytes);
  }
  [[nodiscard]] bool is_given(PageIndex page) const {
    return (given_ >> (page.value - stretch_) & 1U) != 0;
  }
  template <typename Work>
  void for_each_other(Work work) {
    const std::uint64_t end = std::min(stretch_ + kStretchPages, store_.config().disk_pages);
    for (std::uint64_t page = stretch_; page < end; ++page)
      if (!is_given({page})) work(PageIndex{page}, store_.word_of_slot({page}));
  }
  // Whether two words are of the same unit.
  static bool is_together(SlotWord one, SlotWord other) {
    if (one.state() != SlotState::Member || other.state() != SlotState::Member) return one == other;
    return one.slot() == other.slot();
  }

  void find_units() {
    for_each_other([this](PageIndex, SlotWord word) {
      const bool is_single = word.state() == SlotState::Packed ||
                             (word.state() == SlotState::Raw && !word.is_incompressible());
      if (!is_single && word.state() != SlotState::Member) return;
      const auto end = units_.begin() + static_cast<std::ptrdiff_t>(unit_count_);
      const auto known = std::find_if(
          units_.begin(), end, [word](const Unit& unit) { return is_together(unit.word, word); });
      if (known != end)
        ++known->found;
      else
        units_[unit_count_++] = {word, 1};
    });
  }

  [[nodiscard]] bool is_worth_moving(const Unit& unit) const {
    if (unit.word.state() != SlotState::Member) return true;
    const PageIndex cluster = unit.word.slot();
    if (store_.word_of_slot(cluster).state() != SlotState::Cluster) return false;
    // Where others of it stay, nothing is freed.
    if (unit.found != store_.cluster_slots().users(cluster)) return false;
    const std::size_t size = store_.cluster_slots().size(cluster);
    return unit.found * 4 <= size * kMostAliveQuarters || size * 2 <= cluster_pages_;
  }

  void take_unit(const Unit& unit) {
    for_each_other([&](PageIndex page, SlotWord word) {
      if (count_ < members_.size() && is_together(unit.word, word))
        members_[count_++] = {page, 0, word};
    });
  }

  // Puts content into the lane. Returns: how many of the members have some; they come first.
  std::size_t read(std::span<Member> members) {
    std::size_t count = 0;
    for (const Member& member : members) {
      if (is_given(member.page)) {
        std::memcpy(place(count).data(), pages_[member.number].content, kPageBytes);
      } else {
        const Result<bool> is_read =
            store_.try_claim_and_read(member.page, member.word, place(count));
        if (!is_read || !*is_read) continue;
      }
      members[count++] = member;
    }
    return count;
  }

  Result<void> pack(std::span<Member> members) {
    members = members.first(read(members));
    const std::size_t bytes = members.size() * kPageBytes;
    const MutableBytes stream(lane_.stream);
    std::optional<std::size_t> packed_bytes;
    // A page less than all of them, or it is not worth its name.
    if (members.size() > 1)
      packed_bytes = lane_.compressor->compress(
          ConstBytes(lane_.pages).first(bytes),
          stream.subspan(kClusterCheckBytes, bytes - kPageBytes - kClusterCheckBytes));
    if (!packed_bytes) return write_each(members);
    const Result<PageIndex> cluster =
        store_.add_cluster(stream, *packed_bytes, members.size(), LimitRule::Obey);
    if (!cluster) {
      leave_others(members);
      return tl::unexpected(cluster.error());
    }
    // First those that are claimed: writing the others may wait for somebody else's claim.
    for (const bool is_given_turn : {false, true}) {
      for (std::size_t i = 0; i < members.size(); ++i) {
        if (is_given(members[i].page) != is_given_turn) continue;
        if (!put_member(members[i], SlotWord::member(*cluster, i)))
          store_.drop_cluster_user(*cluster);
      }
    }
    store_.drop_cluster_user(*cluster);  // Ours, which kept it while it had no members.
    return {};
  }

  bool put_member(const Member& member, SlotWord fresh) {
    if (!is_given(member.page)) {
      store_.replace_claimed(member.page, fresh);
      ++outcome_.repacked_pages;
      return true;
    }
    if (!keeper_.try_hold(member.number)) return false;
    store_.put(member.page, fresh);
    keeper_.release(member.number);
    ++outcome_.clustered_pages;
    return true;
  }

  Result<void> write_alone(std::size_t number) {
    const PageToWrite& given = pages_[number];
    const Result<SlotWord> fresh =
        store_.build_alone(PageView(given.content, kPageBytes), SlotWord{});
    if (!fresh) return tl::unexpected(fresh.error());
    if (keeper_.try_hold(number)) {
      store_.put(given.page, *fresh);
      keeper_.release(number);
    } else {
      store_.drop(*fresh);
    }
    return {};
  }
  Result<void> write_each(std::span<const Member> members) {
    leave_others(members);
    for (const Member& member : members) {
      if (!is_given(member.page)) continue;
      if (const Result<void> done = write_alone(member.number); !done) return done;
    }
    return {};
  }
  void leave_others(std::span<const Member> members) {
    for (const Member& member : members)
      if (!is_given(member.page)) store_.unclaim(member.page);
  }

  Store& store_;
  Lane& lane_;
  const std::size_t cluster_pages_;
  const std::span<const PageToWrite> pages_;
  PageKeeper& keeper_;
  const std::uint64_t stretch_;  // Its first page.
  std::uint64_t given_ = 0;      // Bit i: page stretch_ + i.
  std::array<Member, kStretchPages> members_;
  std::size_t count_ = 0;
  std::array<Unit, kStretchPages> units_;
  std::size_t unit_count_ = 0;
  ClusterWriteOutcome outcome_;
};

ClusterWriter::ClusterWriter(Store& store, std::size_t cluster_pages,
                             std::vector<std::unique_ptr<Lane>> lanes)
    : store_(store), cluster_pages_(cluster_pages), lanes_(std::move(lanes)) {
  for (const auto& lane : lanes_) memory_bytes_ += lane->memory_bytes();
}

ClusterWriter::~ClusterWriter() = default;

Result<std::unique_ptr<ClusterWriter>> ClusterWriter::make(Store& store, std::size_t cluster_pages,
                                                           int level, std::size_t lane_count) {
  std::vector<std::unique_ptr<Lane>> lanes;
  for (std::size_t i = 0; i < lane_count; ++i) {
    auto lane = std::make_unique<Lane>();
    auto compressor = ClusterCompressor::make(level, cluster_pages);
    if (!compressor) return tl::unexpected(compressor.error());
    lane->compressor = std::move(*compressor);
    lane->pages.resize(cluster_pages * kPageBytes);
    lane->stream.resize(cluster_stream_room(cluster_pages));
    // Its memory is there before the first write needs it.
    static_cast<void>(lane->compressor->compress(lane->pages, lane->stream));
    lanes.push_back(std::move(lane));
  }
  if (const Result<void> ready = store.prepare_clusters(cluster_pages); !ready)
    return tl::unexpected(ready.error());
  return std::unique_ptr<ClusterWriter>(new ClusterWriter(store, cluster_pages, std::move(lanes)));
}

Result<ClusterWriteOutcome> ClusterWriter::write(std::span<const PageToWrite> pages,
                                                 PageKeeper& keeper) {
  if (pages.empty()) return ClusterWriteOutcome{};
  UZ_CHECK(pages.size() <= kStretchPages);
  const LaneHolder<Lane> lane(lanes_);
  Writing writing(store_, *lane, cluster_pages_, pages, keeper);
  if (const Result<void> done = writing.collect(); !done) return tl::unexpected(done.error());
  writing.take_along();
  if (const Result<void> done = writing.finish(); !done) return tl::unexpected(done.error());
  return writing.outcome();
}

}  // namespace uzram
