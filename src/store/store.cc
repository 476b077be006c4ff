// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "store/same_filled.h"

namespace uzram {
namespace {

constexpr std::size_t kPatternBytes = sizeof(std::uint64_t);

}  // namespace

Store::Store(StoreConfig config, std::unique_ptr<Arena> arena, const ArenaLayout& layout,
             Parts parts)
    : config_(std::move(config)),
      arena_(std::move(arena)),
      layout_(layout),
      regions_(config_.disk_pages),
      page_check_(choose_page_check()),
      codecs_(std::move(parts.codecs)),
      pool_(std::move(parts.pool)),
      shared_(std::move(parts.shared)),
      clusters_(std::move(parts.clusters)),
      access_seconds_(std::move(parts.access_seconds)),
      dedup_(std::move(parts.dedup)),
      backing_(std::move(parts.backing)),
      table_(arena_->base() + layout.table_offset, regions_.cluster_end),
      cluster_objects_(*pool_),
      cluster_cache_(std::max<std::size_t>(2, parts.lanes.read.size() / 2)),
      lanes_(std::move(parts.lanes)),
      size_pages_(config_.size_pages == 0 ? config_.disk_pages : config_.size_pages) {}

Result<std::unique_ptr<Store>> Store::make(const StoreConfig& config, std::unique_ptr<Arena> arena,
                                           const ArenaLayout& layout, std::size_t lane_count,
                                           std::unique_ptr<BackingStore> backing) {
  Parts parts;
  auto lanes = make_lanes(config, lane_count, parts.codecs);
  if (!lanes) return tl::unexpected(lanes.error());
  parts.lanes = std::move(*lanes);
  auto pool = Pool::create(*arena, layout.pool_offset, layout.pool_bytes);
  if (!pool) return tl::unexpected(pool.error());
  parts.pool = std::move(*pool);
  const SlotRegions regions(config.disk_pages);
  auto shared = SharedSlots::create(regions.shared_begin, regions.shared_end);
  if (!shared) return tl::unexpected(shared.error());
  parts.shared = std::move(*shared);
  auto clusters = SharedSlots::create(regions.shared_end, regions.cluster_end);
  if (!clusters) return tl::unexpected(clusters.error());
  parts.clusters = std::move(*clusters);
  if (config.tracks_access) {
    auto times = AccessTimes::create(config.disk_pages);
    if (!times) return tl::unexpected(times.error());
    parts.access_seconds = std::move(*times);
  }
  if (config.uses_dedup) {
    auto index = DedupIndex::create(regions.shared_end, config.disk_pages);
    if (!index) return tl::unexpected(index.error());
    parts.dedup = std::move(*index);
  }
  if (backing != nullptr) {
    BackingSpaceConfig space{config.backing.key,
                             {arena->base() + layout.records_offset, layout.records_bytes}};
    space.encrypt = config.backing.encrypts;
    space.verify_checks = config.has_page_checks;
    auto made = BackingSpace::create(std::move(backing), space);
    if (!made) return tl::unexpected(made.error());
    parts.backing = std::move(*made);
  }
  return std::unique_ptr<Store>(new Store(config, std::move(arena), layout, std::move(parts)));
}

Result<std::unique_ptr<Store>> Store::create(const StoreConfig& config, std::size_t lane_count,
                                             std::unique_ptr<BackingStore> backing) {
  UZ_CHECK(config.backing.where.empty() == (backing == nullptr));
  const Result<ArenaLayout> layout = make_layout(config);
  if (!layout) return tl::unexpected(layout.error());
  auto arena = Arena::create(layout->arena_bytes);
  if (!arena) return tl::unexpected(arena.error());
  write_arena_header(**arena, *layout, config);
  return make(config, std::move(*arena), *layout, lane_count, std::move(backing));
}

// --- words and objects

std::size_t Store::object_bytes(SlotWord word) const {
  switch (word.state()) {
    case SlotState::Packed:
      return word.packed_bytes() + check_bytes();
    case SlotState::Raw:
      return kPageBytes;
    case SlotState::SameStored:
      return kPatternBytes;
    default:
      return 0;
  }
}

std::size_t Store::pool_bytes_of(SlotWord word) const {
  if (word.state() == SlotState::Cluster) return ClusterShape::of(word).pool_bytes();
  const std::size_t bytes = object_bytes(word);
  return bytes == 0 ? 0 : kSizeClasses[class_index_for(bytes)].object_bytes;
}

SlotKind Store::kind_of(PageIndex slot) const {
  if (regions_.is_page(slot)) return SlotKind::Page;
  return regions_.is_shared(slot) ? SlotKind::Shared : SlotKind::Cluster;
}

SlotWord Store::word_of(PageIndex page) const { return word_of_slot(page); }

SlotWord Store::word_of_slot(PageIndex slot) const {
  if (!table_.is_touched(slot)) return {};
  return table_.load(slot).without(SlotWord::kBusy | SlotWord::kClaimed);
}

void Store::drop(SlotWord word) {
  switch (word.state()) {
    case SlotState::Packed:
    case SlotState::Raw:
    case SlotState::SameStored:
      pool_->free(word.handle(), object_bytes(word));
      return;
    case SlotState::Shared:
      drop_user(*shared_, word.slot(), SlotKind::Shared);
      return;
    case SlotState::Member:
      drop_user(*clusters_, word.slot(), SlotKind::Cluster);
      return;
    case SlotState::Cluster:
      cluster_objects_.free(word);
      return;
    case SlotState::WrittenBack:
      if (backing_ != nullptr) backing_->free(word.place(), bytes_written_back(word));
      return;
    case SlotState::ClusterWrittenBack:
      if (backing_ != nullptr) backing_->free(word.place(), word.written_bytes());
      return;
    default:
      return;
  }
}

// The last user empties the slot before others can have it.
void Store::drop_user(SharedSlots& slots, PageIndex slot, SlotKind kind) {
  if (!slots.drop_user(slot)) return;
  if (dedup_ != nullptr && kind == SlotKind::Shared) dedup_->clear(slot);
  const SlotWord old_word = table_.publish(slot, SlotWord{});
  counters_.replace(old_word, SlotWord{}, kind);
  drop(old_word);
  slots.give(slot);
}

void Store::drop_cluster_user(PageIndex slot) { drop_user(*clusters_, slot, SlotKind::Cluster); }

void Store::retire(SlotWord old_word, SlotWord new_word) {
  if (new_word.state() == SlotState::Raw) raw_pages_since_.fetch_add(1, std::memory_order_relaxed);
  counters_.replace(old_word, new_word);
  drop(old_word);
}

LimitRule Store::limit_rule(std::size_t new_bytes, SlotWord old_word) const {
  // The last who shares content takes it along.
  if (old_word.state() == SlotState::Shared && shared_->users(old_word.slot()) == 1)
    old_word = word_of_slot(old_word.slot());
  const std::size_t old_bytes = object_bytes(old_word);
  const bool grows = old_bytes == 0 || class_index_for(new_bytes) > class_index_for(old_bytes);
  return grows ? LimitRule::Obey : LimitRule::Exceed;
}

std::uint32_t Store::boot_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint32_t>(now.tv_sec);
}

// --- write

Result<SlotWord> Store::build_same(std::uint64_t pattern, SlotWord old_word) {
  if (const std::optional<SlotWord> word = SlotWord::same(pattern)) return *word;
  const Result<Handle> handle = pool_->allocate(kPatternBytes, limit_rule(kPatternBytes, old_word));
  if (!handle) return tl::unexpected(handle.error());
  std::memcpy(pool_->at(*handle, kPatternBytes).data(), &pattern, kPatternBytes);
  return SlotWord::same_stored(*handle);
}

Result<SlotWord> Store::build(WriteLane& lane, PageView content, SlotWord old_word) {
  if (const auto pattern = same_filled_pattern(content)) return build_same(*pattern, old_word);
  std::optional<std::size_t> packed_bytes = lane.compressor->compress(content, lane.packed);
  if (packed_bytes && *packed_bytes > kMostPackedBytes) packed_bytes.reset();
  if (packed_bytes) return build_packed(lane.packed, *packed_bytes, 0, old_word);
  const Result<Handle> handle = pool_->allocate(kPageBytes, limit_rule(kPageBytes, old_word));
  if (!handle) return tl::unexpected(handle.error());
  std::memcpy(pool_->at(*handle, kPageBytes).data(), content.data(), kPageBytes);
  return SlotWord::raw(*handle);
}

Result<SlotWord> Store::build_packed(MutableBytes packed, std::size_t packed_bytes, int priority,
                                     SlotWord old_word) {
  const std::size_t bytes = packed_bytes + check_bytes();
  const Result<Handle> handle = pool_->allocate(bytes, limit_rule(bytes, old_word));
  if (!handle) return tl::unexpected(handle.error());
  if (config_.has_page_checks)
    store_page_check(packed.data() + packed_bytes, page_check_(packed.data(), packed_bytes));
  std::memcpy(pool_->at(*handle, bytes).data(), packed.data(), bytes);
  return SlotWord::packed(*handle, packed_bytes, priority);
}

Result<void> Store::write_page(WriteLane& lane, PageIndex page, PageView content) {
  table_.touch(page);
  const SlotWord seen = table_.load(page);
  if (object_bytes(seen) != 0) pool_->prefetch(seen.handle());
  const Result<Placed> fresh = place(lane, page, content, seen);
  if (!fresh) return tl::unexpected(fresh.error());
  retire(table_.publish(page, fresh->word), fresh->word);
  note_content(page, *fresh);
  note_access(page);
  return {};
}

Result<void> Store::write(PageIndex first, ConstBytes pages) {
  UZ_DCHECK(pages.size() % kPageBytes == 0 &&
            first.value + pages.size() / kPageBytes <= config_.disk_pages);
  const LaneHolder<WriteLane> lane(lanes_.write);
  for (std::size_t offset = 0; offset < pages.size(); offset += kPageBytes) {
    const PageView content(pages.data() + offset, kPageBytes);
    const Result<void> written = write_page(*lane, {first.value + offset / kPageBytes}, content);
    if (!written) return written;
  }
  return {};
}

Result<void> Store::write_part(PageIndex page, std::size_t offset, ConstBytes data) {
  UZ_DCHECK(offset + data.size() <= kPageBytes && page.value < config_.disk_pages);
  alignas(64) std::array<std::byte, kPageBytes> whole;
  const PageBuffer content(whole);
  table_.touch(page);
  table_.claim(page);
  const Result<void> was = read(page, content);
  if (!was) {
    table_.unclaim(page);
    return was;
  }
  // Not before: the backing store may take its time.
  const LaneHolder<WriteLane> lane(lanes_.write);
  std::memcpy(content.data() + offset, data.data(), data.size());
  const Result<Placed> fresh = place(*lane, page, content, table_.load(page));
  if (!fresh) {
    table_.unclaim(page);
    return tl::unexpected(fresh.error());
  }
  retire(table_.publish_claimed(page, fresh->word), fresh->word);
  note_content(page, *fresh);
  note_access(page);
  return {};
}

// --- free

void Store::free(PageIndex first, std::uint64_t page_count) {
  UZ_DCHECK(first.value + page_count <= config_.disk_pages);
  const std::uint64_t end = first.value + page_count;
  for (std::uint64_t page = table_.next_touched(first.value, end); page < end;
       page = table_.next_touched(page + 1, end)) {
    if (table_.load({page}).is_empty()) continue;
    retire(table_.publish({page}, SlotWord{}), SlotWord{});
    if (dedup_ != nullptr) dedup_->clear({page});
  }
}

}  // namespace uzram
