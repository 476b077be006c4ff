// SPDX-License-Identifier: Apache-2.0
// A device's data path: byte ranges to pages, large requests to several threads.
#include <algorithm>
#include <ctime>

#include "base/check.h"
#include "device/device_running.h"

namespace uzram {
namespace {

constexpr unsigned kSectorShift = 9;
// A helper that sleeps takes tens of microseconds to wake: below this a request is done sooner
// alone.
constexpr std::size_t kSharedRequestPages = 32;
constexpr std::size_t kChunkPages = 16;

constexpr std::array<std::byte, kPageBytes> kZeros{};

std::uint64_t tick_milliseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000 +
         static_cast<std::uint64_t>(now.tv_nsec) / 1'000'000;
}

// Calls work(first page, bytes) over whole pages, on several threads when there is enough of them.
// Returns: the first error that any of them met.
template <typename Bytes, typename Work>
Result<void> over_pages(WorkerPool& workers, PageIndex first, Bytes pages, Work work) {
  const std::size_t page_count = pages.size() / kPageBytes;
  if (page_count < kSharedRequestPages) return work(first, pages);
  std::atomic<int> error{0};
  auto chunk_work = [&](std::size_t chunk) {
    const std::size_t start = chunk * kChunkPages;
    const std::size_t count = std::min(kChunkPages, page_count - start);
    const Result<void> done =
        work(PageIndex{first.value + start}, pages.subspan(start * kPageBytes, count * kPageBytes));
    int none = 0;
    if (!done) error.compare_exchange_strong(none, done.error().code, std::memory_order_relaxed);
  };
  workers.run((page_count + kChunkPages - 1) / kChunkPages, chunk_work);
  const int code = error.load(std::memory_order_relaxed);
  if (code != 0) return fail(code);
  return {};
}

// A byte range cut at page borders: a part of a page, whole pages, a part of a page.
struct Cut {
  Cut(std::uint64_t offset, std::uint64_t bytes)
      : head_bytes(std::min(bytes, round_up(offset, kPageBytes) - offset)),
        middle_bytes((bytes - head_bytes) / kPageBytes * kPageBytes),
        tail_bytes(bytes - head_bytes - middle_bytes),
        head_page{offset / kPageBytes},
        middle_page{(offset + head_bytes) / kPageBytes},
        tail_page{(offset + head_bytes + middle_bytes) / kPageBytes} {}
  const std::uint64_t head_bytes;
  const std::uint64_t middle_bytes;
  const std::uint64_t tail_bytes;
  const PageIndex head_page;
  const PageIndex middle_page;
  const PageIndex tail_page;
};

}  // namespace

void Device::Counters::clear() {
  for (Shard& each : shards) {
    for (KindCounts& kind : each.kinds) {
      kind.begun = kind.ended = kind.bytes = kind.milliseconds = 0;
    }
  }
  busy_milliseconds = freed_pages = failed_reads = failed_writes = invalid_io = 0;
}

std::uint64_t Device::Counters::in_flight() const {
  std::uint64_t count = 0;
  for (const Shard& each : shards) {
    for (const KindCounts& kind : each.kinds) {
      // In this order: what begins and ends meanwhile must not make it less than 0.
      const std::uint64_t ended = kind.ended.load(std::memory_order_acquire);
      count += kind.begun.load(std::memory_order_relaxed) - ended;
    }
  }
  return count;
}

void Device::Counters::note_busy(std::uint64_t now, bool is_end) {
  std::uint64_t until = busy_until.load(std::memory_order_relaxed);
  if (now <= until) return;
  const bool was_busy = is_end || in_flight() > 0;
  if (!busy_until.compare_exchange_strong(until, now, std::memory_order_relaxed)) return;
  if (was_busy) busy_milliseconds.fetch_add(now - until, std::memory_order_relaxed);
}

void Device::Counters::add_to(DeviceStats& stats) const {
  struct Sum {
    std::uint64_t requests = 0;
    std::uint64_t bytes = 0;
    std::uint64_t milliseconds = 0;
  };
  const auto sum_of = [this](RequestKind kind) {
    Sum sum;
    for (const Shard& each : shards) {
      const KindCounts& counts = each.kinds[static_cast<std::size_t>(kind)];
      sum.requests += counts.ended.load(std::memory_order_relaxed);
      sum.bytes += counts.bytes.load(std::memory_order_relaxed);
      sum.milliseconds += counts.milliseconds.load(std::memory_order_relaxed);
    }
    return sum;
  };
  const Sum reads = sum_of(RequestKind::Read);
  const Sum writes = sum_of(RequestKind::Write);
  const Sum discards = sum_of(RequestKind::Discard);
  const Sum flushes = sum_of(RequestKind::Flush);
  stats.read_requests = reads.requests;
  stats.read_sectors = reads.bytes >> kSectorShift;
  stats.read_milliseconds = reads.milliseconds;
  stats.write_requests = writes.requests;
  stats.write_sectors = writes.bytes >> kSectorShift;
  stats.write_milliseconds = writes.milliseconds;
  stats.discard_requests = discards.requests;
  stats.discard_sectors = discards.bytes >> kSectorShift;
  stats.discard_milliseconds = discards.milliseconds;
  stats.flush_requests = flushes.requests;
  stats.flush_milliseconds = flushes.milliseconds;
  stats.requests_in_flight = in_flight();
  stats.busy_milliseconds = busy_milliseconds.load(std::memory_order_relaxed);
  stats.notify_free = freed_pages.load(std::memory_order_relaxed);
  stats.failed_reads = failed_reads.load(std::memory_order_relaxed);
  stats.failed_writes = failed_writes.load(std::memory_order_relaxed);
  stats.invalid_io = invalid_io.load(std::memory_order_relaxed);
}

Device::CountedRequest::CountedRequest(Counters& counters, RequestKind kind, std::uint64_t bytes)
    : counters_(counters),
      counts_(counters.shard().kinds[static_cast<std::size_t>(kind)]),
      bytes_(bytes),
      begin_(tick_milliseconds()) {
  counters_.note_busy(begin_, false);
  counts_.begun.fetch_add(1, std::memory_order_relaxed);
}

Device::CountedRequest::~CountedRequest() {
  const std::uint64_t end = tick_milliseconds();
  if (end != begin_) {
    counts_.milliseconds.fetch_add(end - begin_, std::memory_order_relaxed);
    counters_.note_busy(end, true);
  }
  counts_.bytes.fetch_add(bytes_, std::memory_order_relaxed);
  // Release: whoever sees that it has ended sees that it had begun.
  counts_.ended.fetch_add(1, std::memory_order_release);
}

Result<void> Device::check_range(std::uint64_t offset, std::uint64_t bytes) const {
  const std::uint64_t end = running_->store->size_pages() * kPageBytes;
  if (offset <= end && bytes <= end - offset) return {};
  counters_->invalid_io.fetch_add(1, std::memory_order_relaxed);
  return fail(EINVAL);
}

// --- read

Result<void> Device::read_range(std::uint64_t offset, MutableBytes out) {
  Store& store = *running_->store;
  const Cut cut(offset, out.size());
  if (cut.head_bytes != 0) {
    const Result<void> head =
        store.read_part(cut.head_page, offset % kPageBytes, out.first(cut.head_bytes));
    if (!head) return head;
  }
  if (cut.middle_bytes != 0) {
    const Result<void> middle = over_pages(
        running_->workers, cut.middle_page, out.subspan(cut.head_bytes, cut.middle_bytes),
        [&store](PageIndex first, MutableBytes pages) { return store.read(first, pages); });
    if (!middle) return middle;
  }
  if (cut.tail_bytes == 0) return {};
  return store.read_part(cut.tail_page, 0, out.last(cut.tail_bytes));
}

Result<void> Device::read(std::uint64_t offset, MutableBytes out) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  if (const Result<void> inside = check_range(offset, out.size()); !inside) return inside;
  const CountedRequest counted(*counters_, RequestKind::Read, out.size());
  const Result<void> done = read_range(offset, out);
  if (!done) counters_->failed_reads.fetch_add(1, std::memory_order_relaxed);
  return done;
}

// --- write

Result<void> Device::write_range(std::uint64_t offset, ConstBytes data) {
  Store& store = *running_->store;
  const Cut cut(offset, data.size());
  if (cut.head_bytes != 0) {
    const Result<void> head =
        store.write_part(cut.head_page, offset % kPageBytes, data.first(cut.head_bytes));
    if (!head) return head;
  }
  if (cut.middle_bytes != 0) {
    const Result<void> middle = over_pages(
        running_->workers, cut.middle_page, data.subspan(cut.head_bytes, cut.middle_bytes),
        [&store](PageIndex first, ConstBytes pages) { return store.write(first, pages); });
    if (!middle) return middle;
  }
  if (cut.tail_bytes == 0) return {};
  return store.write_part(cut.tail_page, 0, data.last(cut.tail_bytes));
}

Result<void> Device::write(std::uint64_t offset, ConstBytes data) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  if (const Result<void> inside = check_range(offset, data.size()); !inside) return inside;
  const CountedRequest counted(*counters_, RequestKind::Write, data.size());
  const Result<void> done = write_range(offset, data);
  running_->maintenance.poke();
  if (!done) counters_->failed_writes.fetch_add(1, std::memory_order_relaxed);
  return done;
}

// --- discard

Result<void> Device::discard(std::uint64_t offset, std::uint64_t bytes) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  if (const Result<void> inside = check_range(offset, bytes); !inside) return inside;
  const CountedRequest counted(*counters_, RequestKind::Discard, bytes);
  const Cut cut(offset, bytes);
  const std::uint64_t page_count = cut.middle_bytes / kPageBytes;
  running_->store->free(cut.middle_page, page_count);
  counters_->freed_pages.fetch_add(page_count, std::memory_order_relaxed);
  running_->maintenance.poke();
  return {};
}

Result<void> Device::zero_range(std::uint64_t offset, std::uint64_t bytes) {
  Store& store = *running_->store;
  const Cut cut(offset, bytes);
  const ConstBytes zeros(kZeros);
  if (cut.head_bytes != 0) {
    const Result<void> head =
        store.write_part(cut.head_page, offset % kPageBytes, zeros.first(cut.head_bytes));
    if (!head) return head;
  }
  store.free(cut.middle_page, cut.middle_bytes / kPageBytes);
  counters_->freed_pages.fetch_add(cut.middle_bytes / kPageBytes, std::memory_order_relaxed);
  if (cut.tail_bytes == 0) return {};
  return store.write_part(cut.tail_page, 0, zeros.first(cut.tail_bytes));
}

Result<void> Device::write_zeroes(std::uint64_t offset, std::uint64_t bytes) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  if (const Result<void> inside = check_range(offset, bytes); !inside) return inside;
  const Result<void> done = zero_range(offset, bytes);
  running_->maintenance.poke();
  if (!done) counters_->failed_writes.fetch_add(1, std::memory_order_relaxed);
  return done;
}

Result<void> Device::flush() {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  const CountedRequest counted(*counters_, RequestKind::Flush, 0);
  return {};
}

Result<Extent> Device::extent_at(std::uint64_t offset, std::uint64_t most_bytes) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  if (const Result<void> inside = check_range(offset, 1); !inside)
    return tl::unexpected(inside.error());
  const Store& store = *running_->store;
  const std::uint64_t page_count = store.size_pages();
  const std::uint64_t first = offset / kPageBytes;
  const std::uint64_t most_pages = most_bytes / kPageBytes + 2;
  const std::uint64_t most_end = std::min(page_count, first + most_pages);
  const auto kind_of = [&store](std::uint64_t page) {
    const SlotWord word = store.word_of({page});
    const bool is_zero =
        word.is_empty() || (word.state() == SlotState::Same && word.pattern() == 0);
    return Extent{0, !word.is_empty(), is_zero};
  };
  Extent extent = kind_of(first);
  std::uint64_t end = first + 1;
  while (end < most_end) {
    const std::uint64_t touched = store.next_touched({end}).value;
    if (touched > end && extent.is_allocated) break;
    end = std::min(touched, most_end);
    if (end == most_end) break;
    const Extent next = kind_of(end);
    if (next.is_allocated != extent.is_allocated || next.is_zero != extent.is_zero) break;
    ++end;
  }
  extent.bytes = end * kPageBytes - offset;
  return extent;
}

}  // namespace uzram
