// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_layout.h: where f2fs keeps what, as byte offsets and counts.
//
// What:   constants of the on-disk format with blocks of 4 KiB, all integers little-endian. Not
//         here: their meaning, which the files that read them explain.
// Units:  offsets and sizes in bytes unless a name says blocks, words (of 4 bytes) or entries.
// Source: Linux, include/linux/f2fs_fs.h, read for the layout.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/units.h"

namespace uzram::f2fs {

inline constexpr std::uint64_t kSegmentBlocks = 512;
inline constexpr std::size_t kWordBytes = 4;

// The superblock, at this offset of the first two blocks.
inline constexpr std::size_t kSuperOffset = 1024;
inline constexpr std::size_t kSuperBytes = 3072;
namespace super {
inline constexpr std::size_t kMagic = 0;
inline constexpr std::size_t kMajorVersion = 4;  // u16, then the minor one.
inline constexpr std::size_t kLogSectorBytes = 8;
inline constexpr std::size_t kLogSectorsPerBlock = 12;
inline constexpr std::size_t kLogBlockBytes = 16;
inline constexpr std::size_t kLogSegmentBlocks = 20;
inline constexpr std::size_t kChecksumOffset = 32;
inline constexpr std::size_t kBlockCount = 36;  // u64
inline constexpr std::size_t kCheckpointSegments = 52;
inline constexpr std::size_t kSitSegments = 56;
inline constexpr std::size_t kNatSegments = 60;
inline constexpr std::size_t kSsaSegments = 64;
inline constexpr std::size_t kMainSegments = 68;
inline constexpr std::size_t kCheckpointBlock = 76;
inline constexpr std::size_t kNatBlock = 84;
inline constexpr std::size_t kMainBlock = 92;
inline constexpr std::size_t kRootIno = 96;
inline constexpr std::size_t kUuid = 108;        // 16 bytes
inline constexpr std::size_t kVolumeName = 124;  // 512 u16
inline constexpr std::size_t kVolumeNameUnits = 512;
inline constexpr std::size_t kCheckpointPayload = 1664;  // Blocks behind a checkpoint's first one.
inline constexpr std::size_t kFeatures = 2180;
inline constexpr std::size_t kDevices = 2201;  // 8 of 64 bytes path, u32 segments
inline constexpr std::size_t kChecksum = 3068;
}  // namespace super

// Bits of the superblock's features.
namespace feature {
inline constexpr std::uint32_t kEncrypt = 0x1;
inline constexpr std::uint32_t kExtraAttributes = 0x8;
inline constexpr std::uint32_t kInodeChecksum = 0x20;
inline constexpr std::uint32_t kFlexibleInlineXattr = 0x40;
inline constexpr std::uint32_t kSuperChecksum = 0x800;
inline constexpr std::uint32_t kCompression = 0x2000;
}  // namespace feature

// The first block of a checkpoint pack.
namespace checkpoint {
inline constexpr std::size_t kVersion = 0;       // u64
inline constexpr std::size_t kUserBlocks = 8;    // u64
inline constexpr std::size_t kValidBlocks = 16;  // u64
inline constexpr std::size_t kFlags = 132;
inline constexpr std::size_t kPackBlocks = 136;
inline constexpr std::size_t kSummaryStart = 140;  // In blocks from the pack's first.
inline constexpr std::size_t kInodeCount = 148;
inline constexpr std::size_t kSitBitmapBytes = 156;
inline constexpr std::size_t kNatBitmapBytes = 160;
inline constexpr std::size_t kChecksumOffset = 164;
inline constexpr std::size_t kBitmaps = 192;
inline constexpr std::size_t kLastChecksum = 4092;

inline constexpr std::uint32_t kCleanUnmount = 0x1;
inline constexpr std::uint32_t kCompactSummaries = 0x4;
inline constexpr std::uint32_t kLargeNatBitmap = 0x400;
}  // namespace checkpoint

// The node address table: where each node lies.
inline constexpr std::size_t kNatEntryBytes = 9;  // u8 version, u32 ino, u32 block
inline constexpr std::uint64_t kNatBlockEntries = kPageBytes / kNatEntryBytes;
// Its changes since it was written: u16 count, then u32 nid and an entry each.
inline constexpr std::size_t kJournalOffset = 512 * 7;  // In a summary block that is not compact.
inline constexpr std::size_t kJournalBytes = kPageBytes - 5 - kJournalOffset;
inline constexpr std::size_t kJournalEntryBytes = 4 + kNatEntryBytes;
inline constexpr std::size_t kJournalMostEntries = (kJournalBytes - 2) / kJournalEntryBytes;

// What stands in place of a block's address.
inline constexpr std::uint32_t kNoBlock = 0;
inline constexpr std::uint32_t kReservedBlock = 0xffffffff;  // Without content.
inline constexpr std::uint32_t kPackedCluster = 0xfffffffe;

// Nodes: an inode, or a block of addresses (direct) or of node numbers (indirect).
inline constexpr std::size_t kFooterNid = 4072;
inline constexpr std::size_t kFooterIno = 4076;
inline constexpr std::size_t kFooterFlags = 4080;
inline constexpr unsigned kFooterOffsetShift = 3;  // Above: which node of its file it is.
inline constexpr std::uint64_t kNodeWords = 1018;  // Addresses or node numbers.

namespace inode {
inline constexpr std::size_t kMode = 0;    // u16
inline constexpr std::size_t kAdvise = 2;  // u8
inline constexpr std::size_t kInline = 3;  // u8
inline constexpr std::size_t kUid = 4;
inline constexpr std::size_t kGid = 8;
inline constexpr std::size_t kLinks = 12;
inline constexpr std::size_t kSize = 16;        // u64
inline constexpr std::size_t kBlocks = 24;      // u64
inline constexpr std::size_t kAccessTime = 32;  // u64
inline constexpr std::size_t kChangeTime = 40;  // u64
inline constexpr std::size_t kModifyTime = 48;  // u64
inline constexpr std::size_t kAccessNanoseconds = 56;
inline constexpr std::size_t kChangeNanoseconds = 60;
inline constexpr std::size_t kModifyNanoseconds = 64;
inline constexpr std::size_t kGeneration = 68;
inline constexpr std::size_t kXattrNid = 76;
inline constexpr std::size_t kFlags = 80;
inline constexpr std::size_t kWords = 360;  // Addresses, or the extra attributes first.
inline constexpr std::uint64_t kWordCount = 923;
inline constexpr std::size_t kNids = 4052;  // 2 direct, 2 indirect, 1 double indirect.

// Extra attributes, where their size says that they are there.
inline constexpr std::size_t kExtraBytes = 360;        // u16
inline constexpr std::size_t kInlineXattrWords = 362;  // u16
inline constexpr std::size_t kChecksum = 368;
inline constexpr std::size_t kSavedBlocks = 384;      // u64
inline constexpr std::size_t kAlgorithm = 392;        // u8
inline constexpr std::size_t kLogClusterPages = 393;  // u8
inline constexpr std::size_t kCompressFlags = 394;    // u16
inline constexpr std::size_t kCompressionEnd = 396;
inline constexpr std::uint16_t kHasClusterChecksum = 0x1;
inline constexpr unsigned kLevelShift = 8;

inline constexpr std::uint8_t kAdviseEncrypted = 0x04;
inline constexpr std::uint8_t kInlineXattr = 0x01;
inline constexpr std::uint8_t kInlineData = 0x02;
inline constexpr std::uint8_t kInlineEntries = 0x04;
inline constexpr std::uint8_t kHasExtra = 0x20;
inline constexpr std::uint8_t kReleased = 0x80;
inline constexpr std::uint32_t kIsCompressed = 0x4;

inline constexpr std::uint64_t kStandardXattrWords = 50;
// One word before inline content stays unused.
inline constexpr std::uint64_t kUnusedWords = 1;
}  // namespace inode

// A directory's block: a bitmap of used slots, then the slots' entries, then their names.
inline constexpr std::size_t kEntryBytes = 11;  // u32 hash, u32 ino, u16 name bytes, u8 type
inline constexpr std::size_t kNameSlotBytes = 8;
inline constexpr std::size_t kBlockSlots = 214;
inline constexpr std::size_t kBlockEntriesOffset = 30;
inline constexpr std::size_t kMostNameBytes = 255;

}  // namespace uzram::f2fs
