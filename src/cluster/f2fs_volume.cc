// SPDX-License-Identifier: Apache-2.0
// How the newest state is found. Two superblocks are copies of each other. Two checkpoint packs
// take turns: a pack is valid when its first and its last block carry the same version and right
// checksums, and the higher version is the newer one. A node's place stands in the node address
// table, of which each block has two places as well; a bitmap in the checkpoint says which one is
// valid, and a journal in the pack's summaries has entries that are newer than the table.
#include "cluster/f2fs_volume.h"

#include <cstring>

#include "cluster/f2fs_checksum.h"
#include "cluster/f2fs_layout.h"
#include "cluster/little_endian.h"

namespace uzram {
namespace {

namespace cp = f2fs::checkpoint;
namespace sb = f2fs::super;

constexpr std::uint64_t kPackBlocks = f2fs::kSegmentBlocks;

std::uint64_t word_at(ConstBytes bytes, std::size_t offset) {
  return load_little<std::uint32_t>(bytes, offset);
}

// UTF-16 as the superblock has it; what is no character becomes '?'.
std::string label_text(ConstBytes super) {
  std::string text;
  for (std::size_t i = 0; i < sb::kVolumeNameUnits; ++i) {
    const auto unit = load_little<std::uint16_t>(super, sb::kVolumeName + 2 * i);
    if (unit == 0) break;
    const bool is_surrogate = unit >= 0xd800 && unit < 0xe000;
    if (unit < 0x80) {
      text += unit < 0x20 || unit == 0x7f ? '?' : static_cast<char>(unit);
    } else if (unit < 0x800) {
      text += static_cast<char>(0xc0 | (unit >> 6));
      text += static_cast<char>(0x80 | (unit & 0x3f));
    } else if (is_surrogate) {
      text += '?';
    } else {
      text += static_cast<char>(0xe0 | (unit >> 12));
      text += static_cast<char>(0x80 | ((unit >> 6) & 0x3f));
      text += static_cast<char>(0x80 | (unit & 0x3f));
    }
  }
  return text;
}

F2fsResult<void> check_shapes(ConstBytes super, const std::string& place) {
  if (word_at(super, sb::kMagic) != kF2fsMagic)
    return f2fs_fail(EUCLEAN, place + ": no f2fs (its magic number is not there)");
  if ((word_at(super, sb::kFeatures) & f2fs::feature::kSuperChecksum) != 0 &&
      (word_at(super, sb::kChecksumOffset) != sb::kChecksum ||
       word_at(super, sb::kChecksum) != f2fs_checksum(super.first(sb::kChecksum)))) {
    return f2fs_fail(EUCLEAN, place + ": wrong checksum");
  }
  const std::uint64_t log_block = word_at(super, sb::kLogBlockBytes);
  if (log_block != kPageShift) {
    return f2fs_fail(EOPNOTSUPP, place + ": blocks of 2^" + std::to_string(log_block) +
                                     " bytes; only those of 4096 bytes are read");
  }
  if (word_at(super, sb::kLogSectorBytes) + word_at(super, sb::kLogSectorsPerBlock) != kPageShift ||
      word_at(super, sb::kLogSegmentBlocks) != 9) {
    return f2fs_fail(EUCLEAN, place + ": sector or segment size is impossible");
  }
  if (super[sb::kDevices] != std::byte{0})
    return f2fs_fail(EOPNOTSUPP, place + ": the file system spans several devices");
  return {};
}

// The areas follow each other without gaps.
F2fsResult<F2fsSuperblock> read_areas(ConstBytes super, const std::string& place) {
  F2fsSuperblock out;
  out.major_version = load_little<std::uint16_t>(super, sb::kMajorVersion);
  out.minor_version = load_little<std::uint16_t>(super, sb::kMajorVersion + 2);
  out.features = load_little<std::uint32_t>(super, sb::kFeatures);
  out.root_ino = load_little<std::uint32_t>(super, sb::kRootIno);
  out.block_count = load_little<std::uint64_t>(super, sb::kBlockCount);
  out.checkpoint_block = word_at(super, sb::kCheckpointBlock);
  out.checkpoint_payload = word_at(super, sb::kCheckpointPayload);
  out.nat_block = word_at(super, sb::kNatBlock);
  out.nat_segments = word_at(super, sb::kNatSegments);
  out.main_block = word_at(super, sb::kMainBlock);
  const std::uint64_t checkpoint_segments = word_at(super, sb::kCheckpointSegments);
  const std::uint64_t nat_block =
      out.checkpoint_block +
      (checkpoint_segments + word_at(super, sb::kSitSegments)) * f2fs::kSegmentBlocks;
  const std::uint64_t main_block =
      nat_block + (out.nat_segments + word_at(super, sb::kSsaSegments)) * f2fs::kSegmentBlocks;
  out.main_end = main_block + word_at(super, sb::kMainSegments) * f2fs::kSegmentBlocks;
  if (checkpoint_segments != 2 || out.nat_segments == 0 || out.nat_segments % 2 != 0 ||
      out.nat_block != nat_block || out.main_block != main_block ||
      out.main_end > out.block_count || out.checkpoint_payload > kPackBlocks - 3) {
    return f2fs_fail(EUCLEAN, place + ": its areas do not follow each other");
  }
  std::memcpy(out.uuid.data(), &super[sb::kUuid], out.uuid.size());
  out.label = label_text(super);
  return out;
}

// Over a checkpoint's block, without the place of the checksum itself.
bool is_checkpoint_checksum_right(ConstBytes block) {
  const std::uint64_t offset = word_at(block, cp::kChecksumOffset);
  if (offset < cp::kBitmaps || offset > cp::kLastChecksum) return false;
  std::uint32_t sum = f2fs_checksum(block.first(offset));
  if (offset < cp::kLastChecksum)
    sum = f2fs_checksum(block.subspan(offset + sizeof(std::uint32_t)), sum);
  return sum == word_at(block, offset);
}

}  // namespace

bool F2fsCheckpoint::is_clean() const { return (flags & cp::kCleanUnmount) != 0; }

struct F2fsVolume::Pack {
  std::uint64_t first_block = 0;
  std::uint64_t version = 0;
  std::string place;
  BlockBytes bytes;
};

F2fsResult<void> F2fsVolume::read_block(std::uint64_t block, const std::string& place,
                                        MutableBytes out) const {
  const auto got = source_.read(block, out);
  if (got) return {};
  const std::string where = place + ": block " + std::to_string(block) + " ";
  if (block >= source_.block_count()) return f2fs_fail(EIO, where + "is behind the image's end");
  return f2fs_fail(got.error().code,
                   where + "cannot be read: " + ::strerrordesc_np(got.error().code));
}

F2fsResult<void> F2fsVolume::load_superblock() {
  std::optional<F2fsError> first_error;
  for (const int copy : {0, 1}) {
    const std::string place = copy == 0 ? "superblock" : "superblock's copy";
    BlockBytes block;
    F2fsResult<F2fsSuperblock> areas;
    const ConstBytes super = ConstBytes(block).subspan(f2fs::kSuperOffset, f2fs::kSuperBytes);
    const auto shapes = read_block(static_cast<std::uint64_t>(copy), place, block).and_then([&] {
      return check_shapes(super, place);
    });
    if (shapes) areas = read_areas(super, place);
    const F2fsError* const error = !shapes ? &shapes.error() : areas ? nullptr : &areas.error();
    if (error == nullptr) {
      super_ = *std::move(areas);
      super_.copy = copy;
      checksum_seed_ = f2fs_checksum(super_.uuid, ~0U);
      return {};
    }
    if (!first_error) first_error = *error;
  }
  return f2fs_fail(*std::move(first_error));
}

F2fsResult<F2fsVolume::Pack> F2fsVolume::read_pack(int number) const {
  Pack pack;
  pack.first_block = super_.checkpoint_block + static_cast<std::uint64_t>(number) * kPackBlocks;
  pack.place = "checkpoint " + std::to_string(number + 1);
  if (const auto got = read_block(pack.first_block, pack.place, pack.bytes); !got)
    return f2fs_fail(got.error());
  if (!is_checkpoint_checksum_right(pack.bytes))
    return f2fs_fail(EUCLEAN, pack.place + ": wrong checksum");
  const std::uint64_t block_count = word_at(pack.bytes, cp::kPackBlocks);
  if (block_count > kPackBlocks || block_count <= 2 + super_.checkpoint_payload)
    return f2fs_fail(EUCLEAN, pack.place + ": impossible number of blocks");
  BlockBytes last;
  if (const auto got = read_block(pack.first_block + block_count - 1, pack.place, last); !got)
    return f2fs_fail(got.error());
  pack.version = load_little<std::uint64_t>(pack.bytes, cp::kVersion);
  if (!is_checkpoint_checksum_right(last) ||
      load_little<std::uint64_t>(last, cp::kVersion) != pack.version) {
    return f2fs_fail(EUCLEAN, pack.place + ": it was not written to its end");
  }
  return pack;
}

F2fsResult<void> F2fsVolume::load_checkpoint() {
  const F2fsResult<Pack> first = read_pack(0);
  const F2fsResult<Pack> second = read_pack(1);
  if (!first && !second) return f2fs_fail(first.error());
  // Versions may wrap around.
  const bool takes_second =
      second && (!first || static_cast<std::int64_t>(second->version - first->version) > 0);
  const Pack& pack = takes_second ? *second : *first;
  checkpoint_.version = pack.version;
  checkpoint_.user_blocks = load_little<std::uint64_t>(pack.bytes, cp::kUserBlocks);
  checkpoint_.valid_blocks = load_little<std::uint64_t>(pack.bytes, cp::kValidBlocks);
  checkpoint_.inode_count = load_little<std::uint32_t>(pack.bytes, cp::kInodeCount);
  checkpoint_.flags = load_little<std::uint32_t>(pack.bytes, cp::kFlags);
  checkpoint_.pack = takes_second ? 1 : 0;
  checkpoint_.is_other_valid = first && second;
  return load_nat_bitmap(pack).and_then([&] { return load_journal(pack); });
}

F2fsResult<void> F2fsVolume::load_nat_bitmap(const Pack& pack) {
  const std::uint64_t bitmap_bytes = word_at(pack.bytes, cp::kNatBitmapBytes);
  if (bitmap_bytes != super_.nat_segments / 2 * f2fs::kSegmentBlocks / 8)
    return f2fs_fail(EUCLEAN, pack.place + ": the bitmap of the node table has a wrong size");
  // Where the bitmap of segments goes on behind the first block, that of nodes is alone in it.
  std::uint64_t offset = cp::kBitmaps;
  if ((checkpoint_.flags & cp::kLargeNatBitmap) != 0)
    offset += sizeof(std::uint32_t);
  else if (super_.checkpoint_payload == 0)
    offset += word_at(pack.bytes, cp::kSitBitmapBytes);
  const std::uint64_t room_bytes = (1 + super_.checkpoint_payload) * kPageBytes;
  if (offset > room_bytes || bitmap_bytes > room_bytes - offset)
    return f2fs_fail(EUCLEAN, pack.place + ": the bitmap of the node table is outside");
  std::vector<std::byte> blocks(bytes_to_pages(offset + bitmap_bytes) * kPageBytes);
  if (auto got = read_block(pack.first_block, pack.place, blocks); !got) return got;
  const auto begin = blocks.begin() + static_cast<std::ptrdiff_t>(offset);
  nat_bitmap_.assign(begin, begin + static_cast<std::ptrdiff_t>(bitmap_bytes));
  return {};
}

F2fsResult<void> F2fsVolume::load_journal(const Pack& pack) {
  const std::uint64_t start = word_at(pack.bytes, cp::kSummaryStart);
  if (start == 0 || start >= word_at(pack.bytes, cp::kPackBlocks))
    return f2fs_fail(EUCLEAN, pack.place + ": its summaries are outside");
  BlockBytes block;
  if (auto got = read_block(pack.first_block + start, pack.place, block); !got) return got;
  const bool is_compact = (checkpoint_.flags & cp::kCompactSummaries) != 0;
  const ConstBytes journal =
      ConstBytes(block).subspan(is_compact ? 0 : f2fs::kJournalOffset, f2fs::kJournalBytes);
  const std::size_t count = load_little<std::uint16_t>(journal, 0);
  if (count > f2fs::kJournalMostEntries)
    return f2fs_fail(EUCLEAN, pack.place + ": the journal of nodes is longer than its room");
  for (std::size_t i = 0; i < count; ++i) {
    const ConstBytes entry = journal.subspan(2 + i * f2fs::kJournalEntryBytes);
    journal_[load_little<std::uint32_t>(entry, 0)] = {load_little<std::uint32_t>(entry, 5),
                                                      load_little<std::uint32_t>(entry, 9)};
  }
  return {};
}

F2fsResult<F2fsVolume::NatEntry> F2fsVolume::find_node(std::uint32_t nid,
                                                       const std::string& place) const {
  const std::uint64_t table_block = nid / f2fs::kNatBlockEntries;
  if (nid == 0 || table_block >= nat_bitmap_.size() * 8)
    return f2fs_fail(EUCLEAN, place + ": node " + std::to_string(nid) + " is not in the table");
  if (const auto newer = journal_.find(nid); newer != journal_.end()) return newer->second;
  const std::uint64_t segment = table_block / f2fs::kSegmentBlocks;
  const bool is_second =
      (std::to_integer<unsigned>(nat_bitmap_[table_block / 8]) & (0x80U >> (table_block % 8))) != 0;
  const std::uint64_t block = super_.nat_block + segment * 2 * f2fs::kSegmentBlocks +
                              table_block % f2fs::kSegmentBlocks +
                              (is_second ? f2fs::kSegmentBlocks : 0);
  BlockBytes table;
  if (const auto got = read_block(block, place, table); !got) return f2fs_fail(got.error());
  const ConstBytes entry =
      ConstBytes(table).subspan(nid % f2fs::kNatBlockEntries * f2fs::kNatEntryBytes);
  return NatEntry{load_little<std::uint32_t>(entry, 1), load_little<std::uint32_t>(entry, 5)};
}

F2fsResult<void> F2fsVolume::read_node(std::uint32_t nid, const std::string& place,
                                       BlockBytes& out) const {
  const auto entry = find_node(nid, place);
  if (!entry) return f2fs_fail(entry.error());
  const std::string name = place + ": node " + std::to_string(nid);
  if (entry->block == f2fs::kNoBlock) return f2fs_fail(EUCLEAN, name + " does not exist");
  if (auto got = read_data(entry->block, name, out); !got) return got;
  if (word_at(out, f2fs::kFooterNid) != nid || word_at(out, f2fs::kFooterIno) != entry->ino) {
    return f2fs_fail(EUCLEAN,
                     name + ": block " + std::to_string(entry->block) + " holds another node");
  }
  return {};
}

F2fsResult<void> F2fsVolume::read_data(std::uint64_t first_block, const std::string& place,
                                       MutableBytes out) const {
  const std::uint64_t end = first_block + out.size() / kPageBytes;
  if (first_block < super_.main_block || end > super_.main_end) {
    return f2fs_fail(EUCLEAN,
                     place + ": block " + std::to_string(first_block) + " is not in the main area");
  }
  return read_block(first_block, place, out);
}

F2fsResult<std::unique_ptr<F2fsVolume>> F2fsVolume::open(const BlockSource& source) {
  std::unique_ptr<F2fsVolume> volume(new F2fsVolume(source));
  const auto loaded = volume->load_superblock().and_then([&] { return volume->load_checkpoint(); });
  if (!loaded) return f2fs_fail(loaded.error());
  return volume;
}

}  // namespace uzram
