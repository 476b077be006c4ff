// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_image_maker.h: small f2fs images in memory, for tests and the fuzzer.
//
// What:   a sound image that tests build block by block and then damage. What real images look
//         like is not settled here but by those that mkfs.f2fs and the kernel write (tests/f2fs).
// Shapes: sparse: a block that was never written reads as zeros. A write through `block` stays
//         unchecked until seal() renews tables and checksums.
#pragma once

#include <sys/stat.h>

#include <cstring>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "cluster/block_source.h"
#include "cluster/cluster_packer.h"
#include "cluster/f2fs_checksum.h"
#include "cluster/f2fs_layout.h"
#include "cluster/f2fs_volume.h"
#include "cluster/little_endian.h"

namespace uzram {

class MemoryImage final : public BlockSource {
 public:
  explicit MemoryImage(std::uint64_t block_count) : block_count_(block_count) {}

  std::uint64_t block_count() const override { return block_count_; }
  Result<void> read(std::uint64_t first_block, MutableBytes out) const override {
    for (std::size_t done = 0; done < out.size(); done += kPageBytes) {
      const std::uint64_t number = first_block + done / kPageBytes;
      if (number >= block_count_ || number == failing_block) return fail(EIO);
      const auto found = blocks_.find(number);
      if (found == blocks_.end())
        std::memset(&out[done], 0, kPageBytes);
      else
        std::memcpy(&out[done], found->second.data(), kPageBytes);
    }
    return {};
  }
  MutableBytes block(std::uint64_t number) { return blocks_[number]; }
  [[nodiscard]] std::vector<std::uint64_t> written_blocks() const {
    std::vector<std::uint64_t> numbers;
    for (const auto& [number, bytes] : blocks_) numbers.push_back(number);
    return numbers;
  }

  std::uint64_t failing_block = ~std::uint64_t{0};

 private:
  std::uint64_t block_count_;
  std::map<std::uint64_t, BlockBytes> blocks_;
};

class F2fsImageMaker {
 public:
  static constexpr std::uint64_t kCheckpoint = 512;
  static constexpr std::uint64_t kNat = kCheckpoint + 4 * 512;
  static constexpr std::uint64_t kMain = kNat + 3 * 512;
  static constexpr std::uint64_t kBlockCount = kMain + 8 * 512;
  static constexpr std::uint32_t kRoot = 3;
  static constexpr std::uint32_t kFeatures =
      f2fs::feature::kExtraAttributes | f2fs::feature::kInodeChecksum |
      f2fs::feature::kFlexibleInlineXattr | f2fs::feature::kSuperChecksum |
      f2fs::feature::kCompression;
  static constexpr std::size_t kExtraBytes = 36;  // Up to the compression fields.
  static constexpr std::size_t kAddresses = f2fs::inode::kWords + kExtraBytes;

  // With a root directory without entries.
  F2fsImageMaker() {
    make_super();
    add_inode(kRoot, S_IFDIR | 0755, kPageBytes);
    seal();
  }

  MemoryImage image{kBlockCount};

  MutableBytes super(int copy = 0) {
    return image.block(static_cast<std::uint64_t>(copy)).subspan(f2fs::kSuperOffset);
  }
  MutableBytes checkpoint(int pack = 0) { return image.block(pack_block(pack)); }
  static std::uint64_t pack_block(int pack) {
    return kCheckpoint + static_cast<std::uint64_t>(pack) * 512;
  }

  // Returns: the address of a block of the main area that nothing uses.
  std::uint32_t take_block() { return next_block_++; }
  std::uint32_t add_data(ConstBytes bytes) {
    const std::uint32_t address = take_block();
    std::memcpy(image.block(address).data(), bytes.data(), bytes.size());
    return address;
  }

  // An inode of its own node, with extra attributes.
  MutableBytes add_inode(std::uint32_t ino, std::uint16_t mode, std::uint64_t size_bytes) {
    const MutableBytes inode = add_node(ino, ino, 0);
    store_little(inode, f2fs::inode::kMode, mode);
    store_little(inode, f2fs::inode::kSize, size_bytes);
    store_little(inode, f2fs::inode::kLinks, std::uint32_t{1});
    store_little(inode, f2fs::inode::kInline, f2fs::inode::kHasExtra);
    store_little(inode, f2fs::inode::kExtraBytes, static_cast<std::uint16_t>(kExtraBytes));
    inodes_[ino] = nodes_[ino].second;
    return inode;
  }
  MutableBytes add_compressed(std::uint32_t ino, std::uint64_t size_bytes,
                              const ClusterOptions& options) {
    const MutableBytes inode = add_inode(ino, S_IFREG | 0644, size_bytes);
    store_little(inode, f2fs::inode::kFlags, f2fs::inode::kIsCompressed);
    store_little(inode, f2fs::inode::kAlgorithm, static_cast<std::uint8_t>(options.algorithm));
    store_little(inode, f2fs::inode::kLogClusterPages,
                 static_cast<std::uint8_t>(options.log_pages));
    store_little(inode, f2fs::inode::kCompressFlags,
                 static_cast<std::uint16_t>((options.level << f2fs::inode::kLevelShift) |
                                            (options.has_checksum ? 1 : 0)));
    return inode;
  }
  // A node of addresses or node numbers. node_offset: which node of its file it is.
  MutableBytes add_node(std::uint32_t nid, std::uint32_t ino, std::uint32_t node_offset) {
    const std::uint32_t address = take_block();
    nodes_[nid] = {ino, address};
    const MutableBytes node = image.block(address);
    store_little(node, f2fs::kFooterNid, nid);
    store_little(node, f2fs::kFooterIno, ino);
    store_little(node, f2fs::kFooterFlags, node_offset << f2fs::kFooterOffsetShift);
    return node;
  }
  void set_address(MutableBytes inode, std::size_t index, std::uint32_t address) {
    store_little(inode, kAddresses + 4 * index, address);
  }

  // Adds names to slots of a directory's block.
  static void add_entry(MutableBytes block, std::size_t slot, std::string_view name,
                        std::uint32_t ino) {
    const std::size_t slots = (name.size() + 7) / 8;
    for (std::size_t i = slot; i < slot + slots; ++i)
      block[i / 8] |= static_cast<std::byte>(1U << (i % 8));
    const MutableBytes entry = block.subspan(f2fs::kBlockEntriesOffset + slot * f2fs::kEntryBytes);
    store_little(entry, 4, ino);
    store_little(entry, 8, static_cast<std::uint16_t>(name.size()));
    std::memcpy(&block[f2fs::kBlockEntriesOffset + f2fs::kBlockSlots * f2fs::kEntryBytes +
                       slot * f2fs::kNameSlotBytes],
                name.data(), name.size());
  }

  // Renews the table of nodes and every checksum.
  void seal() {
    for (const auto& [nid, node] : nodes_) set_nat(nid, node.first, node.second);
    seal_super();
    seal_inodes();
    seal_checkpoint(0, version);
  }
  // Renews the checksums alone, over whatever the blocks hold now.
  void reseal() {
    namespace cp = f2fs::checkpoint;
    seal_super();
    seal_inodes();
    for (const std::uint64_t block : {pack_block(0), pack_block(0) + 2}) {
      const MutableBytes bytes = image.block(block);
      store_little(bytes, cp::kLastChecksum, f2fs_checksum(bytes.first(cp::kLastChecksum)));
    }
  }
  void set_nat(std::uint32_t nid, std::uint32_t ino, std::uint32_t address, int copy = 0) {
    const std::uint64_t table =
        kNat + static_cast<std::uint64_t>(copy) * 512 + nid / f2fs::kNatBlockEntries;
    const MutableBytes entry =
        image.block(table).subspan(nid % f2fs::kNatBlockEntries * f2fs::kNatEntryBytes);
    store_little(entry, 1, ino);
    store_little(entry, 5, address);
  }
  void seal_super() {
    for (const int copy : {0, 1})
      store_little(super(copy), f2fs::super::kChecksum,
                   f2fs_checksum(super(copy).first(f2fs::super::kChecksum)));
  }
  // First block, a block of summaries, last block.
  void seal_checkpoint(int pack, std::uint64_t pack_version, std::uint32_t flags = 1) {
    namespace cp = f2fs::checkpoint;
    for (const std::uint64_t block : {pack_block(pack), pack_block(pack) + 2}) {
      const MutableBytes bytes = image.block(block);
      store_little(bytes, cp::kVersion, pack_version);
      store_little(bytes, cp::kFlags, flags);
      store_little(bytes, cp::kPackBlocks, std::uint32_t{3});
      store_little(bytes, cp::kSummaryStart, std::uint32_t{1});
      store_little(bytes, cp::kSitBitmapBytes, std::uint32_t{64});
      store_little(bytes, cp::kNatBitmapBytes, std::uint32_t{64});
      store_little(bytes, cp::kChecksumOffset, static_cast<std::uint32_t>(cp::kLastChecksum));
      store_little(bytes, cp::kLastChecksum, f2fs_checksum(bytes.first(cp::kLastChecksum)));
    }
  }

  std::uint64_t version = 7;

 private:
  void make_super() {
    namespace sb = f2fs::super;
    for (const int copy : {0, 1}) {
      const MutableBytes bytes = super(copy);
      const auto set = [&](std::size_t offset, std::uint64_t value) {
        store_little(bytes, offset, static_cast<std::uint32_t>(value));
      };
      set(sb::kMagic, kF2fsMagic);
      set(sb::kMajorVersion, 1);
      set(sb::kLogSectorBytes, 9);
      set(sb::kLogSectorsPerBlock, 3);
      set(sb::kLogBlockBytes, 12);
      set(sb::kLogSegmentBlocks, 9);
      set(sb::kChecksumOffset, sb::kChecksum);
      set(sb::kBlockCount, kBlockCount);
      set(sb::kCheckpointSegments, 2);
      set(sb::kSitSegments, 2);
      set(sb::kNatSegments, 2);
      set(sb::kSsaSegments, 1);
      set(sb::kMainSegments, 8);
      set(sb::kCheckpointBlock, kCheckpoint);
      set(sb::kNatBlock, kNat);
      set(sb::kMainBlock, kMain);
      set(sb::kRootIno, kRoot);
      set(sb::kFeatures, kFeatures);
    }
  }
  void seal_inodes() {
    const std::uint32_t seed =
        f2fs_checksum(ConstBytes(super()).subspan(f2fs::super::kUuid, 16), ~0U);
    for (const auto& [ino, address] : inodes_) {
      const MutableBytes inode = image.block(address);
      store_little(inode, f2fs::inode::kChecksum, std::uint32_t{0});
      std::uint32_t sum = f2fs_checksum(inode.subspan(f2fs::kFooterIno, 4), seed);
      sum = f2fs_checksum(inode.subspan(f2fs::inode::kGeneration, 4), sum);
      store_little(inode, f2fs::inode::kChecksum, f2fs_checksum(inode, sum));
    }
  }

  std::uint32_t next_block_ = kMain;
  std::map<std::uint32_t, std::pair<std::uint32_t, std::uint32_t>> nodes_;  // nid: ino, address
  std::map<std::uint32_t, std::uint32_t> inodes_;                           // ino: address
};

}  // namespace uzram
