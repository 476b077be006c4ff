// SPDX-License-Identifier: Apache-2.0
// pool/pool.h: where packed bytes live.
//
// What:    allocates objects of 1 to kPageBytes bytes in an arena by size class, gives emptied
//          pages back, and empties sparse spans. Not here: what the bytes are, which slot points to
//          them (store/).
// Shapes:  a Handle is the object's place in the pool in units of 16 bytes, below 2^36 (1 TiB of
//          addresses).
// Owns:    the pool's part of the arena, and its span descriptions in private memory. Everything
//          private can be rebuilt by adopt() from the slots that point into the pool.
// Errors:  allocate -> ENOMEM when addresses or memory run out, ENOSPC when the limit forbids more
//          resident pages; nothing has changed then. free cannot fail.
// Threads: every member from any thread unless said otherwise. A class has its own mutex, held for
//          a few dozen instructions, or for the system call that returns pages or makes them
//          resident.
// Laws:    2, 5, 6, 8.
// Proof:   pool_test.cc, pool_memory_test.cc, pool_compaction_test.cc, pool_model_test.cc,
//          pool_reserve_test.cc, pool_thread_test.cc. pool_reserve_test.cc.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <span>

#include "base/memory_allowance.h"
#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"
#include "pool/arena.h"
#include "pool/size_classes.h"
#include "pool/span.h"

namespace uzram {

struct Handle {
  std::uint64_t value = 0;  // Offset in the pool / kClassStepBytes.
  friend bool operator==(const Handle&, const Handle&) = default;
};
inline constexpr int kHandleBits = 36;

// What one size class holds, in spans, objects and pages.
struct ClassUse {
  static constexpr std::size_t kShareCount = 11;
  std::size_t object_bytes = 0;
  std::size_t span_pages = 0;
  // Spans by how full they are: below 10 %, 20 % and so on, 100 %, and those without room.
  std::array<std::uint64_t, kShareCount> spans{};
  std::uint64_t places = 0;  // Objects for which the spans have room.
  std::uint64_t objects = 0;
  std::uint64_t resident_pages = 0;
  std::uint64_t free_pages = 0;  // What compaction and trimming can give back of them.
};
using ClassUses = std::array<ClassUse, kClassCount + 1>;  // By class index; row 0 is not used.

// Whether an allocation may make more pages resident than the limit allows.
enum class LimitRule { Obey, Exceed };

class Pool {
 public:
  // Requires: [offset, offset + bytes) lies in the arena; both are multiples of kSpanBytes; the
  // arena outlives it.
  static Result<std::unique_ptr<Pool>> create(const Arena& arena, std::uint64_t offset,
                                              std::uint64_t bytes);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Requires: 1 <= bytes <= kPageBytes. Does not touch the object's memory.
  [[nodiscard]] Result<Handle> allocate(std::size_t bytes, LimitRule rule);
  // Requires: allocated with the same number of bytes, and not freed.
  void free(Handle handle, std::size_t bytes);
  // The object's bytes, valid until it is freed. Requires: as free.
  [[nodiscard]] MutableBytes at(Handle handle, std::size_t bytes) const {
    return {base_ + handle.value * kClassStepBytes, bytes};
  }
  // Hints that `handle` is about to be freed or read.
  void prefetch(Handle handle) const {
    __builtin_prefetch(&spans_[handle.value / (kSpanBytes / kClassStepBytes)], 1);
  }

  // --- limits and memory
  void set_limit_pages(std::uint64_t pages) {
    limit_pages_.store(pages, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t limit_pages() const {
    return limit_pages_.load(std::memory_order_relaxed);
  }
  // From now on new memory is taken from what the process may still take; null: from no such count.
  // Requires: it outlives the pool.
  void set_allowance(MemoryAllowance* allowance) {
    allowance_.store(allowance, std::memory_order_release);
  }
  void set_allowance_scope(AllowanceScope scope) {
    allowance_scope_.store(scope, std::memory_order_relaxed);
  }
  // Takes pages that are to be touched. Returns: false when so many are not left.
  [[nodiscard]] bool try_take_memory(std::uint64_t pages, LimitRule rule) const;
  // Pages that objects have touched and that have not been given back; reserved pages are counted
  // apart.
  [[nodiscard]] std::uint64_t resident_pages() const {
    return resident_pages_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t resident_pages_max() const {
    return resident_pages_max_.load(std::memory_order_relaxed);
  }
  void reset_resident_pages_max();
  // Resident pages that no object touches: kept for the next allocations, given back by trim.
  [[nodiscard]] std::uint64_t empty_pages() const {
    return empty_pages_.load(std::memory_order_relaxed);
  }
  // Gives empty pages back until at most `keep_pages` are left. Returns: the pages given back.
  std::uint64_t trim(std::uint64_t keep_pages);

  // --- reserve (pool_reserve.cc)
  // Makes `pages` usable ahead of need, beside what is used now, and touches `headroom` more: a
  // span's pages serve one class at a time, and the headroom is what all classes together may have
  // taken and not used. Until the pages are used up allocate takes no new memory, as long as
  // restock and compaction are called when reserve_is_low says so. 0 ends it and gives everything
  // back. Errors: ENOMEM, and nothing is kept.
  Result<void> reserve(std::uint64_t pages, std::uint64_t headroom = 0);
  // Resident pages that no object touches, in reserved spans.
  [[nodiscard]] std::uint64_t reserved_pages() const {
    return reserved_pages_.load(std::memory_order_relaxed);
  }
  // What objects of any class may still take without new memory.
  [[nodiscard]] std::uint64_t reserve_left() const;
  // Classes hold so many pages that they do not use that few whole spans are left for others.
  // `is_short`: so few that a write had better wait. False again after restocked said that no more
  // is to be had, until more has come together.
  [[nodiscard]] bool reserve_is_low() const { return lacks_stock(2); }
  [[nodiscard]] bool reserve_is_short() const { return lacks_stock(8); }
  // What classes hold and cannot use goes to whole spans for any class: as many pages are given
  // back as are touched. Unused ends of spans always; Hard takes what lies behind the last object
  // of a span too.
  enum class Grip { Soft, Hard };
  void restock(Grip grip);
  void note_restocked();
  // Span descriptions in use.
  [[nodiscard]] std::uint64_t metadata_bytes() const;
  // Pages that the live objects would need if each class were packed tightly: what compaction can
  // reach.
  [[nodiscard]] std::uint64_t tight_pages() const;

  // Walks all spans; each class is right at its own moment.
  [[nodiscard]] std::unique_ptr<ClassUses> class_uses() const;

  // --- compaction (one at a time; pool_compaction.cc)
  // Chooses what to empty: afterwards must_move says which objects stand in the way and allocate
  // avoids their places. Returns: how many objects must move.
  std::uint64_t begin_compaction();
  // The object may be gone by now: the answer is then of no use, but asking is safe.
  [[nodiscard]] bool must_move(Handle handle, std::size_t bytes) const;
  // Lets all places be used again.
  void end_compaction();

  // --- recovery
  // Counts a slot's vote for the class of the span that it points into. After all slots were asked
  // and before the first adopt: a damaged slot then costs itself, not the span's other objects.
  void survey(Handle handle, std::size_t bytes);
  // Says that a slot holds this object; any handle and size may be asked. Requires: no other thread
  // is in the pool. Returns: false when no object has this size, or the place is outside the pool,
  // not an object of this class, or already taken.
  [[nodiscard]] bool adopt(Handle handle, std::size_t bytes);
  // Takes an adopt back, before finish_adoption.
  void disown(Handle handle, std::size_t bytes);
  // Whether an object of this size can stand there, allocated or not.
  [[nodiscard]] bool is_place(Handle handle, std::size_t bytes) const {
    return valid_place(handle, bytes).has_value();
  }
  // After the last adopt: rebuilds lists and counts, gives back every page that no object touches.
  Result<void> finish_adoption();

  // Aborts when a description contradicts another. At a quiet moment. Returns: allocated objects.
  std::uint64_t check_invariants() const;

 private:
  // Spans of a class by eighths of fullness; full ones in none.
  static constexpr std::size_t kListCount = 8;
  struct alignas(64) ClassState {
    mutable Mutex mutex;
    std::array<std::uint32_t, kListCount> lists UZ_GUARDED_BY(mutex);
    std::uint64_t used_count UZ_GUARDED_BY(mutex) = 0;
    std::uint32_t span_count UZ_GUARDED_BY(mutex) = 0;
  };
  struct Place {
    std::uint32_t span;
    std::size_t object;
  };

  Pool(const Arena& arena, std::uint64_t offset, std::uint64_t bytes, Span* spans);

  // Returns: nullopt when no object of this size can stand there.
  [[nodiscard]] std::optional<Place> valid_place(Handle handle, std::size_t bytes) const;
  [[nodiscard]] Place place_of(Handle handle, std::size_t class_index) const;
  [[nodiscard]] Handle handle_of(Place place, std::size_t class_index) const;
  void put_in_right_list(ClassState& state, std::uint32_t index) UZ_REQUIRES(state.mutex);
  void take_from_list(ClassState& state, std::uint32_t index) UZ_REQUIRES(state.mutex);
  // Whether an allocation may take a span that is not resident while there is a reserve.
  enum class Growth { No, Yes };
  [[nodiscard]] std::uint32_t span_with_room(ClassState& state, std::size_t class_index,
                                             Growth growth) UZ_REQUIRES(state.mutex);
  // Errors: as allocate; EAGAIN when only growth helps.
  Result<Handle> allocate_in_class(std::size_t class_index, LimitRule rule, Growth growth);
  Result<Handle> allocate_beyond_stock(std::size_t class_index, LimitRule rule);
  [[nodiscard]] bool try_make_live(Span& span, std::uint64_t pages, LimitRule rule);
  void make_dead(Span& span, std::uint64_t pages);
  [[nodiscard]] bool try_add_resident(std::uint64_t pages, LimitRule rule);
  void raise_resident_pages_max(std::uint64_t pages);
  // Returns: kNoSpan when all addresses are taken.
  // The span gets that class; class 0: a span to be populated, never one that already is whole.
  std::uint32_t take_free_span(std::size_t class_index, Growth growth) UZ_EXCLUDES(free_mutex_);
  std::uint32_t find_free_span(std::size_t class_index, Growth growth) UZ_REQUIRES(free_mutex_);
  void give_free_span(std::uint32_t index) UZ_EXCLUDES(free_mutex_);
  void list_free_span(std::uint32_t index) UZ_REQUIRES(free_mutex_);
  // Punch the dead pages of a span, at most `most_pages`. Requires: the span's mutex is held.
  std::uint64_t punch_dead_pages(Span& span, std::uint32_t index, std::uint64_t most_pages);
  std::uint64_t trim_span(std::uint32_t index, std::uint64_t most_pages);
  [[nodiscard]] bool try_reserve_used_span(std::uint32_t index);
  [[nodiscard]] bool try_reserve_free_span();
  [[nodiscard]] bool populate_span(std::uint32_t index) const;
  // Requires: the span's mutex is held.
  void note_populated(Span& span, bool populated);
  void release_reserve();
  [[nodiscard]] bool try_release_span(std::uint32_t index);
  [[nodiscard]] bool is_reserve_kept() const {
    return promised_pages_.load(std::memory_order_relaxed) != 0;
  }
  [[nodiscard]] std::uint64_t stranded_pages() const;
  [[nodiscard]] bool lacks_stock(std::uint64_t divisor) const;
  void squeeze_span(std::uint32_t index, Grip grip) UZ_REQUIRES(reserve_mutex_);
  [[nodiscard]] bool try_fill_span() UZ_REQUIRES(reserve_mutex_);
  // The mutex that guards spans of this class; class 0: free spans.
  [[nodiscard]] Mutex& mutex_of(std::size_t class_index) {
    return class_index == 0 ? free_mutex_ : classes_[class_index].mutex;
  }
  [[nodiscard]] std::uint32_t touched_span_count() const UZ_EXCLUDES(free_mutex_);
  std::uint64_t plan_class(std::size_t class_index, std::span<std::uint32_t> candidates);
  void check_span(const Span& span, std::size_t class_index) const;
  void check_lists(const ClassState& state, std::size_t class_index,
                   std::uint64_t roomy_spans) const UZ_REQUIRES(state.mutex);
  void check_free_lists(std::uint64_t free_spans) const UZ_REQUIRES(free_mutex_);

  // constant after construction
  const Arena& arena_;
  const std::uint64_t arena_offset_;
  std::byte* const base_;
  const std::uint32_t span_capacity_;
  Span* const spans_;  // span_capacity_ descriptions in sparse private memory.

  // synchronizes itself; relaxed: plain counts that publish nothing.
  std::atomic<std::uint64_t> limit_pages_{0};
  std::atomic<MemoryAllowance*> allowance_{nullptr};  // Release and acquire: publishes the object.
  std::atomic<AllowanceScope> allowance_scope_{AllowanceScope::CgroupAndMachine};
  std::atomic<std::uint64_t> resident_pages_{0};
  std::atomic<std::uint64_t> resident_pages_max_{0};
  std::atomic<std::uint64_t> empty_pages_{0};
  std::atomic<std::uint64_t> reserved_pages_{0};
  // As many may be used without new memory; 0: there is no reserve.
  std::atomic<std::uint64_t> promised_pages_{0};
  std::atomic<std::uint64_t> headroom_pages_{0};
  std::atomic<std::uint64_t> stock_spans_{0};     // In reserved_list_.
  std::atomic<std::uint64_t> spare_pages_{0};     // Given back by squeezing, to be touched again.
  std::atomic<std::uint64_t> least_stranded_{0};  // As the last restocking left it.
  std::array<ClassState, kClassCount + 1> classes_;

  // One changes what is reserved at a time; taken before a class mutex.
  Mutex reserve_mutex_;

  // guarded by free_mutex_ (taken after a class mutex, never before one)
  mutable Mutex free_mutex_;
  // Given back, maybe with resident pages.
  std::uint32_t free_list_ UZ_GUARDED_BY(free_mutex_) = kNoSpan;
  // Reserved, and all kSpanPages resident.
  std::uint32_t reserved_list_ UZ_GUARDED_BY(free_mutex_) = kNoSpan;
  // Spans from here on were never used.
  std::uint32_t touched_spans_ UZ_GUARDED_BY(free_mutex_) = 0;
};

}  // namespace uzram
