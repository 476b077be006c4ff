// SPDX-License-Identifier: Apache-2.0
#include "preload/block_heap.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace uzram {
namespace {

constexpr unsigned kLeastShift = 8;  // 256 bytes.
constexpr unsigned kStepsPerDoubling = 4;
// From here on a free block's pages are given up at once, rather than when its span is empty.
constexpr std::uint64_t kForgetBytes = std::uint64_t{64} << 10;
constexpr std::uint64_t kNaturalAlignment = 64;

}  // namespace

Result<std::unique_ptr<BlockHeap>> BlockHeap::create(PagedSpace& space) {
  auto granules = SparseArray<Granule>::create(space.granule_count());
  if (!granules) return tl::unexpected(granules.error());
  return std::unique_ptr<BlockHeap>(new BlockHeap(space, std::move(*granules)));
}

std::uint64_t BlockHeap::bytes_of_class(unsigned size_class) {
  return std::uint64_t{kStepsPerDoubling + size_class % kStepsPerDoubling}
         << (kLeastShift - 2 + size_class / kStepsPerDoubling);
}

unsigned BlockHeap::class_for(std::uint64_t bytes) {
  if (bytes <= kLeastBlockBytes) return 0;
  const auto shift = static_cast<unsigned>(std::bit_width(bytes - 1)) - 1;  // 2^shift < bytes.
  const auto step = static_cast<unsigned>((bytes - 1) >> (shift - 2)) - kStepsPerDoubling + 1;
  return (shift - kLeastShift) * kStepsPerDoubling + step;
}

void BlockHeap::link(std::uint32_t granule) {
  Granule& span = granules_[granule];
  std::uint32_t& head = with_room_[span.size_class];
  span.previous = 0;
  span.next = head;
  if (head != 0) granules_[head - 1].previous = granule + 1;
  head = granule + 1;
}

void BlockHeap::unlink(std::uint32_t granule) {
  Granule& span = granules_[granule];
  if (span.previous != 0)
    granules_[span.previous - 1].next = span.next;
  else
    with_room_[span.size_class] = span.next;
  if (span.next != 0) granules_[span.next - 1].previous = span.previous;
  span.next = span.previous = 0;
}

std::uint32_t BlockHeap::new_span(unsigned size_class) {
  const std::byte* const start = space_.take(1);
  if (start == nullptr) return kNoGranule;
  const auto granule = static_cast<std::uint32_t>(space_.granule_of(start));
  Granule& span = granules_[granule];
  UZ_CHECK(span.kind == Kind::None);
  span = {};
  span.kind = Kind::Span;
  span.size_class = static_cast<std::uint8_t>(size_class);
  link(granule);
  return granule;
}

BlockHeap::Block BlockHeap::allocate(std::uint64_t bytes, std::uint64_t alignment) {
  if (alignment > kNaturalAlignment) bytes = std::bit_ceil(std::max(bytes, alignment));
  if (bytes > kMostSpanBlockBytes) return allocate_large(bytes, alignment);
  const unsigned size_class = class_for(bytes);
  const std::uint64_t block_bytes = bytes_of_class(size_class);
  const MutexLock lock(mutex_);
  const std::uint32_t head = with_room_[size_class];
  const std::uint32_t granule = head != 0 ? head - 1 : new_span(size_class);
  if (granule == kNoGranule) return {};
  Granule& span = granules_[granule];
  const std::uint64_t block_count = PagedSpace::kGranuleBytes / block_bytes;
  unsigned word = 0;
  while (span.taken[word] == ~std::uint64_t{0}) ++word;
  const std::uint64_t index = word * 64U + static_cast<unsigned>(std::countr_one(span.taken[word]));
  UZ_CHECK(index < block_count);
  span.taken[word] |= std::uint64_t{1} << index % 64;
  if (++span.used_count == block_count) unlink(granule);
  block_bytes_.fetch_add(block_bytes, std::memory_order_relaxed);
  return {space_.address_of(granule) + index * block_bytes, false};
}

BlockHeap::Block BlockHeap::allocate_large(std::uint64_t bytes, std::uint64_t alignment) {
  if (bytes > space_.bytes() || alignment > PagedSpace::kMostAlignment) return {};
  std::byte* const start =
      space_.take(granules_of(bytes), std::max(alignment, PagedSpace::kGranuleBytes));
  if (start == nullptr) return {};
  const MutexLock lock(mutex_);
  Granule& head = granules_[space_.granule_of(start)];
  UZ_CHECK(head.kind == Kind::None);
  head.kind = Kind::Head;
  head.bytes = bytes;
  block_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return {start, true};
}

void BlockHeap::free_in_span(std::uint32_t granule, const std::byte* start) {
  bool is_empty = false;
  {
    const MutexLock lock(mutex_);
    Granule& span = granules_[granule];
    const std::uint64_t block_bytes = bytes_of_class(span.size_class);
    const auto offset = static_cast<std::uint64_t>(start - space_.address_of(granule));
    const std::uint64_t index = offset / block_bytes;
    const std::uint64_t bit = std::uint64_t{1} << index % 64;
    UZ_CHECK(offset % block_bytes == 0);
    UZ_CHECK((span.taken[index / 64] & bit) != 0);  // Not freed twice.
    span.taken[index / 64] &= ~bit;
    block_bytes_.fetch_sub(block_bytes, std::memory_order_relaxed);
    if (span.used_count-- == PagedSpace::kGranuleBytes / block_bytes) link(granule);
    // One empty span a class stays, so that a block that comes and goes costs no drop.
    is_empty = span.used_count == 0 && (span.next != 0 || span.previous != 0);
    if (is_empty) {
      unlink(granule);
      span = {};
    }
  }
  if (is_empty) space_.give(granule, 1);
}

void BlockHeap::free(std::byte* start) {
  const std::uint64_t granule = space_.granule_of(start);
  const Granule& found = granules_[granule];
  if (found.kind == Kind::Span) {
    const std::uint64_t block_bytes = bytes_of_class(found.size_class);
    // Before anybody else can have it.
    if (block_bytes >= kForgetBytes) space_.forget(start, block_bytes);
    free_in_span(static_cast<std::uint32_t>(granule), start);
    return;
  }
  UZ_CHECK(found.kind == Kind::Head);
  UZ_CHECK(start == space_.address_of(granule));
  const std::uint64_t bytes = found.bytes;
  {
    const MutexLock lock(mutex_);
    granules_[granule] = {};
  }
  block_bytes_.fetch_sub(bytes, std::memory_order_relaxed);
  space_.give(granule, granules_of(bytes));
}

std::uint64_t BlockHeap::usable_bytes(const std::byte* start) const {
  const Granule& found = granules_[space_.granule_of(start)];
  if (found.kind == Kind::Span) return bytes_of_class(found.size_class);
  UZ_CHECK(found.kind == Kind::Head);
  return round_up(found.bytes, kPageBytes);
}

bool BlockHeap::resize_large(std::uint64_t granule, std::uint64_t bytes) {
  Granule& head = granules_[granule];
  const std::uint64_t before = granules_of(head.bytes);
  const std::uint64_t after = granules_of(bytes);
  if (after > before && !space_.take_behind(granule + before, after - before)) return false;
  const std::uint64_t old_bytes = head.bytes;
  {
    const MutexLock lock(mutex_);
    head.bytes = bytes;
  }
  block_bytes_.fetch_add(bytes - old_bytes, std::memory_order_relaxed);
  if (after < before) space_.give(granule + after, before - after);
  // Whole pages behind the end; what is asked for again later may hold anything.
  if (bytes < old_bytes) {
    std::byte* const end = space_.address_of(granule) + bytes;
    const std::uint64_t left = after * PagedSpace::kGranuleBytes - bytes;
    if (left != 0) space_.forget(end, left);
  }
  return true;
}

bool BlockHeap::try_resize(std::byte* start, std::uint64_t bytes) {
  const std::uint64_t granule = space_.granule_of(start);
  const Granule& found = granules_[granule];
  if (found.kind == Kind::Span) {
    const std::uint64_t block_bytes = bytes_of_class(found.size_class);
    return bytes <= block_bytes && bytes * 2 >= block_bytes;
  }
  UZ_CHECK(found.kind == Kind::Head);
  if (bytes <= kMostSpanBlockBytes) return false;
  return bytes <= space_.bytes() && resize_large(granule, bytes);
}

bool BlockHeap::owns(const void* address) const {
  return space_.contains(address) && granules_[space_.granule_of(address)].kind != Kind::None;
}

void BlockHeap::check_invariants() const {
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; i < granules_.size(); ++i) {
    const Granule& each = granules_[i];
    if (each.kind == Kind::Head) {
      bytes += each.bytes;
      i += granules_of(each.bytes) - 1;
      continue;
    }
    if (each.kind != Kind::Span) continue;
    unsigned used = 0;
    for (const std::uint64_t word : each.taken) used += static_cast<unsigned>(std::popcount(word));
    UZ_CHECK(used == each.used_count);
    bytes += used * bytes_of_class(each.size_class);
  }
  UZ_CHECK(bytes == block_bytes());
}

}  // namespace uzram
