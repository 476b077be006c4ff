// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <cstring>
#include <utility>

#include "base/check.h"
#include "store/same_filled.h"

namespace uzram {
namespace {

constexpr std::size_t kPatternBytes = sizeof(std::uint64_t);

// Objects beyond this cost as much as a raw page: kSpanPages of them need kSpanPages pages.
constexpr std::size_t most_object_bytes() {
  std::size_t most = kPageBytes;
  while (kSizeClasses[class_index_for(most)].object_count <=
         kSizeClasses[class_index_for(most)].page_count) {
    most -= kClassStepBytes;
  }
  return most;
}
constexpr std::size_t kMostObjectBytes = most_object_bytes();
static_assert(kMostObjectBytes >= 4000, "a page that packs to 4,000 bytes is worth packing");

}  // namespace

Store::Store(StoreConfig config, std::unique_ptr<Arena> arena, const ArenaLayout& layout,
             std::unique_ptr<Pool> pool, std::vector<std::unique_ptr<Codec>> codecs, Lanes lanes)
    : config_(std::move(config)),
      arena_(std::move(arena)),
      layout_(layout),
      page_check_(choose_page_check()),
      codecs_(std::move(codecs)),
      pool_(std::move(pool)),
      table_(arena_->base() + layout.table_offset, config_.disk_pages),
      lanes_(std::move(lanes)) {}

Result<std::unique_ptr<Store>> Store::make(const StoreConfig& config, std::unique_ptr<Arena> arena,
                                           const ArenaLayout& layout, std::size_t lane_count) {
  std::vector<std::unique_ptr<Codec>> codecs;
  auto lanes = make_lanes(config, lane_count, codecs);
  if (!lanes) return tl::unexpected(lanes.error());
  auto pool = Pool::create(*arena, layout.pool_offset, layout.pool_bytes);
  if (!pool) return tl::unexpected(pool.error());
  return std::unique_ptr<Store>(new Store(config, std::move(arena), layout, std::move(*pool),
                                          std::move(codecs), std::move(*lanes)));
}

Result<std::unique_ptr<Store>> Store::create(const StoreConfig& config, std::size_t lane_count) {
  const Result<ArenaLayout> layout = make_layout(config);
  if (!layout) return tl::unexpected(layout.error());
  auto arena = Arena::create(layout->arena_bytes);
  if (!arena) return tl::unexpected(arena.error());
  write_arena_header(**arena, *layout, config);
  return make(config, std::move(*arena), *layout, lane_count);
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
    case SlotState::Empty:
    case SlotState::Same:
    case SlotState::Lost:
      break;
  }
  return 0;
}

SlotWord Store::word_of(PageIndex page) const {
  if (!table_.is_touched(page)) return {};
  return table_.load(page).without(SlotWord::kBusy | SlotWord::kClaimed);
}

void Store::free_object(SlotWord word) {
  const std::size_t bytes = object_bytes(word);
  if (bytes != 0) pool_->free(word.handle(), bytes);
}

void Store::retire(SlotWord old_word, SlotWord new_word) {
  counters_.replace(old_word, new_word);
  free_object(old_word);
}

LimitRule Store::limit_rule(std::size_t new_bytes, SlotWord old_word) const {
  const std::size_t old_bytes = object_bytes(old_word);
  const bool grows = old_bytes == 0 || class_index_for(new_bytes) > class_index_for(old_bytes);
  return grows ? LimitRule::Obey : LimitRule::Exceed;
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
  if (packed_bytes && *packed_bytes > kMostObjectBytes - kPageCheckBytes) packed_bytes.reset();
  const std::size_t bytes = packed_bytes ? *packed_bytes + check_bytes() : kPageBytes;
  const Result<Handle> handle = pool_->allocate(bytes, limit_rule(bytes, old_word));
  if (!handle) return tl::unexpected(handle.error());
  const MutableBytes object = pool_->at(*handle, bytes);
  if (!packed_bytes) {
    std::memcpy(object.data(), content.data(), kPageBytes);
    raw_pages_since_.fetch_add(1, std::memory_order_relaxed);
    return SlotWord::raw(*handle);
  }
  if (config_.has_page_checks) {
    store_page_check(lane.packed.data() + *packed_bytes,
                     page_check_(lane.packed.data(), *packed_bytes));
  }
  std::memcpy(object.data(), lane.packed.data(), bytes);
  return SlotWord::packed(*handle, *packed_bytes, 0);
}

Result<void> Store::write_page(WriteLane& lane, PageIndex page, PageView content) {
  table_.touch(page);
  const SlotWord seen = table_.load(page);
  if (object_bytes(seen) != 0) pool_->prefetch(seen.handle());
  const Result<SlotWord> fresh = build(lane, content, seen);
  if (!fresh) return tl::unexpected(fresh.error());
  retire(table_.publish(page, *fresh), *fresh);
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
  const LaneHolder<WriteLane> lane(lanes_.write);
  table_.touch(page);
  table_.claim(page);
  const PageBuffer content(lane->page);
  const Result<void> was = read(page, content);
  if (!was) {
    table_.unclaim(page);
    return was;
  }
  std::memcpy(content.data() + offset, data.data(), data.size());
  const Result<SlotWord> fresh = build(*lane, content, table_.load(page));
  if (!fresh) {
    table_.unclaim(page);
    return tl::unexpected(fresh.error());
  }
  retire(table_.publish_claimed(page, *fresh), *fresh);
  return {};
}

// --- read

Result<void> Store::unpack(ReadLane& lane, SlotWord word, PageBuffer out) const {
  const std::size_t bytes = object_bytes(word);
  const MutableBytes object = pool_->at(word.handle(), bytes);
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
  const ConstBytes packed(object.data(), word.packed_bytes());
  if (config_.has_page_checks) {
    const std::uint64_t check = page_check_(packed.data(), packed.size());
    if (!matches_page_check(object.data() + packed.size(), check)) return fail(EIO);
  }
  Decompressor* decompressor = lane.decompressors[static_cast<std::size_t>(word.priority())].get();
  if (decompressor == nullptr || !decompressor->decompress(packed, out)) return fail(EIO);
  return {};
}

Result<void> Store::read_page(ReadLane& lane, PageIndex page, PageBuffer out) {
  const SlotWord seen = word_of(page);
  switch (seen.state()) {
    case SlotState::Empty:
      fill_page(out, 0);
      return {};
    case SlotState::Same:
      fill_page(out, seen.pattern());
      return {};
    case SlotState::Lost:
      return fail(EIO);
    default:
      break;
  }
  const SlotWord word = table_.hold(page);
  Result<void> result;
  // It may have changed since it was seen, but then to a state that has no object.
  if (object_bytes(word) != 0) {
    result = unpack(lane, word, out);
  } else if (word.state() == SlotState::Lost) {
    result = fail(EIO);
  } else {
    fill_page(out, word.is_empty() ? 0 : word.pattern());
  }
  table_.release(page, word);
  return result;
}

Result<void> Store::read(PageIndex first, MutableBytes pages) {
  UZ_DCHECK(pages.size() % kPageBytes == 0 &&
            first.value + pages.size() / kPageBytes <= config_.disk_pages);
  const LaneHolder<ReadLane> lane(lanes_.read);
  for (std::size_t offset = 0; offset < pages.size(); offset += kPageBytes) {
    const PageBuffer out(pages.data() + offset, kPageBytes);
    const Result<void> done = read_page(*lane, {first.value + offset / kPageBytes}, out);
    if (!done) return done;
  }
  return {};
}

Result<void> Store::read_part(PageIndex page, std::size_t offset, MutableBytes out) {
  UZ_DCHECK(offset + out.size() <= kPageBytes && page.value < config_.disk_pages);
  const LaneHolder<ReadLane> lane(lanes_.read);
  const Result<void> done = read_page(*lane, page, PageBuffer(lane->page));
  if (done) std::memcpy(out.data(), lane->page.data() + offset, out.size());
  return done;
}

// --- free

void Store::free(PageIndex first, std::uint64_t page_count) {
  UZ_DCHECK(first.value + page_count <= config_.disk_pages);
  const std::uint64_t end = first.value + page_count;
  for (std::uint64_t page = table_.next_touched(first.value); page < end;
       page = table_.next_touched(page + 1)) {
    if (table_.load({page}).is_empty()) continue;
    retire(table_.publish({page}, SlotWord{}), SlotWord{});
  }
}

}  // namespace uzram
