// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_volume.h: an f2fs image as a whole: superblock, checkpoint, where each node lies.
//
// What:    opens the newest checkpoint whose checksums are right, and finds nodes in it. Not here:
//          what inodes hold (f2fs_inode.h), files (f2fs_file.h), directories (f2fs_directory.h).
//          What was fsynced after the checkpoint is not seen: the kernel replays that at mount.
// Shapes:  blocks of 4 KiB, segments of 512 blocks, one device.
// Errors:  F2fsError with the place, for any bytes whatever: every number of the image is checked
//          before it is used, and memory depends on the areas' sizes, never on what they claim.
// Threads: constant after open; may be read by several threads.
// Owns:    nothing of the BlockSource, which must outlive it.
// Proof:   f2fs_volume_test.cc, f2fs_image_fuzz.cc, tests/f2fs.
// Source:  Linux, Documentation/filesystems/f2fs.rst, "On-disk layout".
#pragma once

#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cluster/block_source.h"
#include "cluster/f2fs_error.h"

namespace uzram {

using BlockBytes = std::array<std::byte, kPageBytes>;

struct F2fsSuperblock {
  std::uint16_t major_version = 0;
  std::uint16_t minor_version = 0;
  std::uint32_t features = 0;
  std::uint32_t root_ino = 0;
  std::uint64_t block_count = 0;
  std::uint64_t checkpoint_block = 0;
  std::uint64_t checkpoint_payload = 0;
  std::uint64_t nat_block = 0;
  std::uint64_t nat_segments = 0;
  std::uint64_t main_block = 0;
  std::uint64_t main_end = 0;
  std::array<std::byte, 16> uuid{};
  std::string label;  // UTF-8.
  int copy = 0;       // 0, or 1 when the first one is damaged.
};

struct F2fsCheckpoint {
  std::uint64_t version = 0;
  std::uint64_t user_blocks = 0;
  std::uint64_t valid_blocks = 0;
  std::uint32_t inode_count = 0;
  std::uint32_t flags = 0;
  int pack = 0;                 // 0 or 1.
  bool is_other_valid = false;  // Whether the older pack could be used as well.
  [[nodiscard]] bool is_clean() const;
};

class F2fsVolume {
 public:
  [[nodiscard]] static F2fsResult<std::unique_ptr<F2fsVolume>> open(const BlockSource& source);

  [[nodiscard]] const F2fsSuperblock& superblock() const { return super_; }
  [[nodiscard]] const F2fsCheckpoint& checkpoint() const { return checkpoint_; }
  [[nodiscard]] bool has(std::uint32_t feature) const { return (super_.features & feature) != 0; }
  // What inode checksums start from.
  [[nodiscard]] std::uint32_t checksum_seed() const { return checksum_seed_; }

  // The node with this number. Verified: it lies in the main area and says itself which node it is.
  // `place` begins the text of an error.
  [[nodiscard]] F2fsResult<void> read_node(std::uint32_t nid, const std::string& place,
                                           BlockBytes& out) const;
  // Whole blocks of the main area.
  [[nodiscard]] F2fsResult<void> read_data(std::uint64_t first_block, const std::string& place,
                                           MutableBytes out) const;

 private:
  struct NatEntry {
    std::uint32_t ino = 0;
    std::uint32_t block = 0;
  };
  struct Pack;

  explicit F2fsVolume(const BlockSource& source) : source_(source) {}

  F2fsResult<void> read_block(std::uint64_t block, const std::string& place,
                              MutableBytes out) const;
  F2fsResult<void> load_superblock();
  F2fsResult<Pack> read_pack(int number) const;
  F2fsResult<void> load_checkpoint();
  F2fsResult<void> load_nat_bitmap(const Pack& pack);
  F2fsResult<void> load_journal(const Pack& pack);
  F2fsResult<NatEntry> find_node(std::uint32_t nid, const std::string& place) const;

  const BlockSource& source_;
  F2fsSuperblock super_;
  F2fsCheckpoint checkpoint_;
  std::uint32_t checksum_seed_ = 0;
  std::vector<std::byte> nat_bitmap_;  // A bit for each block of the table: which copy is valid.
  std::map<std::uint32_t, NatEntry> journal_;
};

}  // namespace uzram
