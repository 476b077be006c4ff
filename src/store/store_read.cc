// SPDX-License-Identifier: Apache-2.0
// Reading: from a slot word to a page's bytes.
//
// A page's own object is unpacked while the page's slot is held: that is nobody else's business.
// What several pages have in common is copied out first, and unpacked after every slot was let go.
#include <cstring>

#include "base/check.h"
#include "store/same_filled.h"
#include "store/store.h"

namespace uzram {

Result<void> Store::unpack(ReadLane& lane, SlotWord word, ConstBytes object, PageBuffer out) const {
  if (word.state() == SlotState::Raw) {
    std::memcpy(out.data(), object.data(), kPageBytes);
    return {};
  }
  if (word.state() == SlotState::SameStored) {
    std::uint64_t pattern = 0;
    std::memcpy(&pattern, object.data(), sizeof pattern);
    fill_page(out, pattern);
    return {};
  }
  const ConstBytes packed = object.first(word.packed_bytes());
  if (config_.has_page_checks) {
    const std::uint64_t check = page_check_(packed.data(), packed.size());
    if (!matches_page_check(object.data() + packed.size(), check)) return fail(EIO);
  }
  Decompressor* decompressor = lane.decompressors[static_cast<std::size_t>(word.priority())].get();
  if (decompressor == nullptr || !decompressor->decompress(packed, out)) return fail(EIO);
  return {};
}

// --- what several pages have in common

Result<ClusterCache::Holder> Store::fetch_cluster(PageIndex cluster_slot) {
  ClusterCache::Holder entry = cluster_cache_.find({cluster_slot, clusters_->serial(cluster_slot)});
  if (entry->stream_bytes != 0) return entry;
  const SlotWord word = table_.hold(cluster_slot);
  if (word.state() == SlotState::Cluster) {
    const MutableBytes room(entry->packed->data(), entry->packed->size());
    entry->stream_bytes = cluster_objects_.copy_out(word, room);
  }
  table_.release(cluster_slot, word.accessed());
  if (word.state() == SlotState::ClusterWrittenBack) return fail(kElsewhere);
  if (entry->stream_bytes <= kClusterCheckBytes) {
    entry->stream_bytes = 0;
    return fail(EIO);
  }
  return entry;
}

Result<Store::Fetched> Store::fetch(ReadLane& lane, SlotWord word) {
  if (word.state() == SlotState::Member) {
    Result<ClusterCache::Holder> entry = fetch_cluster(word.slot());
    if (!entry) return tl::unexpected(entry.error());
    return Fetched{word, std::move(*entry)};
  }
  if (word.state() == SlotState::WrittenBack) return fail(kElsewhere);
  const std::size_t bytes = object_bytes(word);
  if (bytes == 0) return fail(EIO);
  std::memcpy(lane.packed.data(), pool_->at(word.handle(), bytes).data(), bytes);
  return Fetched{word, std::nullopt};
}

Result<void> Store::unpack_fetched(ReadLane& lane, const Fetched& fetched, PageBuffer out) const {
  if (!fetched.cluster) return unpack(lane, fetched.word, lane.packed, out);
  return unpack_member(**fetched.cluster, fetched.word.member_number(),
                       config_.has_page_checks ? page_check_ : nullptr, out);
}

Result<void> Store::read_shared(ReadLane& lane, PageIndex slot, PageBuffer out) {
  const SlotWord word = table_.hold(slot);
  const Result<Fetched> fetched = fetch(lane, word);
  table_.release(slot, word.accessed());
  if (!fetched) return tl::unexpected(fetched.error());
  return unpack_fetched(lane, *fetched, out);
}

// --- pages

Result<void> Store::read_held(ReadLane& lane, SlotWord word, PageBuffer out) {
  switch (word.state()) {
    case SlotState::Empty:
      fill_page(out, 0);
      return {};
    case SlotState::Same:
      fill_page(out, word.pattern());
      return {};
    case SlotState::SameStored:
    case SlotState::Packed:
    case SlotState::Raw:
      return unpack(lane, word, pool_->at(word.handle(), object_bytes(word)), out);
    case SlotState::Shared:
      return read_shared(lane, word.slot(), out);
    case SlotState::Member: {
      const Result<Fetched> fetched = fetch(lane, word);
      if (!fetched) return tl::unexpected(fetched.error());
      return unpack_fetched(lane, *fetched, out);
    }
    case SlotState::WrittenBack:
      return fail(kElsewhere);
    default:
      return fail(EIO);
  }
}

Result<void> Store::read_page(ReadLane& lane, PageIndex page, PageBuffer out) {
  const SlotWord seen = word_of(page);
  if (seen.is_empty()) {
    fill_page(out, 0);
    return {};
  }
  if (seen.state() == SlotState::Same) {
    fill_page(out, seen.pattern());
    return {};
  }
  // It may have changed since it was seen.
  const SlotWord word = table_.hold(page);
  const Result<void> done = read_held(lane, word, out);
  table_.release(page, word.accessed());
  note_access(page);
  return done;
}

// A page that is on the backing store is read without a lane: if the store stalls, readers of
// memory still find theirs.
Result<void> Store::read_with(std::optional<LaneHolder<ReadLane>>& lane, PageIndex page,
                              PageBuffer out) {
  for (;;) {
    if (!lane) lane.emplace(lanes_->read);
    const Result<void> done = read_page(**lane, page, out);
    if (done || done.error().code != kElsewhere) return done;
    lane.reset();
    const Result<bool> is_read = read_away(page, out);
    if (!is_read) return tl::unexpected(is_read.error());
    if (*is_read) return {};
  }
}

Result<void> Store::read(PageIndex first, MutableBytes pages) {
  UZ_DCHECK(pages.size() % kPageBytes == 0 &&
            first.value + pages.size() / kPageBytes <= config_.disk_pages);
  std::optional<LaneHolder<ReadLane>> lane;
  for (std::size_t offset = 0; offset < pages.size(); offset += kPageBytes) {
    const PageBuffer out(pages.data() + offset, kPageBytes);
    const Result<void> done = read_with(lane, {first.value + offset / kPageBytes}, out);
    if (!done) return done;
  }
  return {};
}

Result<void> Store::read_part(PageIndex page, std::size_t offset, MutableBytes out) {
  UZ_DCHECK(offset + out.size() <= kPageBytes && page.value < config_.disk_pages);
  alignas(64) std::array<std::byte, kPageBytes> whole;
  std::optional<LaneHolder<ReadLane>> lane;
  const Result<void> done = read_with(lane, page, whole);
  if (done) std::memcpy(out.data(), whole.data() + offset, out.size());
  return done;
}

}  // namespace uzram
