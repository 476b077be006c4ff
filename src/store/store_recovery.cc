// SPDX-License-Identifier: Apache-2.0
// Opening the arena of a process that is gone, and the proof that an arena is consistent.
//
// The slot words alone decide: every object that a word points to is live, everything else in the
// pool is free. A process killed between building an object and publishing its word leaves bytes
// that nobody points to; one killed between publishing and freeing leaves the old object the same
// way. Both go back to the kernel here.
#include <cstring>

#include "base/check.h"
#include "store/same_filled.h"
#include "store/store.h"

namespace uzram {

Result<std::unique_ptr<Store>> Store::open(FileDescriptor memfd, std::size_t lane_count) {
  auto arena = Arena::open(std::move(memfd));
  if (!arena) return tl::unexpected(arena.error());
  const Result<StoreConfig> config = read_arena_header(**arena);
  if (!config) return tl::unexpected(config.error());
  const Result<ArenaLayout> layout = make_layout(*config);
  if (!layout) return tl::unexpected(layout.error());
  auto store = make(*config, std::move(*arena), *layout, lane_count);
  if (!store) return store;
  if (const Result<void> recovered = (*store)->recover(); !recovered)
    return tl::unexpected(recovered.error());
  return store;
}

// The bytes of the object that the word points to, 0 when there is none or the word is damaged.
std::size_t Store::claimed_bytes(SlotWord word) const {
  if (!word.is_well_formed()) return 0;
  const auto priority = static_cast<std::size_t>(word.priority());
  if (word.state() == SlotState::Packed && codecs_[priority] == nullptr) return 0;
  const std::size_t bytes = object_bytes(word);
  return bytes > kPageBytes ? 0 : bytes;
}

SlotWord Store::recovered_word(SlotWord word) {
  word = word.without(SlotWord::kBusy | SlotWord::kClaimed);
  const std::size_t bytes = claimed_bytes(word);
  if (bytes != 0) return pool_->adopt(word.handle(), bytes) ? word : SlotWord::lost();
  const bool needs_none = word.is_well_formed() && object_bytes(word) == 0;
  return needs_none ? word : SlotWord::lost();
}

void Store::survey_table() {
  const std::uint64_t table_end = layout_.table_offset + layout_.table_bytes;
  std::uint64_t offset = arena_->next_resident(layout_.table_offset);
  while (offset < table_end) {
    const std::uint64_t first = (offset - layout_.table_offset) / sizeof(std::uint64_t);
    const std::uint64_t end = std::min(first + SlotTable::kSlotsPerTablePage, config_.disk_pages);
    table_.touch({first});
    for (std::uint64_t page = first; page < end; ++page) {
      const SlotWord word = table_.load({page});
      const std::size_t bytes = claimed_bytes(word);
      if (bytes != 0) pool_->survey(word.handle(), bytes);
    }
    offset = arena_->next_resident(offset + kPageBytes);
  }
}

Result<void> Store::recover() {
  survey_table();
  for (std::uint64_t page = table_.next_touched(0); page < config_.disk_pages;
       page = table_.next_touched(page + 1)) {
    const SlotWord word = table_.load({page});
    const SlotWord kept = recovered_word(word);
    if (kept != word) table_.overwrite({page}, kept);
    counters_.replace(SlotWord{}, kept);
  }
  raw_pages_since_.store(static_cast<std::uint64_t>(sums().raw_pages), std::memory_order_relaxed);
  return pool_->finish_adoption();
}

void Store::check_invariants() const {
  StoreSums sums;
  std::uint64_t objects = 0;
  for (std::uint64_t page = table_.next_touched(0); page < config_.disk_pages;
       page = table_.next_touched(page + 1)) {
    const SlotWord word = table_.load({page});
    UZ_CHECK(!word.is_busy());
    UZ_CHECK(!word.is_claimed());
    UZ_CHECK(word.is_well_formed());
    sums += StoreSums::of(word);
    const std::size_t bytes = object_bytes(word);
    if (bytes == 0) continue;
    ++objects;
    if (word.state() != SlotState::Packed || !config_.has_page_checks) continue;
    const MutableBytes object = pool_->at(word.handle(), bytes);
    UZ_CHECK(matches_page_check(object.data() + word.packed_bytes(),
                                page_check_(object.data(), word.packed_bytes())));
  }
  UZ_CHECK(sums == counters_.sum());
  UZ_CHECK(objects == pool_->check_invariants());
}

}  // namespace uzram
