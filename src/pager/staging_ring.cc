// SPDX-License-Identifier: Apache-2.0
#include "pager/staging_ring.h"

#include <bit>

#include "base/check.h"

namespace uzram {
namespace {

// The lowest `most` bits that are set.
std::uint64_t lowest_bits(std::uint64_t mask, unsigned most) {
  std::uint64_t taken = 0;
  for (unsigned i = 0; i < most && mask != 0; ++i) {
    taken |= mask & (~mask + 1);
    mask &= mask - 1;
  }
  return taken;
}

}  // namespace

StagingRing::StagingRing(std::size_t slot_count)
    : slot_count_(slot_count), slots_(slot_count), queue_(slot_count) {
  free_.reserve(slot_count);
  for (std::size_t slot = slot_count; slot > 0; --slot)
    free_.push_back(static_cast<std::uint32_t>(slot - 1));
}

std::optional<std::uint32_t> StagingRing::take_slot() {
  const MutexLock lock(mutex_);
  if (free_.empty()) return std::nullopt;
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  slots_[slot].is_free = false;
  return slot;
}

void StagingRing::free_slot(std::uint32_t slot) {
  const MutexLock lock(mutex_);
  UZ_CHECK(!slots_[slot].is_free && slots_[slot].held == 0);
  slots_[slot].is_free = true;
  free_.push_back(slot);
}

void StagingRing::fill(std::uint32_t slot, std::uint64_t first_page, std::uint64_t mask) {
  const MutexLock lock(mutex_);
  UZ_CHECK(!slots_[slot].is_free && slots_[slot].held == 0 && mask != 0);
  slots_[slot] = {first_page, mask, mask, mask, false};
  queue_[(front_ + queued_++) % queue_.size()] = slot;
  queued_pages_ += static_cast<std::uint64_t>(std::popcount(mask));
}

std::optional<StagingRing::Batch> StagingRing::claim(unsigned most) {
  const MutexLock lock(mutex_);
  if (queued_ == 0) return std::nullopt;
  const std::uint32_t slot = queue_[front_];
  Slot& oldest = slots_[slot];
  const std::uint64_t mask = lowest_bits(oldest.unclaimed, most);
  oldest.unclaimed &= ~mask;
  if (oldest.unclaimed == 0) {
    front_ = (front_ + 1) % queue_.size();
    --queued_;
  }
  return Batch{slot, oldest.first_page, mask};
}

std::uint64_t StagingRing::finish(const Batch& batch) {
  const MutexLock lock(mutex_);
  Slot& slot = slots_[batch.slot];
  UZ_CHECK((slot.unfinished & batch.mask) == batch.mask && (slot.unclaimed & batch.mask) == 0);
  slot.unfinished &= ~batch.mask;
  if (slot.unfinished != 0) return 0;
  const std::uint64_t held = slot.held;
  slot.held = 0;
  queued_pages_ -= static_cast<std::uint64_t>(std::popcount(held));
  return held;
}

void StagingRing::unclaim(const Batch& batch) {
  const MutexLock lock(mutex_);
  Slot& slot = slots_[batch.slot];
  UZ_CHECK((slot.unfinished & batch.mask) == batch.mask && (slot.unclaimed & batch.mask) == 0);
  if (slot.unclaimed == 0) {
    front_ = (front_ + queue_.size() - 1) % queue_.size();
    queue_[front_] = batch.slot;
    ++queued_;
  }
  slot.unclaimed |= batch.mask;
}

std::uint64_t StagingRing::queued_pages() const {
  const MutexLock lock(mutex_);
  return queued_pages_;
}

std::uint64_t StagingRing::memory_bytes() const {
  return slot_count() * (sizeof(Slot) + 2 * sizeof(std::uint32_t));
}

void StagingRing::check_invariants() const {
  const MutexLock lock(mutex_);
  std::uint64_t pages = 0;
  std::size_t free_count = 0;
  std::size_t waiting = 0;
  for (const Slot& slot : slots_) {
    UZ_CHECK((slot.unclaimed & ~slot.unfinished) == 0);
    UZ_CHECK((slot.unfinished & ~slot.held) == 0);
    UZ_CHECK(!slot.is_free || slot.held == 0);
    pages += static_cast<std::uint64_t>(std::popcount(slot.held));
    free_count += slot.is_free ? 1 : 0;
    waiting += slot.unclaimed != 0 ? 1 : 0;
  }
  UZ_CHECK(pages == queued_pages_);
  UZ_CHECK(free_count == free_.size());
  UZ_CHECK(waiting == queued_);
  for (std::size_t i = 0; i < queued_; ++i)
    UZ_CHECK(slots_[queue_[(front_ + i) % queue_.size()]].unclaimed != 0);
}

}  // namespace uzram
