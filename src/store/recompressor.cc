// SPDX-License-Identifier: Apache-2.0
#include "store/recompressor.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "store/pool_watch.h"

namespace uzram {
namespace {

constexpr std::size_t kBucketBytes = 64;
constexpr std::size_t kBucketCount = kPageBytes / kBucketBytes + 1;
// Walks over the table, each for the pages of some sizes: enough to take the largest first, few
// enough to be cheap.
constexpr std::uint64_t kMostWalks = 8;

class Recompressor {
 public:
  Recompressor(Store& store, const RecompressRequest& request, const StopSignal& stop,
               Compressor& compressor)
      : store_(store),
        request_(request),
        stop_(stop),
        compressor_(compressor),
        cpu_(request.most_cpu),
        pool_watch_(store) {
    for (int priority = 1; priority < kAlgorithmCount; ++priority)
      if (store.codec_at(priority) != nullptr) top_priority_ = priority;
  }

  Result<BackgroundOutcome> run() {
    const std::array<std::uint64_t, kBucketCount> sizes = count_sizes();
    std::uint64_t total = 0;
    for (const std::uint64_t count : sizes) total += count;
    std::size_t high = kBucketCount;
    while (high > 0 && !is_done()) {
      std::size_t low = high - 1;
      std::uint64_t count = sizes[low];
      while (low > 0 && (count == 0 || count < total / kMostWalks)) count += sizes[--low];
      for_each_candidate([&](PageIndex slot, SlotWord word) {
        const std::size_t bucket = bucket_of(word);
        if (bucket >= low && bucket < high) repack(slot, word);
      });
      high = low;
    }
    if (error_) return tl::unexpected(*error_);
    outcome_.has_seen_all = !is_done();
    return outcome_;
  }

 private:
  static std::size_t bytes_of(SlotWord word) {
    return word.state() == SlotState::Raw ? kPageBytes : word.packed_bytes();
  }
  static std::size_t bucket_of(SlotWord word) { return bytes_of(word) / kBucketBytes; }

  [[nodiscard]] bool is_done() {
    return stop_.load(std::memory_order_relaxed) || error_ || cpu_.is_spent() ||
           (request_.most_pages && outcome_.tried_pages >= *request_.most_pages);
  }
  [[nodiscard]] bool is_candidate(SlotWord word) const {
    if (word.state() != SlotState::Packed && word.state() != SlotState::Raw) return false;
    if (word.is_incompressible() || word.is_claimed()) return false;
    if (word.state() == SlotState::Packed && word.priority() >= request_.priority) return false;
    return bytes_of(word) >= request_.threshold_bytes && request_.pages.wants(word);
  }

  template <typename Work>
  void for_each_candidate(Work work) {
    const SlotRegions& regions = store_.regions();
    walk(0, regions.pages_end, work);
    walk(regions.shared_begin, store_.shared_slots().end(), work);
  }
  template <typename Work>
  void walk(std::uint64_t begin, std::uint64_t end, Work work) {
    for (std::uint64_t slot = store_.next_touched_slot(begin, end); slot < end && !is_done();
         slot = store_.next_touched_slot(slot + 1, end)) {
      const SlotWord word = store_.word_of_slot({slot});
      if (is_candidate(word)) work(PageIndex{slot}, word);
    }
  }

  std::array<std::uint64_t, kBucketCount> count_sizes() {
    std::array<std::uint64_t, kBucketCount> sizes{};
    for_each_candidate([&](PageIndex, SlotWord word) { ++sizes[bucket_of(word)]; });
    return sizes;
  }

  void repack(PageIndex slot, SlotWord word) {
    const Result<bool> is_read = store_.read_and_mark(slot, word, page_);
    if (!is_read || !*is_read) return;  // Damaged or in use: not ours to report.
    ++outcome_.tried_pages;
    const std::size_t old_bytes = store_.pool_bytes_of(word);
    const std::optional<std::size_t> packed_bytes = compressor_.compress(page_, packed_);
    const std::size_t most_bytes = request_.threshold_bytes != 0
                                       ? std::min(request_.threshold_bytes - 1, kMostPackedBytes)
                                       : kMostPackedBytes;
    const SlotWord trial = packed_bytes && *packed_bytes <= most_bytes
                               ? SlotWord::packed({}, *packed_bytes, request_.priority)
                               : SlotWord::raw({});
    if (store_.pool_bytes_of(trial) >= old_bytes) {
      store_.unmark(slot, request_.priority == top_priority_ ? SlotWord::kIncompressible : 0);
      return;
    }
    const Result<SlotWord> fresh =
        store_.build_packed(packed_, *packed_bytes, request_.priority, word);
    if (!fresh) {
      error_ = fresh.error();
      store_.unmark(slot, 0);
      return;
    }
    if (!store_.replace_marked(slot, *fresh)) {
      store_.drop(*fresh);
      return;
    }
    ++outcome_.changed_pages;
    outcome_.saved_bytes += old_bytes - store_.pool_bytes_of(*fresh);
    pool_watch_.look();
  }

  Store& store_;
  const RecompressRequest& request_;
  const StopSignal& stop_;
  Compressor& compressor_;
  CpuBudget cpu_;
  PoolWatch pool_watch_;
  int top_priority_ = 0;
  std::optional<Error> error_;
  BackgroundOutcome outcome_;
  alignas(64) std::array<std::byte, kPageBytes> page_{};
  alignas(64) std::array<std::byte, kPackedRoomBytes> packed_{};
};

}  // namespace

Result<BackgroundOutcome> recompress(Store& store, const RecompressRequest& request,
                                     const StopSignal& stop) {
  if (request.priority < 1 || request.priority >= kAlgorithmCount) return fail(EINVAL);
  const Codec* codec = store.codec_at(request.priority);
  if (codec == nullptr || request.threshold_bytes >= kPageBytes) return fail(EINVAL);
  const auto compressor = codec->make_compressor();
  if (!compressor) return tl::unexpected(compressor.error());
  MutexLock lock(store.background_mutex());
  const auto worker = std::make_unique<Recompressor>(store, request, stop, **compressor);
  return worker->run();
}

}  // namespace uzram
