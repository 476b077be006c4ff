// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_inode.h: an inode of an f2fs image: attributes, how its content is kept, xattrs.
//
// What:    read_inode takes the block apart and checks every size in it. Not here: content that
//          lies in other blocks (f2fs_file.h).
// Shapes:  what an inode keeps itself (inline content, inline xattrs, the first addresses) are
//          stretches of its block, which F2fsInode carries along.
// Errors:  EUCLEAN with the place; EACCES is not for here: encrypted inodes are read, their content
//          is not (F2fsInode::is_encrypted).
// Threads: a value.
// Proof:   f2fs_volume_test.cc, f2fs_image_fuzz.cc, tests/f2fs.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cluster/cluster_options.h"
#include "cluster/f2fs_volume.h"

namespace uzram {

struct F2fsTime {
  std::int64_t seconds = 0;
  std::uint32_t nanoseconds = 0;
};

// Part of an inode's block.
struct InodeStretch {
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

enum class ChecksumState : std::uint8_t { Absent, Right, Wrong };

struct F2fsInode {
  std::uint32_t ino = 0;
  std::uint16_t mode = 0;  // As st_mode.
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t link_count = 0;
  std::uint64_t size_bytes = 0;
  std::uint64_t block_count = 0;  // As it says itself, with its nodes.
  F2fsTime access_time;
  F2fsTime change_time;
  F2fsTime modify_time;
  std::uint32_t flags = 0;
  std::uint8_t inline_flags = 0;
  std::uint32_t xattr_nid = 0;
  bool is_encrypted = false;
  ChecksumState checksum = ChecksumState::Absent;

  // Of regular files that were made compressed.
  bool is_compressed = false;
  ClusterOptions cluster;
  bool is_released = false;
  std::uint64_t saved_blocks = 0;  // As it says itself.

  InodeStretch addresses;       // Of the first blocks; for compressed files whole clusters of them.
  InodeStretch inline_content;  // Empty: the content is elsewhere.
  InodeStretch inline_xattrs;
  BlockBytes block{};

  [[nodiscard]] bool has_inline_entries() const;
  [[nodiscard]] std::string place() const { return "inode " + std::to_string(ino); }
  [[nodiscard]] ConstBytes bytes_of(InodeStretch stretch) const {
    return ConstBytes(block).subspan(stretch.offset, stretch.bytes);
  }
};

[[nodiscard]] F2fsResult<F2fsInode> read_inode(const F2fsVolume& volume, std::uint32_t ino);

struct F2fsXattr {
  std::string name;  // With its prefix: "user.mime_type".
  std::string value;
};
[[nodiscard]] F2fsResult<std::vector<F2fsXattr>> read_xattrs(const F2fsVolume& volume,
                                                             const F2fsInode& inode);

}  // namespace uzram
