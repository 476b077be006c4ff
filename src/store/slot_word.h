// SPDX-License-Identifier: Apache-2.0
// store/slot_word.h: the 8 bytes that say what one page of a device is. The format of the slot
// table in the arena.
//
// What:    a slot is a page of the device; or a shared slot, which says where content is that
//          several pages have in common; or a cluster slot, which says where a cluster of pages is
//          (slot_table.h has the three regions).
// clang-format off
// Shapes:  from bit 0:
//     4 state         SlotState
//     1 busy          a reader or a mover uses the object; the word stays until it is cleared
//     1 claimed       a partial write has read the page and will replace it; other writers wait
//     1 marked        chosen for work in the background; every access and every publish clears it
//     1 idle          not accessed since it was marked idle
//     2 priority      which of the device's algorithms packed the page
//     2 fill          Same: how the pattern is spelled in the payload (FillKind)
//     1 incompressible  no algorithm of the device makes the page smaller
//     3 age           rounds of the policy without an access
//    12 size          Packed, WrittenBack: packed bytes, 1 to 4095, without the check behind them
//                     Cluster: bytes of the head object. Member: the page's number in the cluster
//    36 handle        Packed, Raw, SameStored, Cluster: the object's Handle in the pool
//                     Member, Shared: the slot that says more. WrittenBack: the place
//          Cluster: priority, fill and incompressible together count the pieces.
//          ClusterWrittenBack: priority and size together are the bytes / 16.
//          WrittenBack with size 0 is a raw page.
//          Same: the upper 48 bits (size and handle together) are the payload of the pattern.
//          An all-zero word is an empty page, so a table that was never written is a table of
//          empty pages.
// clang-format on
// Laws:    1 (the slot word is the truth), 2.
// Proof:   slot_word_test.cc.
#pragma once

#include <cstdint>
#include <optional>

#include "backing/object_place.h"
#include "base/check.h"
#include "base/units.h"
#include "pool/pool.h"

namespace uzram {

// Stored: a value is never reused.
enum class SlotState : std::uint8_t {
  Empty = 0,               // Reads as zeros, costs nothing.
  Same = 1,                // One 8-byte pattern repeated; the pattern is in the word.
  SameStored = 2,          // The same; the pattern is an 8-byte object in the pool.
  Packed = 3,              // A compressed object, and a check behind it.
  Raw = 4,                 // A page that did not shrink: kPageBytes in the pool.
  Lost = 5,                // Recovery found the word damaged: reads fail, a write heals it.
  Member = 6,              // One page of a cluster; a cluster slot says where that is.
  WrittenBack = 7,         // On the backing store.
  Shared = 8,              // The same content as other pages; a shared slot says where it is.
  Cluster = 9,             // Cluster slots only: pages packed together, in the pool.
  ClusterWrittenBack = 10  // Cluster slots only: the same on the backing store.
};

inline constexpr std::size_t kMostClusterPages = 32;
inline constexpr std::size_t kMostClusterPieces = kMostClusterPages - 1;

class SlotWord {
 public:
  static constexpr std::uint64_t kBusy = 1U << 4;
  static constexpr std::uint64_t kClaimed = 1U << 5;
  static constexpr std::uint64_t kMarked = 1U << 6;
  static constexpr std::uint64_t kIdle = 1U << 7;
  static constexpr std::uint64_t kIncompressible = 1U << 12;
  static constexpr int kMostAge = 7;

  constexpr SlotWord() = default;
  explicit constexpr SlotWord(std::uint64_t bits) : bits_(bits) {}

  static constexpr SlotWord packed(Handle handle, std::size_t packed_bytes, int priority) {
    return of(SlotState::Packed, packed_bytes, handle.value).with(priority_bits(priority));
  }
  static constexpr SlotWord raw(Handle handle) { return of(SlotState::Raw, 0, handle.value); }
  static constexpr SlotWord same_stored(Handle handle) {
    return of(SlotState::SameStored, 0, handle.value);
  }
  static constexpr SlotWord lost() { return of(SlotState::Lost, 0, 0); }
  static constexpr SlotWord member(PageIndex cluster_slot, std::size_t number) {
    return of(SlotState::Member, number, cluster_slot.value);
  }
  static constexpr SlotWord shared(PageIndex shared_slot) {
    return of(SlotState::Shared, 0, shared_slot.value);
  }
  // packed_bytes 0: a raw page.
  static constexpr SlotWord written_back(BackingPosition place, std::size_t packed_bytes,
                                         int priority) {
    return of(SlotState::WrittenBack, packed_bytes, place.value).with(priority_bits(priority));
  }
  // Requires: head_bytes <= 4095, pieces <= kMostClusterPieces.
  static constexpr SlotWord cluster(Handle head, std::size_t head_bytes, std::size_t pieces) {
    return of(SlotState::Cluster, head_bytes, head.value)
        .with(static_cast<std::uint64_t>(pieces) << kPriorityShift);
  }
  // Requires: bytes is a multiple of 16.
  static constexpr SlotWord cluster_written_back(BackingPosition place, std::size_t bytes) {
    const std::uint64_t units = bytes / kWrittenUnitBytes;
    return of(SlotState::ClusterWrittenBack, units & kSizeMask, place.value)
        .with((units >> kSizeBits) << kPriorityShift);
  }
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
  [[nodiscard]] constexpr bool is_marked() const { return (bits_ & kMarked) != 0; }
  [[nodiscard]] constexpr bool is_idle() const { return (bits_ & kIdle) != 0; }
  // Requires: the word of a page or a shared slot.
  [[nodiscard]] constexpr bool is_incompressible() const { return (bits_ & kIncompressible) != 0; }
  [[nodiscard]] constexpr int age() const { return static_cast<int>(bits_ >> kAgeShift & 7); }
  [[nodiscard]] constexpr int priority() const {
    return static_cast<int>(bits_ >> kPriorityShift & 3);
  }
  [[nodiscard]] constexpr Handle handle() const { return {bits_ >> kHandleShift}; }
  // Requires: state() is Packed or WrittenBack.
  [[nodiscard]] constexpr std::size_t packed_bytes() const {
    return bits_ >> kSizeShift & kSizeMask;
  }
  // Requires: state() is Member, Shared.
  [[nodiscard]] constexpr PageIndex slot() const { return {bits_ >> kHandleShift}; }
  // Requires: state() is Member.
  [[nodiscard]] constexpr std::size_t member_number() const {
    return bits_ >> kSizeShift & kSizeMask;
  }
  // Requires: state() is Cluster.
  [[nodiscard]] constexpr std::size_t head_bytes() const { return bits_ >> kSizeShift & kSizeMask; }
  [[nodiscard]] constexpr std::size_t pieces() const {
    return bits_ >> kPriorityShift & kMostClusterPieces;
  }
  // Requires: state() is WrittenBack or ClusterWrittenBack.
  [[nodiscard]] constexpr BackingPosition place() const { return {bits_ >> kHandleShift}; }
  // Requires: state() is ClusterWrittenBack.
  [[nodiscard]] constexpr std::size_t written_bytes() const {
    const std::uint64_t units = (bits_ >> kPriorityShift & 3) << kSizeBits | packed_bytes();
    return units * kWrittenUnitBytes;
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
  // As an access leaves it: neither idle nor chosen, and young.
  [[nodiscard]] constexpr SlotWord accessed() const { return without(kMarked | kIdle | kAgeMask); }
  [[nodiscard]] constexpr SlotWord with_age(int age) const {
    return SlotWord((bits_ & ~kAgeMask) | static_cast<std::uint64_t>(age) << kAgeShift);
  }
  // What the page is, without who is at work on it and when it was used.
  [[nodiscard]] constexpr SlotWord bare() const {
    return without(kBusy | kClaimed | kMarked | kIdle | kAgeMask);
  }
  // The same page at another place.
  [[nodiscard]] constexpr SlotWord moved_to(Handle handle) const {
    return SlotWord((bits_ & ((std::uint64_t{1} << kHandleShift) - 1)) | handle.value
                                                                             << kHandleShift);
  }
  // Whether this version writes such a word; what recovery asks first.
  [[nodiscard]] constexpr bool is_well_formed() const;

  friend constexpr bool operator==(const SlotWord&, const SlotWord&) = default;

 private:
  enum class FillKind : std::uint8_t { ZeroExtended = 0, OneExtended = 1, Repeated = 2 };
  static constexpr std::uint64_t kStateMask = 15;
  static constexpr int kPriorityShift = 8;
  static constexpr int kFillShift = 10;
  static constexpr int kAgeShift = 13;
  static constexpr std::uint64_t kAgeMask = std::uint64_t{7} << kAgeShift;
  static constexpr int kSizeShift = 16;
  static constexpr int kSizeBits = 12;
  static constexpr std::uint64_t kSizeMask = 0xfff;
  static constexpr int kHandleShift = 28;
  static constexpr std::uint64_t kPayloadMask = (std::uint64_t{1} << 48) - 1;
  static constexpr std::size_t kWrittenUnitBytes = 16;
  static_assert(kHandleShift + kHandleBits == 64);
  static_assert(kMostClusterPieces == 31, "pieces are counted in five bits");

  static constexpr SlotWord of(SlotState state, std::uint64_t size, std::uint64_t handle) {
    return SlotWord(static_cast<std::uint64_t>(state) | size << kSizeShift |
                    handle << kHandleShift);
  }
  static constexpr std::uint64_t priority_bits(int priority) {
    return static_cast<std::uint64_t>(priority) << kPriorityShift;
  }
  static constexpr SlotWord same_word(FillKind kind, std::uint64_t payload) {
    return SlotWord(static_cast<std::uint64_t>(SlotState::Same) |
                    static_cast<std::uint64_t>(kind) << kFillShift | payload << kSizeShift);
  }

  std::uint64_t bits_ = 0;
};

constexpr bool SlotWord::is_well_formed() const {
  const SlotWord word = bare();
  const SlotWord packable = word.without(kIncompressible);
  switch (state()) {
    case SlotState::Empty:
      return without(kBusy | kClaimed) == SlotWord();
    case SlotState::Same:
      return word == same(pattern());
    case SlotState::SameStored:
      return word == same_stored(handle());
    case SlotState::Packed:
      return packed_bytes() != 0 && packable == packed(handle(), packed_bytes(), priority());
    case SlotState::Raw:
      return packable == raw(handle());
    case SlotState::Lost:
      return word == lost();
    case SlotState::Member:
      return member_number() < kMostClusterPages && word == member(slot(), member_number());
    case SlotState::WrittenBack:
      return packable == written_back(place(), packed_bytes(), priority());
    case SlotState::Shared:
      return word == shared(slot());
    case SlotState::Cluster:
      return head_bytes() != 0 && word == cluster(handle(), head_bytes(), pieces());
    case SlotState::ClusterWrittenBack:
      return written_bytes() != 0 && word == cluster_written_back(place(), written_bytes());
  }
  return false;
}

// What a page takes on the backing store. Requires: state() is WrittenBack.
constexpr std::size_t bytes_written_back(SlotWord word) {
  return word.packed_bytes() == 0 ? kPageBytes : word.packed_bytes();
}

}  // namespace uzram
