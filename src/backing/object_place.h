// SPDX-License-Identifier: Apache-2.0
// backing/object_place.h: how an object lies in blocks.
//
// What:    an object of exactly one block (a raw page) has a block to itself and its check in
//          memory: it is read with one block and its block is free when it is. Any other object is
//          packed: its bytes, then kObjectCheckBytes of check, from any multiple of
//          kPlaceStepBytes, over as many blocks as that takes.
// Shapes:  1 to kMaxObjectBytes bytes; a BackingPosition is below 2^36 (1 TiB).
#pragma once

#include "backing/backing_store.h"

namespace uzram {

inline constexpr std::size_t kPlaceStepBytes = 16;
inline constexpr std::size_t kStepsPerBlock = kBlockBytes / kPlaceStepBytes;
inline constexpr std::size_t kObjectCheckBytes = 8;
inline constexpr std::size_t kMaxObjectBytes = 132 * 1024;
inline constexpr int kBackingPositionBits = 36;
inline constexpr std::uint64_t kMaxBackingBlocks =
    (std::uint64_t{1} << kBackingPositionBits) / kStepsPerBlock;

// Where an object starts, in kPlaceStepBytes from the start of the store.
struct BackingPosition {
  std::uint64_t value = 0;
  friend bool operator==(const BackingPosition&, const BackingPosition&) = default;
};

[[nodiscard]] constexpr bool has_own_block(std::size_t object_bytes) {
  return object_bytes == kBlockBytes;
}
// What an object takes in its blocks, check included.
[[nodiscard]] constexpr std::size_t stored_bytes(std::size_t object_bytes) {
  return has_own_block(object_bytes) ? kBlockBytes
                                     : static_cast<std::size_t>(round_up(
                                           object_bytes + kObjectCheckBytes, kPlaceStepBytes));
}
[[nodiscard]] constexpr BlockRange blocks_of(BackingPosition position, std::size_t object_bytes) {
  const std::uint64_t first = position.value / kStepsPerBlock;
  const std::uint64_t end_step = position.value + stored_bytes(object_bytes) / kPlaceStepBytes;
  return {first, (end_step + kStepsPerBlock - 1) / kStepsPerBlock - first};
}
// The blocks from the first of both to the last of both.
[[nodiscard]] constexpr BlockRange hull_of(BlockRange a, BlockRange b) {
  const std::uint64_t first = a.first < b.first ? a.first : b.first;
  const std::uint64_t end =
      a.first + a.count > b.first + b.count ? a.first + a.count : b.first + b.count;
  return {first, end - first};
}
[[nodiscard]] constexpr bool contains(BlockRange outer, BlockRange inner) {
  return inner.first >= outer.first && inner.first + inner.count <= outer.first + outer.count;
}
// Whether a writer could have put such an object there, in a store of so many blocks.
[[nodiscard]] constexpr bool is_possible_place(BackingPosition position, std::size_t object_bytes,
                                               std::uint64_t block_count) {
  if (object_bytes == 0 || object_bytes > kMaxObjectBytes) return false;
  if (position.value >> kBackingPositionBits != 0) return false;
  if (has_own_block(object_bytes) && position.value % kStepsPerBlock != 0) return false;
  return contains({0, block_count}, blocks_of(position, object_bytes));
}

static_assert(kMaxObjectBytes + kObjectCheckBytes <= (kReadBlocks - 2) * kBlockBytes);

}  // namespace uzram
