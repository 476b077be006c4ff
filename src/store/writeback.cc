// SPDX-License-Identifier: Apache-2.0
#include "store/writeback.h"

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "backing/backing_writer.h"
#include "base/check.h"

namespace uzram {
namespace {

// What the listener has to know of an object, in 64 bits: which slot, and the word it shall say.
struct Ticket {
  PageIndex slot;
  std::size_t units = 0;  // A page's packed bytes, 0 for a raw one; a cluster's bytes / 16.
  int priority = 0;
  bool is_cluster = false;
  bool is_incompressible = false;

  [[nodiscard]] std::uint64_t tag() const {
    return slot.value << 24 | static_cast<std::uint64_t>(units) << 8 |
           static_cast<std::uint64_t>(is_incompressible) << 3 |
           static_cast<std::uint64_t>(is_cluster) << 2 | static_cast<std::uint64_t>(priority);
  }
  static Ticket of(std::uint64_t tag) {
    return {{tag >> 24},
            tag >> 8 & 0xffff,
            static_cast<int>(tag & 3),
            (tag >> 2 & 1) != 0,
            (tag >> 3 & 1) != 0};
  }
  [[nodiscard]] std::size_t bytes() const {
    if (is_cluster) return units * 16;
    return units == 0 ? kPageBytes : units;
  }
  [[nodiscard]] SlotWord word_at(BackingPosition place) const {
    if (is_cluster) return SlotWord::cluster_written_back(place, bytes());
    const SlotWord word = SlotWord::written_back(place, units, priority);
    return is_incompressible ? word.with(SlotWord::kIncompressible) : word;
  }
};

// The same pages in the device's order, each once.
std::vector<PageRange> merged(std::vector<PageRange> ranges) {
  std::sort(ranges.begin(), ranges.end(),
            [](const PageRange& a, const PageRange& b) { return a.first.value < b.first.value; });
  std::vector<PageRange> result;
  for (const PageRange& range : ranges) {
    if (!result.empty() && range.first.value <= result.back().last.value) {
      result.back().last.value = std::max(result.back().last.value, range.last.value);
    } else {
      result.push_back(range);
    }
  }
  return result;
}

class Writeback final : public BackingListener {
 public:
  Writeback(Store& store, const WritebackRequest& request, const StopSignal& stop,
            SparseArray<std::uint8_t> wanted_members, SparseArray<std::uint8_t> visited)
      : store_(store),
        request_(request),
        stop_(stop),
        ranges_(merged(request.ranges)),
        cpu_(request.most_cpu),
        wanted_members_(std::move(wanted_members)),
        visited_(std::move(visited)) {}

  WritebackOutcome run() {
    const std::uint64_t blocks_before = store_.backing()->counters().blocks_written;
    outcome_.next = request_.first;
    {
      // Who counts the processor's time counts that of one thread.
      const bool has_helper = !request_.most_cpu && std::thread::hardware_concurrency() > 1;
      BackingWriter writer(*store_.backing(), *this, request_.most_in_flight,
                           has_helper ? EncryptIn::OwnThread : EncryptIn::CallingThread);
      writer_ = &writer;
      outcome_.next = request_.first;
      count_wanted_members();
      for_each_slot([this](PageIndex slot, SlotWord word) {
        if (consider(slot, word)) outcome_.next = {slot.value + 1};
      });
      outcome_.has_seen_all = !is_done();
      if (outcome_.has_seen_all) outcome_.next = {};
      writer.flush();
    }
    outcome_.is_limit_reached = is_over_;
    outcome_.written_blocks = store_.backing()->counters().blocks_written - blocks_before;
    return outcome_;
  }

  void placed(std::uint64_t tag, Result<BackingPosition> position) override {
    const Ticket ticket = Ticket::of(tag);
    if (!position) {
      outcome_.error = position.error().code;
      store_.release_mark(ticket.slot);
      return;
    }
    if (store_.replace_marked(ticket.slot, ticket.word_at(*position))) {
      outcome_.written_pages += ticket.is_cluster ? store_.cluster_slots().users(ticket.slot) : 1;
    } else {
      store_.backing()->free(*position, ticket.bytes());
    }
  }

 private:
  [[nodiscard]] bool is_done() {
    return stop_.load(std::memory_order_relaxed) || is_full_ || is_over_ || cpu_.is_spent() ||
           (request_.most_pages && outcome_.tried_pages >= *request_.most_pages);
  }

  template <typename Work>
  void for_each_slot(Work work) {
    if (!request_.ranges.empty()) {
      for (const PageRange& range : ranges_) walk(range.first.value, range.last.value + 1, work);
      return;
    }
    const std::uint64_t first = request_.first.value;
    walk(first, store_.regions().pages_end, work);
    walk(std::max(first, store_.regions().shared_begin), store_.shared_slots().end(), work);
  }
  template <typename Work>
  void walk(std::uint64_t begin, std::uint64_t end, Work work) {
    for (std::uint64_t slot = store_.next_touched_slot(begin, end); slot < end && !is_done();
         slot = store_.next_touched_slot(slot + 1, end)) {
      const SlotWord word = store_.word_of_slot({slot});
      if (!word.is_claimed()) work(PageIndex{slot}, word);
    }
  }

  // A cluster goes when the request wants every page that lives in it.
  void count_wanted_members() {
    for_each_slot([this](PageIndex, SlotWord word) {
      if (word.state() != SlotState::Member || !request_.pages.wants(word)) return;
      std::uint8_t& count = wanted_of(word.slot());
      if (count < 255) ++count;
    });
  }
  std::uint8_t& wanted_of(PageIndex cluster) {
    return wanted_members_[cluster.value - store_.cluster_slots().begin()];
  }

  // Returns: false when the request must come back to this slot.
  bool consider(PageIndex slot, SlotWord word) {
    if (word.state() == SlotState::Member) {
      const PageIndex cluster = word.slot();
      std::uint8_t& wanted = wanted_of(cluster);
      if (wanted == 0 || wanted < store_.cluster_slots().users(cluster)) return true;
      wanted = 0;  // Once is enough.
      return write_cluster(cluster);
    }
    if (word.state() == SlotState::Shared) {
      if (request_.ranges.empty()) return true;
      // By number: the content goes, for all who share it.
      const SlotWord content = store_.word_of_slot(word.slot());
      return !is_single(content) || write_page(word.slot(), content);
    }
    return !is_single(word) || !request_.pages.wants(word) || write_page(slot, word);
  }
  static bool is_single(SlotWord word) {
    return word.state() == SlotState::Packed || word.state() == SlotState::Raw;
  }

  bool write_page(PageIndex slot, SlotWord word) {
    // Once: a second mark, for new content, would let the first ticket publish what is old.
    if (std::exchange(visited_[slot.value], std::uint8_t{1}) != 0) return true;
    const bool stays_packed = request_.keep_packed && word.state() == SlotState::Packed;
    const std::size_t bytes = stays_packed ? word.packed_bytes() : kPageBytes;
    const Result<MutableBytes> place = reserve(bytes);
    if (!place) return false;
    if (stays_packed || word.state() == SlotState::Raw) {
      const Result<std::size_t> copied = store_.copy_and_mark(slot, word, *place);
      if (!copied || *copied == 0) return true;
      UZ_DCHECK(*copied == bytes);
    } else {
      const Result<bool> is_read = store_.read_and_mark(slot, word, PageBuffer(*place));
      if (!is_read || !*is_read) return true;
    }
    commit(
        {slot, bytes == kPageBytes ? 0 : bytes, word.priority(), false, word.is_incompressible()},
        1);
    return true;
  }

  bool write_cluster(PageIndex cluster) {
    const SlotWord word = store_.word_of_slot(cluster);
    if (word.state() != SlotState::Cluster) return true;
    const std::size_t bytes = ClusterShape::of(word).stream_bytes;
    const Result<MutableBytes> place = reserve(bytes);
    if (!place) return false;
    const Result<std::size_t> copied = store_.copy_and_mark(cluster, word, *place);
    if (!copied || *copied == 0) return true;
    UZ_DCHECK(*copied == bytes && bytes % 16 == 0);
    commit({cluster, bytes / 16, 0, true, false}, store_.cluster_slots().users(cluster));
    return true;
  }

  // Where an object can be put. An error: no more are taken, nor what would follow.
  Result<MutableBytes> reserve(std::size_t bytes) {
    if (request_.most_blocks && writer_->blocks_with(bytes) > *request_.most_blocks) {
      is_over_ = true;
      return fail(ENOSPC);
    }
    Result<MutableBytes> place = writer_->reserve(bytes);
    if (!place) {
      outcome_.error = place.error().code;
      is_full_ = true;
    }
    return place;
  }
  void commit(const Ticket& ticket, std::uint64_t page_count) {
    writer_->commit(ticket.bytes(), ticket.tag());
    outcome_.tried_pages += page_count;
  }

  Store& store_;
  const WritebackRequest& request_;
  const StopSignal& stop_;
  const std::vector<PageRange> ranges_;
  CpuBudget cpu_;
  SparseArray<std::uint8_t> wanted_members_;
  SparseArray<std::uint8_t> visited_;  // Pages and shared slots.
  BackingWriter* writer_ = nullptr;
  bool is_full_ = false;  // The store takes no more.
  bool is_over_ = false;  // The request does not want more.
  WritebackOutcome outcome_;
};

}  // namespace

WritebackOutcome write_back(Store& store, const WritebackRequest& request, const StopSignal& stop) {
  WritebackOutcome failed;
  if (store.backing() == nullptr) {
    failed.error = ENODEV;
    return failed;
  }
  const SharedSlots& clusters = store.cluster_slots();
  auto wanted = SparseArray<std::uint8_t>::create(store.regions().cluster_end - clusters.begin());
  auto visited = SparseArray<std::uint8_t>::create(store.regions().shared_end);
  if (!wanted || !visited) {
    failed.error = ENOMEM;
    return failed;
  }
  MutexLock lock(store.background_mutex());
  Writeback work(store, request, stop, std::move(*wanted), std::move(*visited));
  return work.run();
}

}  // namespace uzram
