// SPDX-License-Identifier: Apache-2.0
// Deduplication: pages with the same content share it.
//
// A write whose content is stored already, somewhere, makes its page say Shared, and the page that
// had the content too. What is shared stands in a shared slot, and can be moved, recompressed,
// packed into a cluster or written back like a page of its own. The index is only a hint: every
// candidate is unpacked and compared.
#include <cstring>

#include "base/check.h"
#include "store/same_filled.h"
#include "store/store.h"

namespace uzram {

// Whether the held word's content is this. The comparison happens in the lane's page.
bool Store::holds_content(ReadLane& lane, SlotWord word, PageView content) {
  switch (word.state()) {
    case SlotState::Packed:
    case SlotState::Raw:
    case SlotState::Member:
      break;
    default:
      return false;
  }
  const PageBuffer page(lane.page);
  return read_held(lane, word, page) && std::memcmp(page.data(), content.data(), kPageBytes) == 0;
}

// A user more for the shared slot, if it holds this content.
bool Store::join_shared(ReadLane& lane, PageIndex slot, PageView content) {
  if (!shared_->try_add_user(slot)) return false;
  const PageBuffer page(lane.page);
  if (read_shared(lane, slot, page) && std::memcmp(page.data(), content.data(), kPageBytes) == 0) {
    return true;
  }
  drop_user(*shared_, slot, SlotKind::Shared);
  return false;
}

// Turns a page that has this content into one that shares it. Returns: the shared slot, with a user
// more for the caller; nullopt when the page has other content or there is no slot.
std::optional<PageIndex> Store::share_page(ReadLane& lane, PageIndex other, PageView content,
                                           ContentTag tag) {
  const SlotWord word = table_.hold(other);
  const SlotWord claim = word.is_claimed() ? SlotWord().with(SlotWord::kClaimed) : SlotWord();
  if (word.state() == SlotState::Shared) {
    // Held, so its use of the slot lasts.
    const PageIndex slot = word.slot();
    const bool joined = join_shared(lane, slot, content);
    table_.release(other, word);
    return joined ? std::optional(slot) : std::nullopt;
  }
  std::optional<PageIndex> slot;
  if (holds_content(lane, word, content)) slot = shared_->take();
  if (!slot) {
    table_.release(other, word);
    return std::nullopt;
  }
  shared_->add_users(*slot, 1);
  table_.touch(*slot);
  const SlotWord content_word = word.bare();
  const SlotWord before = table_.publish(*slot, content_word);
  UZ_DCHECK(before.is_empty());
  counters_.replace(before, content_word, SlotKind::Shared);
  const SlotWord sharing = SlotWord::shared(*slot);
  counters_.replace(word, sharing);
  dedup_->clear(other);
  table_.release(other, sharing.with(claim.bits()));
  // Not before: after a crash, a page that had found the slot earlier would share what `other`
  // still says is its own.
  dedup_->set(*slot, tag);
  return slot;
}

std::optional<SlotWord> Store::find_same_content(PageIndex page, PageView content, ContentTag tag) {
  const DedupIndex::Candidates candidates = dedup_->find(tag);
  if (candidates.count == 0) return std::nullopt;
  const LaneHolder<ReadLane> lane(lanes_->read);
  for (std::size_t i = 0; i < candidates.count; ++i) {
    const PageIndex candidate = candidates.slots[i];
    if (candidate == page || regions_.is_cluster(candidate)) continue;
    if (regions_.is_shared(candidate)) {
      if (join_shared(*lane, candidate, content)) return SlotWord::shared(candidate);
    } else if (const std::optional<PageIndex> slot = share_page(*lane, candidate, content, tag)) {
      return SlotWord::shared(*slot);
    }
  }
  return std::nullopt;
}

Result<Store::Placed> Store::place(WriteLane& lane, PageIndex page, PageView content,
                                   SlotWord old_word) {
  Placed placed;
  if (dedup_ == nullptr || same_filled_pattern(content)) {
    const Result<SlotWord> fresh = build(lane, content, old_word);
    if (!fresh) return tl::unexpected(fresh.error());
    placed.word = *fresh;
    return placed;
  }
  // What the page held has to be forgotten; its lines come while the new content is hashed.
  if (const ContentTag old_tag = dedup_->tag_of(page); old_tag.value != 0)
    dedup_->prefetch(old_tag);
  const ContentTag tag = ContentTag::of(page_check_(content.data(), kPageBytes));
  dedup_->prefetch(tag);
  // Looking first saves the packing of duplicates. Where they are rare, packing first saves waiting
  // for the index: its lines come meanwhile.
  const bool looks_first = duplicate_odds_.are_good();
  std::optional<SlotWord> same;
  if (looks_first) same = find_same_content(page, content, tag);
  Result<SlotWord> fresh = fail(ENOSPC);
  if (!same) fresh = build(lane, content, old_word);
  if (!looks_first) {
    same = find_same_content(page, content, tag);
    if (same && fresh) drop(*fresh);
  }
  duplicate_odds_.note(same.has_value());
  if (same) {
    placed.word = *same;
    return placed;
  }
  if (!fresh) return tl::unexpected(fresh.error());
  placed.word = *fresh;
  placed.tag = tag;
  return placed;
}

void Store::note_content(PageIndex page, const Placed& placed) {
  if (dedup_ == nullptr) return;
  if (placed.tag.value != 0) {
    dedup_->set(page, placed.tag);
  } else {
    dedup_->clear(page);
  }
}

// After a crash the index is empty. Marks keep a page that is written meanwhile out of it.
void Store::rebuild_dedup_index(const StopSignal& stop) {
  needs_dedup_index_.store(false, std::memory_order_relaxed);
  if (dedup_ == nullptr) return;
  MutexLock lock(background_mutex_);
  auto content = std::make_unique<std::array<std::byte, kPageBytes>>();
  const auto rebuild = [&](std::uint64_t begin, std::uint64_t end) {
    for (std::uint64_t slot = table_.next_touched(begin, end); slot < end && !stop.load();
         slot = table_.next_touched(slot + 1, end)) {
      const SlotWord word = word_of_slot({slot});
      const bool has_content = word.state() == SlotState::Packed ||
                               word.state() == SlotState::Raw || word.state() == SlotState::Member;
      if (!has_content || dedup_->tag_of({slot}).value != 0) continue;
      const Result<bool> is_read = read_and_mark({slot}, word, PageBuffer(*content));
      if (!is_read || !*is_read) continue;
      dedup_->set({slot}, ContentTag::of(page_check_(content->data(), kPageBytes)));
      if (!word_of_slot({slot}).is_marked()) {
        dedup_->clear({slot});
        continue;
      }
      release_mark({slot});
    }
  };
  rebuild(0, regions_.pages_end);
  rebuild(regions_.shared_begin, shared_->end());
}

DedupStats Store::dedup_stats() const {
  DedupStats stats;
  if (dedup_ == nullptr) return stats;
  for (std::uint64_t slot = shared_->begin(); slot < shared_->end(); ++slot) {
    const std::uint32_t users = shared_->users({slot});
    if (users < 2) continue;
    const SlotWord word = word_of_slot({slot});
    std::int64_t bytes = StoreSums::of(word, SlotKind::Shared).packed_bytes;
    if (word.state() == SlotState::Member) {
      const auto pages = std::max<std::int64_t>(1, clusters_->size(word.slot()));
      bytes = StoreSums::of(word_of_slot(word.slot()), SlotKind::Cluster).packed_bytes / pages;
    }
    stats.saved_bytes += (users - 1) * static_cast<std::uint64_t>(bytes);
  }
  const std::uint64_t shared_words =
      static_cast<std::uint64_t>(counters_.sum().shared_slots) * sizeof(SlotWord);
  stats.metadata_bytes = dedup_bytes() + shared_->memory_bytes() + shared_words;
  return stats;
}

}  // namespace uzram
