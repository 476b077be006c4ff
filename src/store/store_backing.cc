// SPDX-License-Identifier: Apache-2.0
// Reading what was written back, and bringing it to memory again.
//
// No slot is held, and no lane taken, while the store is asked. What was read is what the page was
// when its slot was looked at, if its check is right and the generation of its first block is still
// the same afterwards. If the check is wrong, the slot is looked at again: an object that was freed
// meanwhile may have lost its last blocks to others, while its first one stays what it was.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "store/store.h"

namespace uzram {
namespace {

// How many blocks may be read for neighbours, and how many of those behind the page.
constexpr std::uint64_t kNeighbourBlocks = 16;
constexpr std::uint32_t kMostReadahead = 16;

}  // namespace

std::size_t Store::Away::bytes() const {
  return word.state() == SlotState::ClusterWrittenBack ? word.written_bytes()
                                                       : bytes_written_back(word);
}

std::optional<Store::Away> Store::away_of(PageIndex slot, SlotWord word) const {
  if (backing_ == nullptr) return std::nullopt;
  if (word.state() != SlotState::WrittenBack && word.state() != SlotState::ClusterWrittenBack)
    return std::nullopt;
  const Away away{slot, word.bare(), backing_->generation_of(word.place())};
  // Otherwise the generation may be that of what lies there now.
  if (word_of_slot(slot).bare() != away.word) return std::nullopt;
  return away;
}

std::optional<Store::Away> Store::find_away(PageIndex page) {
  // Held, so what it refers to stays its own.
  const SlotWord word = table_.hold(page);
  PageIndex slot = page;
  SlotWord content = word;
  const bool is_shared = word.state() == SlotState::Shared;
  if (is_shared) {
    slot = word.slot();
    content = table_.hold(slot);
  }
  // The place and its generation belong together only while the word that names the place is held:
  // otherwise the object could come back to memory in between, and another one take the place.
  std::optional<Away> away;
  if (content.state() == SlotState::Member) {
    const PageIndex cluster = content.slot();
    const SlotWord cluster_word = table_.hold(cluster);
    away = away_of(cluster, cluster_word);
    if (away) {
      away->member_number = content.member_number();
      away->serial = clusters_->serial(cluster);
    }
    table_.release(cluster, cluster_word);
  } else {
    away = away_of(slot, content);
  }
  if (is_shared) table_.release(slot, content.accessed());
  table_.release(page, word.accessed());
  return away;
}

bool Store::is_still_away(const Away& away, SlotWord held) const {
  return held.bare() == away.word && backing_->generation_of(away.word.place()) == away.generation;
}

bool Store::is_still_away(const Away& away) {
  const SlotWord held = table_.hold(away.slot);
  const bool is_same = is_still_away(away, held);
  table_.release(away.slot, held);
  return is_same;
}

Result<bool> Store::read_away(PageIndex page, PageBuffer out) {
  // Without its store the page is gone, and only a write heals it.
  if (backing_ == nullptr) return fail(EIO);
  const std::optional<Away> away = find_away(page);
  if (!away) return false;
  return away->word.state() == SlotState::WrittenBack ? read_away_page(*away, page, out)
                                                      : read_away_cluster(*away, out);
}

Result<void> Store::unpack_away(SlotWord word, ConstBytes object, PageBuffer out) {
  if (word.packed_bytes() == 0) {
    std::memcpy(out.data(), object.data(), kPageBytes);
    return {};
  }
  const LaneHolder<ReadLane> lane(lanes_->read);
  Decompressor* decompressor = lane->decompressors[static_cast<std::size_t>(word.priority())].get();
  if (decompressor == nullptr || !decompressor->decompress(object, out)) return fail(EIO);
  return {};
}

// Pages next to this one whose objects lie in the blocks that are read anyway, or near, when reads
// come in order. `range` grows to hold them.
Store::Neighbours Store::neighbours_of(PageIndex page, BlockRange& range) {
  const std::uint64_t last = last_brought_page_.exchange(page.value, std::memory_order_relaxed);
  const bool is_in_order = page.value > last && page.value - last <= kMostReadahead + 1;
  const std::uint32_t before = readahead_pages_.load(std::memory_order_relaxed);
  const std::uint32_t readahead =
      is_in_order ? std::min(kMostReadahead, std::max(2U, before * 2)) : 0;
  readahead_pages_.store(readahead, std::memory_order_relaxed);

  Neighbours neighbours;
  const std::uint64_t first = page.value > kNeighbourPages ? page.value - kNeighbourPages : 0;
  const std::uint64_t end = std::min(config_.disk_pages, page.value + kNeighbourPages + 1);
  for (std::uint64_t other = first; other < end; ++other) {
    if (other == page.value) continue;
    const std::optional<Away> near = away_of({other}, word_of({other}));
    if (!near) continue;
    const BlockRange hull = hull_of(range, blocks_of(near->word.place(), near->bytes()));
    const bool is_ahead = other > page.value && other - page.value <= readahead;
    if (hull == range || (is_ahead && hull.count <= kNeighbourBlocks)) {
      range = hull;
      neighbours.pages[neighbours.count++] = *near;
    }
  }
  return neighbours;
}

Result<bool> Store::read_away_page(const Away& away, PageIndex page, PageBuffer out) {
  BlockRange range = blocks_of(away.word.place(), away.bytes());
  const Neighbours neighbours = neighbours_of(page, range);
  Result<BackingWindow> window = backing_->read_window(range);
  if (!window) return tl::unexpected(window.error());
  alignas(64) std::array<std::byte, kPageBytes + kPageCheckBytes> object;
  const MutableBytes bytes(object.data(), away.bytes());
  const Result<void> copied = window->copy_object(away.word.place(), bytes);
  if (backing_->generation_of(away.word.place()) != away.generation) return false;
  if (!copied && !is_still_away(away)) return false;
  if (!copied) return tl::unexpected(copied.error());
  if (const Result<void> done = unpack_away(away.word, bytes, out); !done)
    return tl::unexpected(done.error());
  bring_back(away, object);
  for (std::size_t i = 0; i < neighbours.count; ++i) {
    const Away& near = neighbours.pages[i];
    const MutableBytes near_bytes(object.data(), near.bytes());
    if (window->copy_object(near.word.place(), near_bytes)) bring_back(near, object);
  }
  return true;
}

// The word of a new object for what was read; `object` has room for a check behind the bytes.
Result<SlotWord> Store::build_back(SlotWord word, MutableBytes object) {
  const std::size_t packed_bytes = word.packed_bytes();
  const std::uint64_t kept_flags = word.bits() & SlotWord::kIncompressible;
  // Written unpacked, perhaps only because that was wanted there.
  if (packed_bytes == 0 && !word.is_incompressible())
    return build_alone(PageView(object.data(), kPageBytes), SlotWord{});
  if (packed_bytes != 0) {
    const Result<SlotWord> fresh = build_packed(object, packed_bytes, word.priority(), SlotWord{});
    if (!fresh) return fresh;
    return fresh->with(kept_flags);
  }
  const Result<Handle> place = pool_->allocate(kPageBytes, LimitRule::Obey);
  if (!place) return tl::unexpected(place.error());
  std::memcpy(pool_->at(*place, kPageBytes).data(), object.data(), kPageBytes);
  return SlotWord::raw(*place).with(kept_flags);
}

// Puts a page into the pool again, when there is room and it still is what it was.
void Store::bring_back(const Away& away, MutableBytes object) {
  const Result<SlotWord> fresh = build_back(away.word, object);
  if (!fresh) return;
  const SlotWord held = table_.hold(away.slot);
  if (!is_still_away(away, held)) {
    table_.release(away.slot, held);
    drop(*fresh);
    return;
  }
  counters_.replace(held, *fresh, kind_of(away.slot));
  table_.release(away.slot, held.is_claimed() ? fresh->with(SlotWord::kClaimed) : *fresh);
  backing_->free(away.word.place(), away.bytes());
  pages_brought_back_.fetch_add(1, std::memory_order_relaxed);
}

Result<bool> Store::read_away_cluster(const Away& away, PageBuffer out) {
  Result<BackingWindow> window = backing_->read_window(blocks_of(away.word.place(), away.bytes()));
  if (!window) return tl::unexpected(window.error());
  ClusterCache::Holder entry = cluster_cache_.find({away.slot, away.serial});
  if (entry->stream_bytes == 0) {
    const MutableBytes stream(entry->packed->data(), away.bytes());
    const Result<void> copied = window->copy_object(away.word.place(), stream);
    if (backing_->generation_of(away.word.place()) != away.generation) return false;
    if (!copied && !is_still_away(away)) return false;
    if (!copied) return tl::unexpected(copied.error());
    entry->stream_bytes = stream.size();
  }
  if (const Result<void> done = unpack_member(*entry, away.member_number,
                                              config_.has_page_checks ? page_check_ : nullptr, out);
      !done) {
    return tl::unexpected(done.error());
  }
  // Back to the pool, if there is room.
  const MutableBytes stream(entry->packed->data(), entry->packed->size());
  const Result<SlotWord> fresh = cluster_objects_.build(
      stream, entry->stream_bytes - kClusterCheckBytes, page_check_, LimitRule::Obey);
  if (!fresh) return true;
  const SlotWord held = table_.hold(away.slot);
  if (!is_still_away(away, held)) {
    table_.release(away.slot, held);
    cluster_objects_.free(*fresh);
    return true;
  }
  counters_.replace(held, *fresh, SlotKind::Cluster);
  table_.release(away.slot, *fresh);
  backing_->free(away.word.place(), away.bytes());
  pages_brought_back_.fetch_add(clusters_->size(away.slot), std::memory_order_relaxed);
  return true;
}

}  // namespace uzram
