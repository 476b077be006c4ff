// SPDX-License-Identifier: Apache-2.0
#include "pool/pool.h"

#include <sys/mman.h>

#include <new>

#include "base/check.h"

namespace uzram {
Result<std::unique_ptr<Pool>> Pool::create(const Arena& arena, std::uint64_t offset,
                                           std::uint64_t bytes) {
  UZ_CHECK(offset % kSpanBytes == 0 && bytes % kSpanBytes == 0 && offset + bytes <= arena.bytes());
  const std::uint64_t capacity = bytes / kSpanBytes;
  UZ_CHECK(capacity > 0 && bytes / kClassStepBytes <= std::uint64_t{1} << kHandleBits);
  void* spans = ::mmap(nullptr, capacity * sizeof(Span), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (spans == MAP_FAILED) return fail_errno();
  return std::unique_ptr<Pool>(new Pool(arena, offset, bytes, static_cast<Span*>(spans)));
}

Pool::Pool(const Arena& arena, std::uint64_t offset, std::uint64_t bytes, Span* spans)
    : arena_(arena),
      arena_offset_(offset),
      base_(arena.base() + offset),
      span_capacity_(static_cast<std::uint32_t>(bytes / kSpanBytes)),
      spans_(spans) {
  for (ClassState& state : classes_) {
    MutexLock lock(state.mutex);
    state.lists.fill(kNoSpan);
  }
}

Pool::~Pool() { ::munmap(spans_, span_capacity_ * sizeof(Span)); }

Pool::Place Pool::place_of(Handle handle, std::size_t class_index) const {
  constexpr std::uint64_t kUnitsPerSpan = kSpanBytes / kClassStepBytes;
  const auto unit = static_cast<std::uint32_t>(handle.value % kUnitsPerSpan);
  // Objects are class_index units long.
  return {static_cast<std::uint32_t>(handle.value / kUnitsPerSpan),
          unit / static_cast<std::uint32_t>(class_index)};
}

Handle Pool::handle_of(Place place, std::size_t class_index) const {
  return {place.span * (kSpanBytes / kClassStepBytes) + place.object * class_index};
}

// --- lists of spans

void Pool::put_in_right_list(ClassState& state, std::uint32_t index) {
  Span& span = spans_[index];
  const SizeClass& size_class = kSizeClasses[span.class_index.load(std::memory_order_relaxed)];
  if (span.list != kNoList) take_from_list(state, index);
  const bool has_room =
      span.used_count < size_class.object_count && span.first_free(span.limit) < span.limit;
  if (!has_room) return;
  span.list = static_cast<std::uint8_t>(span.used_count * kListCount / size_class.object_count);
  std::uint32_t& head = state.lists[span.list];
  span.previous = kNoSpan;
  span.next = head;
  if (head != kNoSpan) spans_[head].previous = index;
  head = index;
}

void Pool::take_from_list(ClassState& state, std::uint32_t index) {
  Span& span = spans_[index];
  if (span.list == kNoList) return;
  if (span.previous != kNoSpan) {
    spans_[span.previous].next = span.next;
  } else {
    state.lists[span.list] = span.next;
  }
  if (span.next != kNoSpan) spans_[span.next].previous = span.previous;
  span.previous = span.next = kNoSpan;
  span.list = kNoList;
}

std::uint32_t Pool::span_with_room(ClassState& state, std::size_t class_index, Growth growth) {
  for (std::size_t list = kListCount; list-- > 0;) {
    if (state.lists[list] != kNoSpan) return state.lists[list];
  }
  const std::uint32_t index = take_free_span(class_index, growth);
  if (index == kNoSpan) return kNoSpan;
  spans_[index].limit = room_of(spans_[index], kSizeClasses[class_index]);
  ++state.span_count;
  put_in_right_list(state, index);
  return index;
}

std::uint32_t Pool::find_free_span(std::size_t class_index, Growth growth) {
  std::uint32_t index = reserved_list_;
  if (index != kNoSpan && class_index != 0) {
    reserved_list_ = spans_[index].next;
    stock_spans_.fetch_sub(1, std::memory_order_relaxed);
    return index;
  }
  index = free_list_;
  if (index != kNoSpan) {
    const bool is_usable = spans_[index].is_reserved && (spans_[index].resident_pages & 1) != 0;
    if (growth == Growth::No && !is_usable) return kNoSpan;
    free_list_ = spans_[index].next;
    return index;
  }
  if (growth == Growth::No || touched_spans_ == span_capacity_) return kNoSpan;
  index = touched_spans_++;
  new (&spans_[index]) Span();
  return index;
}

std::uint32_t Pool::take_free_span(std::size_t class_index, Growth growth) {
  MutexLock lock(free_mutex_);
  const std::uint32_t index = find_free_span(class_index, growth);
  if (index == kNoSpan) return kNoSpan;
  Span& span = spans_[index];
  span.next = kNoSpan;
  span.is_free_listed = false;
  // Under free_mutex_, so that a span without a class that is listed can only be changed under that
  // mutex.
  span.class_index.store(static_cast<std::uint16_t>(class_index), std::memory_order_relaxed);
  return index;
}

void Pool::give_free_span(std::uint32_t index) {
  MutexLock lock(free_mutex_);
  list_free_span(index);
}

void Pool::list_free_span(std::uint32_t index) {
  Span& span = spans_[index];
  UZ_DCHECK(span.used_count == 0 && span.list == kNoList);
  span.class_index.store(0, std::memory_order_relaxed);
  span.is_free_listed = true;
  // One that was squeezed waits there to be filled again.
  const bool is_whole = span.is_reserved && span.resident_pages == ~std::uint64_t{0};
  if (is_whole) stock_spans_.fetch_add(1, std::memory_order_relaxed);
  std::uint32_t& list = is_whole ? reserved_list_ : free_list_;
  span.next = list;
  list = index;
}

std::uint32_t Pool::touched_span_count() const {
  MutexLock lock(free_mutex_);
  return touched_spans_;
}

// --- pages

bool Pool::try_add_resident(std::uint64_t pages, LimitRule rule) {
  std::uint64_t now = resident_pages_.load(std::memory_order_relaxed);
  do {
    const std::uint64_t limit = limit_pages_.load(std::memory_order_relaxed);
    if (rule == LimitRule::Obey && limit != 0 && now + pages > limit) return false;
  } while (!resident_pages_.compare_exchange_weak(now, now + pages, std::memory_order_relaxed));
  raise_resident_pages_max(now + pages);
  return true;
}

bool Pool::try_take_memory(std::uint64_t pages, LimitRule rule) const {
  MemoryAllowance* const allowance = allowance_.load(std::memory_order_acquire);
  if (allowance == nullptr) return true;
  if (rule == LimitRule::Obey) {
    return allowance->try_take(pages, allowance_scope_.load(std::memory_order_relaxed));
  }
  allowance->take(pages);
  return true;
}

void Pool::raise_resident_pages_max(std::uint64_t pages) {
  std::uint64_t highest = resident_pages_max_.load(std::memory_order_relaxed);
  while (pages > highest &&
         !resident_pages_max_.compare_exchange_weak(highest, pages, std::memory_order_relaxed)) {
  }
}

void Pool::reset_resident_pages_max() {
  resident_pages_max_.store(resident_pages_.load(std::memory_order_relaxed),
                            std::memory_order_relaxed);
}

bool Pool::try_make_live(Span& span, std::uint64_t pages, LimitRule rule) {
  const std::uint64_t born = pages & ~span.live_pages;
  if (born == 0) return true;
  const std::uint64_t kept =
      span.is_reserved ? 0 : born & span.resident_pages;  // Empty pages used again.
  const std::uint64_t added = count_pages(born) - count_pages(kept);
  if (added != 0 && !try_add_resident(added, rule)) return false;
  // What is reserved is there already.
  if (added != 0 && !span.is_reserved && !try_take_memory(added, rule)) {
    resident_pages_.fetch_sub(added, std::memory_order_relaxed);
    return false;
  }
  if (kept != 0) empty_pages_.fetch_sub(count_pages(kept), std::memory_order_relaxed);
  if (span.is_reserved) reserved_pages_.fetch_sub(added, std::memory_order_relaxed);
  span.live_pages |= born;
  span.resident_pages |= born;
  return true;
}

void Pool::make_dead(Span& span, std::uint64_t pages) {
  if (pages == 0) return;
  span.live_pages &= ~pages;
  if (span.is_reserved) {
    resident_pages_.fetch_sub(count_pages(pages), std::memory_order_relaxed);
    reserved_pages_.fetch_add(count_pages(pages), std::memory_order_relaxed);
  } else {
    empty_pages_.fetch_add(count_pages(pages), std::memory_order_relaxed);
  }
}

// --- objects

Result<Handle> Pool::allocate(std::size_t bytes, LimitRule rule) {
  UZ_DCHECK(bytes >= 1 && bytes <= kPageBytes);
  const std::size_t class_index = class_index_for(bytes);
  const Growth growth = is_reserve_kept() ? Growth::No : Growth::Yes;
  Result<Handle> handle = allocate_in_class(class_index, rule, growth);
  if (handle) return handle;
  if (handle.error().code == EAGAIN) handle = allocate_beyond_stock(class_index, rule);
  if (handle || handle.error().code != ENOSPC || empty_pages() == 0) return handle;
  // At the limit: pages that are merely kept for later are better given to this object.
  trim(0);
  return allocate_in_class(class_index, rule, Growth::Yes);
}

Result<Handle> Pool::allocate_in_class(std::size_t class_index, LimitRule rule, Growth growth) {
  ClassState& state = classes_[class_index];
  MutexLock lock(state.mutex);
  const std::uint32_t index = span_with_room(state, class_index, growth);
  if (index == kNoSpan) return fail(growth == Growth::No ? EAGAIN : ENOMEM);
  Span& span = spans_[index];
  const std::size_t object = span.first_free(span.limit);
  UZ_CHECK(object < span.limit);
  if (!try_make_live(span, pages_of_object(kSizeClasses[class_index], object), rule)) {
    if (span.used_count == 0) {
      take_from_list(state, index);
      --state.span_count;
      give_free_span(index);
    }
    return fail(ENOSPC);
  }
  span.set_used(object);
  ++span.used_count;
  ++state.used_count;
  put_in_right_list(state, index);
  return handle_of({index, object}, class_index);
}

void Pool::free(Handle handle, std::size_t bytes) {
  const std::size_t class_index = class_index_for(bytes);
  const SizeClass& size_class = kSizeClasses[class_index];
  const Place place = place_of(handle, class_index);
  UZ_CHECK(place.span < span_capacity_);
  UZ_DCHECK(handle_of(place, class_index) == handle);
  ClassState& state = classes_[class_index];
  MutexLock lock(state.mutex);
  Span& span = spans_[place.span];
  UZ_CHECK(span.class_index.load(std::memory_order_relaxed) == class_index);
  UZ_CHECK(place.object < size_class.object_count && span.is_used(place.object));
  span.clear_used(place.object);
  --span.used_count;
  --state.used_count;
  make_dead(span, dead_pages(span, size_class, pages_of_object(size_class, place.object)));
  if (span.used_count == 0) {
    take_from_list(state, place.span);
    --state.span_count;
    give_free_span(place.span);
  } else {
    put_in_right_list(state, place.span);
  }
}

}  // namespace uzram
