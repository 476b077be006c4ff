// SPDX-License-Identifier: Apache-2.0
// From staging into the device: pages one by one, or those of a slot together.
#include <bit>

#include "base/check.h"
#include "pager/pager_core.h"

namespace uzram {

namespace {

bool waits_at(PageWord word, std::uint64_t place) {
  return word.place() == PagePlace::Staged && word.number() == place;
}

}  // namespace

// Pages that are packed together stand in staging unlocked meanwhile, so that a fault has them back
// at once; what has come back, or was dropped, is found out when the others are let go.
class PagerCore::StagedKeeper final : public PageKeeper {
 public:
  StagedKeeper(PagerCore& core, const StagingRing::Batch& batch) : core_(core), batch_(batch) {}

  void add(unsigned index) {
    indexes_[count_] = index;
    pages_[count_++] = {{batch_.first_page + index},
                        core_.memory_->staging() + place_of(index) * kPageBytes};
  }
  [[nodiscard]] std::span<const PageToWrite> pages() const { return {pages_.data(), count_}; }
  [[nodiscard]] std::uint64_t done() const { return done_; }

  bool try_hold(std::size_t number) override {
    const unsigned index = indexes_[number];
    const auto word = core_.words_.try_lock(batch_.first_page + index);
    if (!word) return false;  // Somebody has it in hand, and may leave it here.
    if (waits_at(*word, place_of(index)) && !word->is_unchanged()) {
      held_ = *word;
      return true;
    }
    core_.words_.unlock(batch_.first_page + index, *word);
    done_ |= std::uint64_t{1} << index;
    return false;
  }
  void release(std::size_t number) override {
    const unsigned index = indexes_[number];
    core_.put_away(batch_.first_page + index, held_, true);
    core_.counters_.packed_pages.fetch_add(1, std::memory_order_relaxed);
    done_ |= std::uint64_t{1} << index;
  }

 private:
  [[nodiscard]] std::uint64_t place_of(unsigned index) const {
    return batch_.slot * kClusterPages + index;
  }
  PagerCore& core_;
  const StagingRing::Batch& batch_;
  std::array<unsigned, kClusterPages> indexes_{};
  std::array<PageToWrite, kClusterPages> pages_;
  std::size_t count_ = 0;
  PageWord held_;           // One at a time.
  std::uint64_t done_ = 0;  // Bit i: page first_page + i needs its staging no more.
};

void PagerCore::put_away(std::uint64_t page, PageWord word, bool is_stored) {
  if (is_stored && !word.is_stored()) note_unwritten(page);
  words_.unlock(page, word.at(PagePlace::Away)
                          .with_stored(is_stored)
                          .with_unchanged(false)
                          .with_number(eviction_age()));
}

bool PagerCore::pack_page(const StagingRing::Batch& batch, unsigned index) {
  const std::uint64_t page = batch.first_page + index;
  const std::uint64_t place = batch.slot * kClusterPages + index;
  const PageWord word = words_.lock(page);
  if (!waits_at(word, place)) {
    words_.unlock(page, word);  // It came back, or was dropped.
    return true;
  }
  const bool is_unchanged = word.is_unchanged();
  if (is_unchanged) {
    counters_.clean_drops.fetch_add(1, std::memory_order_relaxed);
    Region* const region = regions_.region_of(page);
    if (region != nullptr && word.is_stored()) region->clean_pages.note_drop();
  } else {
    const PageView content(memory_->staging() + place * kPageBytes, kPageBytes);
    if (!device_.write(page * kPageBytes, content)) {
      words_.unlock(page, word);
      return false;
    }
    counters_.packed_pages.fetch_add(1, std::memory_order_relaxed);
  }
  put_away(page, word, !is_unchanged || word.is_stored());
  return true;
}

// Returns: the mask of pages that need their staging no more.
std::uint64_t PagerCore::pack_together(const StagingRing::Batch& batch) {
  StagedKeeper keeper(*this, batch);
  for (std::uint64_t left = batch.mask; left != 0; left &= left - 1) {
    const auto index = static_cast<unsigned>(std::countr_zero(left));
    const PageWord word = words_.look(batch.first_page + index);
    if (waits_at(word, batch.slot * kClusterPages + index) && !word.is_unchanged())
      keeper.add(index);
  }
  // What fails is tried again page by page.
  if (const auto done = device_.write_together(keeper.pages(), keeper)) {
    counters_.clustered_pages.fetch_add(done->clustered_pages, std::memory_order_relaxed);
    counters_.repacked_pages.fetch_add(done->repacked_pages, std::memory_order_relaxed);
  }
  return keeper.done();
}

PagerCore::Step PagerCore::pack_oldest(unsigned most, bool is_assist) {
  const bool has_clusters = config_.cluster_pages != 0;
  const auto batch = staging_.claim(has_clusters ? config_.cluster_pages : most);
  if (!batch) return Step::Nothing;
  StagingRing::Batch done = *batch;
  StagingRing::Batch left = *batch;
  done.mask = has_clusters ? pack_together(*batch) : 0;
  left.mask &= ~done.mask;
  while (left.mask != 0) {
    const auto index = static_cast<unsigned>(std::countr_zero(left.mask));
    if (!pack_page(*batch, index)) break;
    left.mask &= left.mask - 1;
    done.mask |= std::uint64_t{1} << index;
  }
  if (is_assist)
    counters_.assisted_pages.fetch_add(static_cast<std::uint64_t>(std::popcount(done.mask)),
                                       std::memory_order_relaxed);
  const std::uint64_t held = staging_.finish(done);
  if (left.mask != 0) {
    staging_.unclaim(left);
    return Step::Failed;
  }
  if (held != 0) {
    memory_->forget_staging(batch->slot * kClusterPages, kClusterPages);
    staging_.free_slot(batch->slot);
    note_other_bytes();
    budget_.charge(-std::popcount(held));
    // Release: the free pages come before.
    released_count_.fetch_add(1, std::memory_order_release);
    futex_wake_all(released_count_);
  }
  return Step::Done;
}

}  // namespace uzram
