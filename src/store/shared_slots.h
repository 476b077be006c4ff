// SPDX-License-Identifier: Apache-2.0
// store/shared_slots.h: who uses the shared slots and the cluster slots of a table.
//
// What:    a count of users for each slot: pages that have the content in common; living members of
//          a cluster. The words say the same and are the truth; the counts save asking them all.
// Threads: every member from any thread.
// Memory:  nothing allocates after create.
// Laws:    1, 2, 6.
#pragma once

#include <atomic>
#include <memory>

#include "store/slot_ids.h"
#include "store/slot_table.h"

namespace uzram {

class SharedSlots {
 public:
  struct Use {
    std::atomic<std::uint32_t> users;
    // Low byte: how many users it was made for (the pages of a cluster). The rest differs for every
    // content that the slot has had, for whoever remembers what it was.
    std::atomic<std::uint32_t> serial_and_size;
  };

  static Result<std::unique_ptr<SharedSlots>> create(std::uint64_t begin, std::uint64_t end) {
    auto bits = SlotIds::make_bits(begin, end);
    if (!bits) return tl::unexpected(bits.error());
    auto uses = SparseArray<Use>::create(end - begin);
    if (!uses) return tl::unexpected(uses.error());
    return std::unique_ptr<SharedSlots>(
        new SharedSlots(begin, end, std::move(*bits), std::move(*uses)));
  }

  // A free slot, with one user: the caller. Returns: nullopt when all are taken.
  [[nodiscard]] std::optional<PageIndex> take() {
    const std::optional<PageIndex> slot = ids_.take();
    if (!slot) return std::nullopt;
    Use& use = of(*slot);
    use.serial_and_size.fetch_add(kSerialStep, std::memory_order_relaxed);
    use.users.store(1, std::memory_order_release);
    return slot;
  }
  // Requires: the caller is a user, or knows one that cannot leave now.
  void add_users(PageIndex slot, std::uint32_t count) {
    of(slot).users.fetch_add(count, std::memory_order_relaxed);
  }
  // From anybody. Returns: false when the slot has no users: it is being emptied, or free.
  [[nodiscard]] bool try_add_user(PageIndex slot) {
    std::atomic<std::uint32_t>& users = of(slot).users;
    std::uint32_t count = users.load(std::memory_order_relaxed);
    while (count != 0) {
      if (users.compare_exchange_weak(count, count + 1, std::memory_order_acquire,
                                      std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }
  // Returns: whether that was the last one; the slot's word is then the caller's to empty, before
  // give. Acquire and release: what other users did with the content is over.
  [[nodiscard]] bool drop_user(PageIndex slot) {
    return of(slot).users.fetch_sub(1, std::memory_order_acq_rel) == 1;
  }
  void give(PageIndex slot) { ids_.give(slot); }

  [[nodiscard]] std::uint32_t users(PageIndex slot) const {
    return of(slot).users.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint32_t serial(PageIndex slot) const {
    return of(slot).serial_and_size.load(std::memory_order_relaxed) / kSerialStep;
  }
  [[nodiscard]] std::size_t size(PageIndex slot) const {
    return of(slot).serial_and_size.load(std::memory_order_relaxed) % kSerialStep;
  }
  // Requires: size < 256; one thread at a time for a slot.
  void set_size(PageIndex slot, std::size_t size) {
    std::atomic<std::uint32_t>& value = of(slot).serial_and_size;
    const std::uint32_t serial = value.load(std::memory_order_relaxed) / kSerialStep;
    value.store(serial * kSerialStep + static_cast<std::uint32_t>(size), std::memory_order_relaxed);
  }
  // For recovery, with one thread: a word that uses the slot was found.
  void adopt_user(PageIndex slot) {
    if (of(slot).users.fetch_add(1, std::memory_order_relaxed) == 0) ids_.adopt(slot);
  }
  void forget(PageIndex slot) {
    if (of(slot).users.exchange(0, std::memory_order_relaxed) != 0) ids_.give(slot);
  }

  [[nodiscard]] std::uint64_t taken() const { return ids_.taken(); }
  [[nodiscard]] std::uint64_t begin() const { return ids_.begin(); }
  [[nodiscard]] std::uint64_t end() const { return ids_.end(); }
  [[nodiscard]] std::uint64_t memory_bytes() const {
    return round_up((end() - begin()) * sizeof(Use), kPageBytes) +
           round_up((end() - begin()) / 8, kPageBytes);
  }

 private:
  static constexpr std::uint32_t kSerialStep = 256;
  SharedSlots(std::uint64_t begin, std::uint64_t end, SparseArray<std::uint64_t> bits,
              SparseArray<Use> uses)
      : ids_(begin, end, std::move(bits)), uses_(std::move(uses)) {}
  [[nodiscard]] Use& of(PageIndex slot) const { return uses_[slot.value - ids_.begin()]; }

  SlotIds ids_;
  SparseArray<Use> uses_;
};

}  // namespace uzram
