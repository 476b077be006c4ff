// SPDX-License-Identifier: Apache-2.0
// store/arena_header.h: the first bytes of an arena: what a new process must know to open it.
//
// Shapes: header page(s) with the dictionaries and the backing store's name behind the fixed part |
//         slot table | records of the backing store's blocks | pool, from a multiple of kSpanBytes.
//         All by offset; all but the touched pages are holes.
// Units:  bytes, from the start of the arena.
// Errors: read -> EINVAL when it is not an arena of this version or when it is damaged.
// Laws:   2.
// Proof:  arena_header_test.cc, store_recovery_test.cc.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "backing/block_cipher.h"
#include "base/result.h"
#include "base/units.h"
#include "codec/codec.h"

namespace uzram {

class Arena;

inline constexpr int kAlgorithmCount = 4;  // Priorities 0 (primary) to 3.

// One priority's algorithm. `info` is null when none is configured.
struct CodecChoice {
  const CodecInfo* info = nullptr;
  CodecParams params;
};

// The store for cold pages. What is there can be read only with this key, which stays in the arena.
struct BackingChoice {
  std::string where;  // As backing_dev names it; empty: there is none.
  std::uint64_t block_count = 0;
  std::array<std::byte, kBackingKeyBytes> key{};
  bool encrypts = true;
};

struct StoreConfig {
  // What everything is laid out for: the most that the disk may grow to.
  std::uint64_t disk_pages = 0;
  std::uint64_t size_pages = 0;  // How large it is now; 0: all of disk_pages.
  std::array<CodecChoice, kAlgorithmCount> codecs;
  bool has_page_checks = true;
  bool tracks_access = false;  // 4 bytes a page: when it was used last.
  bool uses_dedup = false;
  BackingChoice backing;
};

struct ArenaLayout {
  std::uint64_t header_bytes = 0;
  std::uint64_t table_offset = 0;
  std::uint64_t table_bytes = 0;
  std::uint64_t records_offset = 0;  // Of the backing store's blocks.
  std::uint64_t records_bytes = 0;
  std::uint64_t pool_offset = 0;
  std::uint64_t pool_bytes = 0;
  std::uint64_t arena_bytes = 0;
  friend bool operator==(const ArenaLayout&, const ArenaLayout&) = default;
};

// Where everything lies for this configuration. Errors: EINVAL for a device without pages or for
// dictionaries of more than 64 MiB; ENOMEM for more than 16 TiB.
[[nodiscard]] Result<ArenaLayout> make_layout(const StoreConfig& config);

// What a disk of this size is laid out for, so that it can grow: four times as much. These are
// addresses only; what is not written costs no memory.
[[nodiscard]] std::uint64_t pages_to_grow_to(std::uint64_t size_pages);

// Says how large the disk is from now on, with one store: a crash leaves the one size or the other.
// Requires: a header was written; size_pages <= disk_pages of its configuration.
void write_arena_size(const Arena& arena, std::uint64_t size_pages);

// Requires: the arena has layout.arena_bytes.
void write_arena_header(const Arena& arena, const ArenaLayout& layout, const StoreConfig& config);
[[nodiscard]] Result<StoreConfig> read_arena_header(const Arena& arena);

}  // namespace uzram
