// SPDX-License-Identifier: Apache-2.0
#include "store/arena_header.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <type_traits>

#include "backing/backing_space.h"
#include "base/check.h"
#include "pool/arena.h"
#include "pool/pool.h"
#include "store/page_check.h"
#include "store/slot_table.h"

namespace uzram {
namespace {

constexpr std::array<char, 8> kMagic = {'u', 'z', 'r', 'a', 'm', 'A', 'R', '1'};
constexpr std::uint32_t kVersion = 3;
constexpr std::uint64_t kMostPoolBytes = kClassStepBytes << kHandleBits;
constexpr std::uint64_t kMostDiskPages = std::uint64_t{1}
                                         << 32;  // 16 TiB: the table fits into the address space.
constexpr std::uint64_t kMostDictionaryBytes = 64U << 20;

struct StoredCodec {
  std::uint8_t id = 0;  // 0: none.
  std::uint8_t has_level = 0;
  std::uint8_t has_window_bits = 0;
  std::uint8_t spare = 0;
  std::int32_t level = 0;
  std::int32_t window_bits = 0;
  std::uint32_t spare2 = 0;
  std::uint64_t dictionary_offset = 0;
  std::uint64_t dictionary_bytes = 0;
};

struct StoredHeader {
  std::array<char, 8> magic = kMagic;
  std::uint32_t version = kVersion;
  std::uint8_t has_page_checks = 0;
  std::uint8_t tracks_access = 0;
  std::uint8_t uses_dedup = 0;
  std::uint8_t encrypts_backing = 0;
  std::uint64_t disk_pages = 0;
  ArenaLayout layout;
  std::array<StoredCodec, kAlgorithmCount> codecs;
  std::uint64_t backing_name_offset = 0;
  std::uint64_t backing_name_bytes = 0;
  std::uint64_t backing_blocks = 0;
  std::array<std::byte, kBackingKeyBytes> backing_key{};
  std::uint64_t check = 0;  // XXH3 over header_bytes with this field zero.
};
static_assert(std::is_trivially_copyable_v<StoredHeader>);
static_assert(sizeof(StoredHeader) == 8 + 8 + 8 + 64 + 4 * 32 + 24 + kBackingKeyBytes + 8,
              "no padding: every byte is written");

// Behind the fixed part, and not part of its check, stands the disk's size: 33 bits of pages, and
// 31 bits that check them. It alone changes while the arena lives.
constexpr std::uint64_t kSizeOffset = sizeof(StoredHeader);
constexpr std::uint64_t kFixedBytes = kSizeOffset + sizeof(std::uint64_t);
constexpr int kSizeBits = 33;
static_assert(kMostDiskPages < std::uint64_t{1} << kSizeBits);

std::uint64_t size_word(std::uint64_t pages) {
  return pages | choose_page_check()(&pages, sizeof pages) << kSizeBits;
}

std::atomic_ref<std::uint64_t> size_of(const Arena& arena) {
  return std::atomic_ref(*reinterpret_cast<std::uint64_t*>(arena.base() + kSizeOffset));
}

std::uint64_t header_check(const Arena& arena, StoredHeader header) {
  header.check = 0;
  const std::uint64_t fixed = choose_page_check()(&header, sizeof header);
  const std::byte* rest = arena.base() + kFixedBytes;
  return fixed ^ choose_page_check()(rest, header.layout.header_bytes - kFixedBytes);
}

std::uint64_t dictionary_bytes_of(const CodecParams& params) {
  return params.dictionary == nullptr ? 0 : params.dictionary->size();
}

}  // namespace

Result<ArenaLayout> make_layout(const StoreConfig& config) {
  if (config.disk_pages == 0) return fail(EINVAL);
  if (config.disk_pages > kMostDiskPages) return fail(ENOMEM);
  std::uint64_t dictionaries = 0;
  for (const CodecChoice& choice : config.codecs)
    dictionaries += dictionary_bytes_of(choice.params);
  if (dictionaries > kMostDictionaryBytes) return fail(EINVAL);
  ArenaLayout layout;
  layout.header_bytes =
      round_up(kFixedBytes + dictionaries + config.backing.where.size(), kPageBytes);
  layout.table_offset = layout.header_bytes;
  layout.table_bytes = SlotRegions(config.disk_pages).cluster_end * sizeof(std::uint64_t);
  layout.records_offset = layout.table_offset + layout.table_bytes;
  layout.records_bytes =
      config.backing.where.empty()
          ? 0
          : round_up(BackingSpace::record_bytes(config.backing.block_count), kPageBytes);
  layout.pool_offset = round_up(layout.records_offset + layout.records_bytes, kSpanBytes);
  // Addresses, not memory. A span holds at least kSpanPages objects of any class, so the device's
  // size is enough for tightly packed spans; three times as much for sparse ones until compaction
  // has run, and some spans for every class however small the device.
  const std::uint64_t wanted = config.disk_pages * kPageBytes * 4 + 8 * kClassCount * kSpanBytes;
  layout.pool_bytes = std::min(round_up(wanted, kSpanBytes), kMostPoolBytes);
  layout.arena_bytes = layout.pool_offset + layout.pool_bytes;
  return layout;
}

void write_arena_header(const Arena& arena, const ArenaLayout& layout, const StoreConfig& config) {
  UZ_CHECK(arena.bytes() == layout.arena_bytes);
  StoredHeader header;
  header.has_page_checks = config.has_page_checks ? 1 : 0;
  header.tracks_access = config.tracks_access ? 1 : 0;
  header.uses_dedup = config.uses_dedup ? 1 : 0;
  header.disk_pages = config.disk_pages;
  header.layout = layout;
  std::uint64_t end = kFixedBytes;
  for (int priority = 0; priority < kAlgorithmCount; ++priority) {
    const auto index = static_cast<std::size_t>(priority);
    const CodecChoice& choice = config.codecs[index];
    if (choice.info == nullptr) continue;
    StoredCodec& stored = header.codecs[index];
    stored.id = static_cast<std::uint8_t>(choice.info->id);
    stored.has_level = choice.params.level.has_value() ? 1 : 0;
    stored.level = choice.params.level.value_or(0);
    stored.has_window_bits = choice.params.window_bits.has_value() ? 1 : 0;
    stored.window_bits = choice.params.window_bits.value_or(0);
    stored.dictionary_offset = end;
    stored.dictionary_bytes = dictionary_bytes_of(choice.params);
    if (stored.dictionary_bytes == 0) continue;
    std::memcpy(arena.base() + end, choice.params.dictionary->data(), stored.dictionary_bytes);
    end += stored.dictionary_bytes;
  }
  header.backing_name_offset = end;
  header.backing_name_bytes = config.backing.where.size();
  std::memcpy(arena.base() + end, config.backing.where.data(), config.backing.where.size());
  end += config.backing.where.size();
  header.backing_blocks = config.backing.block_count;
  header.backing_key = config.backing.key;
  header.encrypts_backing = config.backing.encrypts ? 1 : 0;
  UZ_CHECK(end <= layout.header_bytes);
  header.check = header_check(arena, header);
  std::memcpy(arena.base(), &header, sizeof header);
  write_arena_size(arena, config.size_pages == 0 ? config.disk_pages : config.size_pages);
}

std::uint64_t pages_to_grow_to(std::uint64_t size_pages) {
  constexpr std::uint64_t kGrowth = 4;
  if (size_pages >= kMostDiskPages) return size_pages;
  return std::min(size_pages * kGrowth, kMostDiskPages);
}

void write_arena_size(const Arena& arena, std::uint64_t size_pages) {
  // Relaxed: one word that says all.
  size_of(arena).store(size_word(size_pages), std::memory_order_relaxed);
}

Result<StoreConfig> read_arena_header(const Arena& arena) {
  StoredHeader header;
  if (arena.bytes() < kFixedBytes) return fail(EINVAL);
  std::memcpy(&header, arena.base(), sizeof header);
  if (header.magic != kMagic || header.version != kVersion) return fail(EINVAL);
  if (header.layout.header_bytes < kFixedBytes || header.layout.header_bytes > arena.bytes())
    return fail(EINVAL);
  if (header_check(arena, header) != header.check) return fail(EINVAL);
  StoreConfig config;
  config.disk_pages = header.disk_pages;
  const std::uint64_t size = size_of(arena).load(std::memory_order_relaxed);
  config.size_pages = size & ((std::uint64_t{1} << kSizeBits) - 1);
  if (size_word(config.size_pages) != size) return fail(EINVAL);
  if (config.size_pages == 0 || config.size_pages > config.disk_pages) return fail(EINVAL);
  config.has_page_checks = header.has_page_checks != 0;
  config.tracks_access = header.tracks_access != 0;
  config.uses_dedup = header.uses_dedup != 0;
  for (std::size_t i = 0; i < kAlgorithmCount; ++i) {
    const StoredCodec& stored = header.codecs[i];
    if (stored.id == 0) continue;
    CodecChoice& choice = config.codecs[i];
    choice.info = find_codec(static_cast<CodecId>(stored.id));
    if (choice.info == nullptr) return fail(EINVAL);
    if (stored.has_level != 0) choice.params.level = stored.level;
    if (stored.has_window_bits != 0) choice.params.window_bits = stored.window_bits;
    if (stored.dictionary_bytes == 0) continue;
    if (stored.dictionary_offset > header.layout.header_bytes ||
        stored.dictionary_bytes > header.layout.header_bytes - stored.dictionary_offset) {
      return fail(EINVAL);
    }
    const auto* bytes = reinterpret_cast<const char*>(arena.base() + stored.dictionary_offset);
    choice.params.dictionary = std::make_shared<const std::string>(bytes, stored.dictionary_bytes);
  }
  if (header.backing_name_offset > header.layout.header_bytes ||
      header.backing_name_bytes > header.layout.header_bytes - header.backing_name_offset) {
    return fail(EINVAL);
  }
  config.backing.where.assign(
      reinterpret_cast<const char*>(arena.base() + header.backing_name_offset),
      header.backing_name_bytes);
  config.backing.block_count = header.backing_blocks;
  config.backing.key = header.backing_key;
  config.backing.encrypts = header.encrypts_backing != 0;
  const Result<ArenaLayout> layout = make_layout(config);
  if (!layout || *layout != header.layout || layout->arena_bytes != arena.bytes())
    return fail(EINVAL);
  return config;
}

}  // namespace uzram
