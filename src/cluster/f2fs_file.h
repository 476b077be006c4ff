// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_file.h: the content of a file of an f2fs image, compressed or not.
//
// What:    finds the blocks of a file and reads any stretch of it; unpacks whole clusters and keeps
//          the last one. Not here: what a directory's content means (f2fs_directory.h).
// Shapes:  block indexes count pages of content. A file has at most kMostFileBlocks of them.
// Errors:  EUCLEAN with inode and block for anything that cannot be; EACCES: encrypted. A cluster
//          whose checksum is wrong but which unpacks is given out, as the kernel does, and is
//          counted in checksum_faults.
// Threads: one at a time. Memory: two clusters and three nodes, whatever the image says.
// Owns:    nothing of the volume and the inode, which must outlive it.
// Proof:   f2fs_file_test.cc, f2fs_image_fuzz.cc, tests/f2fs.
#pragma once

#include <array>
#include <optional>
#include <vector>

#include "cluster/cluster_packer.h"
#include "cluster/f2fs_inode.h"

namespace uzram {

// Where a block of content is.
struct BlockPlace {
  std::uint32_t address = 0;  // As f2fs::kNoBlock and its neighbours say.
  std::uint64_t next_index =
      0;  // Up to there nothing else has to be looked at: a hole may be long.
};

class F2fsBlockMap {
 public:
  F2fsBlockMap(const F2fsVolume& volume, const F2fsInode& inode) : volume_(volume), inode_(inode) {}

  // How many blocks the addresses of this inode can reach.
  [[nodiscard]] std::uint64_t most_blocks() const;
  // Requires: index < most_blocks().
  [[nodiscard]] F2fsResult<BlockPlace> find(std::uint64_t index);

 private:
  struct KeptNode {
    std::uint32_t nid = 0;
    BlockBytes block{};
  };
  static constexpr std::size_t kDepth = 3;

  [[nodiscard]] std::uint64_t addresses_per_node() const;
  // Reads a node of this file into kept_[level], unless it is there.
  F2fsResult<void> load(std::size_t level, std::uint32_t nid, std::uint64_t node_offset);

  const F2fsVolume& volume_;
  const F2fsInode& inode_;
  std::array<KeptNode, kDepth> kept_;
};

// How one cluster of a compressed file lies on the disk.
struct F2fsCluster {
  bool is_packed = false;
  std::vector<std::uint32_t> blocks;  // Packed: in order, without holes. Raw: one a page, or none.
  std::size_t reserved_blocks = 0;    // Kept for it beside its data, and not released.
};

class F2fsFile {
 public:
  F2fsFile(const F2fsVolume& volume, const F2fsInode& inode)
      : volume_(volume), inode_(inode), place_(inode.place()), map_(volume, inode) {}

  // Fills `out` from `offset` on.
  // Requires: the stretch is inside the file's size.
  [[nodiscard]] F2fsResult<void> read(std::uint64_t offset, MutableBytes out);

  // Returns: where the next data begins at or behind `offset`; the file's size when there is none.
  [[nodiscard]] F2fsResult<std::uint64_t> next_data(std::uint64_t offset);

  // Requires: the inode is compressed and not inline; index counts clusters within its size.
  [[nodiscard]] F2fsResult<F2fsCluster> cluster(std::uint64_t index);
  // The packed blocks of a cluster as they lie there.
  [[nodiscard]] F2fsResult<void> read_packed(const F2fsCluster& cluster, MutableBytes out);

  struct ChecksumFaults {
    std::uint64_t count = 0;          // Of unpackings.
    std::uint64_t first_cluster = 0;  // Where there are any.
  };
  [[nodiscard]] const ChecksumFaults& checksum_faults() const { return checksum_faults_; }

 private:
  F2fsResult<void> check_readable() const;
  F2fsResult<void> read_in_page(std::uint64_t index, std::size_t offset, MutableBytes out);
  F2fsResult<void> load_cluster(std::uint64_t index);
  F2fsResult<void> unpack_kept();

  const F2fsVolume& volume_;
  const F2fsInode& inode_;
  const std::string place_;
  F2fsBlockMap map_;
  std::optional<ClusterUnpacker> unpacker_;
  std::optional<std::uint64_t> kept_index_;  // Which cluster kept_cluster_ is.
  F2fsCluster kept_cluster_;
  bool is_unpacked_ = false;  // Whether kept_ has its content.
  std::vector<std::byte> kept_;
  std::vector<std::byte> packed_;
  ChecksumFaults checksum_faults_;
};

}  // namespace uzram
