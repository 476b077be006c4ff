// SPDX-License-Identifier: Apache-2.0
// store/slot_word.h: the 8 bytes that say what one page of a device is. The format of the slot
// table in the arena.
//
// clang-format off
// Shapes:  from bit 0:
//     3 state     SlotState
//     1 busy      a reader or a mover uses the object; the word stays until it is cleared
//     1 claimed   a partial write has read the page and will replace it; whole-page writers wait
//     3 spare     zero
//     2 priority  which of the device's algorithms packed the page
//     2 fill      Same: how the pattern is spelled in the payload (FillKind)
//     4 spare     zero
//    12 size      Packed: packed bytes, 1 to 4095, without the check behind them
//    36 handle    Packed, Raw, SameStored: the object's Handle in the pool
//          Same: the upper 48 bits (size and handle together) are the payload of the pattern.
//          An all-zero word is an empty page, so a table that was never written is a table of
//          empty pages.
// clang-format on
// Laws:    1 (the slot word is the truth), 2.
// Proof:   slot_word_test.cc.
#pragma once

#include <cstdint>
#include <optional>

#include "base/check.h"
#include "base/units.h"
#include "pool/pool.h"

namespace uzram {

// Stored: a value is never reused. 6 and 7 are kept for cluster members and written-back pages.
enum class SlotState : std::uint8_t {
  Empty = 0,       // Reads as zeros, costs nothing.
  Same = 1,        // One 8-byte pattern repeated; the pattern is in the word.
  SameStored = 2,  // The same; the pattern is an 8-byte object in the pool.
  Packed = 3,      // A compressed object, and a check behind it.
  Raw = 4,         // A page that did not shrink: kPageBytes in the pool.
  Lost = 5,        // Recovery found the word damaged: reads fail, a write heals it.
};

class SlotWord {
 public:
  static constexpr std::uint64_t kBusy = 1U << 3;
  static constexpr std::uint64_t kClaimed = 1U << 4;

  constexpr SlotWord() = default;
  explicit constexpr SlotWord(std::uint64_t bits) : bits_(bits) {}

  static constexpr SlotWord packed(Handle handle, std::size_t packed_bytes, int priority) {
    return SlotWord(
        state_bits(SlotState::Packed) | static_cast<std::uint64_t>(priority) << kPriorityShift |
        static_cast<std::uint64_t>(packed_bytes) << kSizeShift | handle.value << kHandleShift);
  }
  static constexpr SlotWord raw(Handle handle) {
    return SlotWord(state_bits(SlotState::Raw) | handle.value << kHandleShift);
  }
  static constexpr SlotWord same_stored(Handle handle) {
    return SlotWord(state_bits(SlotState::SameStored) | handle.value << kHandleShift);
  }
  static constexpr SlotWord lost() { return SlotWord(state_bits(SlotState::Lost)); }
  // Returns: nullopt when the pattern does not fit into the word and has to be stored.
  static constexpr std::optional<SlotWord> same(std::uint64_t pattern) {
    const std::uint64_t low = pattern & kPayloadMask;
    if (pattern == low) return same_word(FillKind::ZeroExtended, low);
    if (pattern == (low | ~kPayloadMask)) return same_word(FillKind::OneExtended, low);
    if (pattern >> 32 == (pattern & 0xffffffff))
      return same_word(FillKind::Repeated, pattern & 0xffffffff);
    return std::nullopt;
  }

  [[nodiscard]] constexpr std::uint64_t bits() const { return bits_; }
  [[nodiscard]] constexpr SlotState state() const {
    return static_cast<SlotState>(bits_ & kStateMask);
  }
  [[nodiscard]] constexpr bool is_empty() const { return state() == SlotState::Empty; }
  [[nodiscard]] constexpr bool is_busy() const { return (bits_ & kBusy) != 0; }
  [[nodiscard]] constexpr bool is_claimed() const { return (bits_ & kClaimed) != 0; }
  [[nodiscard]] constexpr int priority() const {
    return static_cast<int>(bits_ >> kPriorityShift & 3);
  }
  [[nodiscard]] constexpr Handle handle() const { return {bits_ >> kHandleShift}; }
  // Requires: state() is Packed.
  [[nodiscard]] constexpr std::size_t packed_bytes() const {
    return bits_ >> kSizeShift & kSizeMask;
  }
  // Requires: state() is Same.
  [[nodiscard]] constexpr std::uint64_t pattern() const {
    const std::uint64_t payload = bits_ >> kSizeShift;
    switch (static_cast<FillKind>(bits_ >> kFillShift & 3)) {
      case FillKind::OneExtended:
        return payload | ~kPayloadMask;
      case FillKind::Repeated:
        return payload << 32 | payload;
      case FillKind::ZeroExtended:
        break;
    }
    return payload;
  }

  [[nodiscard]] constexpr SlotWord with(std::uint64_t flags) const {
    return SlotWord(bits_ | flags);
  }
  [[nodiscard]] constexpr SlotWord without(std::uint64_t flags) const {
    return SlotWord(bits_ & ~flags);
  }
  // The same page at another place.
  [[nodiscard]] constexpr SlotWord moved_to(Handle handle) const {
    return SlotWord((bits_ & ((std::uint64_t{1} << kHandleShift) - 1)) | handle.value
                                                                             << kHandleShift);
  }
  // Whether this version writes such a word; what recovery asks first.
  [[nodiscard]] constexpr bool is_well_formed() const {
    const SlotWord bare = without(kBusy | kClaimed);
    switch (state()) {
      case SlotState::Empty:
        return bare == SlotWord();
      case SlotState::Same:
        return bare == same(pattern());
      case SlotState::SameStored:
        return bare == same_stored(handle());
      case SlotState::Packed:
        return packed_bytes() != 0 && bare == packed(handle(), packed_bytes(), priority());
      case SlotState::Raw:
        return bare == raw(handle());
      case SlotState::Lost:
        return bare == lost();
    }
    return false;
  }

  friend constexpr bool operator==(const SlotWord&, const SlotWord&) = default;

 private:
  enum class FillKind : std::uint8_t { ZeroExtended = 0, OneExtended = 1, Repeated = 2 };
  static constexpr std::uint64_t kStateMask = 7;
  static constexpr int kPriorityShift = 8;
  static constexpr int kFillShift = 10;
  static constexpr int kSizeShift = 16;
  static constexpr std::uint64_t kSizeMask = 0xfff;
  static constexpr int kHandleShift = 28;
  static constexpr std::uint64_t kPayloadMask = (std::uint64_t{1} << 48) - 1;
  static_assert(kHandleShift + kHandleBits == 64);

  static constexpr std::uint64_t state_bits(SlotState state) {
    return static_cast<std::uint64_t>(state);
  }
  static constexpr SlotWord same_word(FillKind kind, std::uint64_t payload) {
    return SlotWord(state_bits(SlotState::Same) | static_cast<std::uint64_t>(kind) << kFillShift |
                    payload << kSizeShift);
  }

  std::uint64_t bits_ = 0;
};

}  // namespace uzram
