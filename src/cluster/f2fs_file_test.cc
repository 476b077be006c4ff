// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/f2fs_image_maker.h"
#include "codec/page_kinds.h"

namespace uzram {
namespace {

using testing::HasSubstr;
using Bytes = std::vector<std::byte>;
namespace in = f2fs::inode;

constexpr std::uint32_t kFile = 4;
constexpr std::uint64_t kInInode = 923 - F2fsImageMaker::kExtraBytes / 4;
constexpr std::uint64_t kFanout = f2fs::kNodeWords;

Bytes made_bytes(PageKind kind, std::size_t bytes, std::uint64_t seed = 1) {
  Bytes made(bytes);
  PageMaker(seed).fill(kind, made);
  return made;
}

class F2fsFileTest : public testing::Test {
 protected:
  // A file opened after all changes.
  struct Opened {
    std::unique_ptr<F2fsVolume> volume;
    F2fsInode inode;
    F2fsFile file;
    explicit Opened(const MemoryImage& image)
        : volume(F2fsVolume::open(image).value()),
          inode(read_inode(*volume, kFile).value()),
          file(*volume, inode) {}
  };
  std::unique_ptr<Opened> open() {
    maker_.seal();
    return std::make_unique<Opened>(maker_.image);
  }
  static Bytes read(Opened& opened, std::uint64_t offset, std::size_t bytes) {
    Bytes out(bytes, std::byte{0xee});
    const auto got = opened.file.read(offset, out);
    EXPECT_TRUE(got) << got.error().text;
    return out;
  }
  std::string read_refusal(std::uint64_t offset = 0, std::size_t bytes = 1) {
    const auto opened = open();
    Bytes out(bytes);
    const auto got = opened->file.read(offset, out);
    EXPECT_FALSE(got);
    return got ? "" : got.error().text;
  }
  // A node that hangs under word `word` of `above`.
  MutableBytes hang_node(MutableBytes above, std::size_t base, std::uint64_t word,
                         std::uint64_t node_offset) {
    const std::uint32_t nid = next_nid_++;
    store_little(above, base + 4 * word, nid);
    return maker_.add_node(nid, kFile, static_cast<std::uint32_t>(node_offset));
  }

  F2fsImageMaker maker_;
  std::uint32_t next_nid_ = 100;
};

TEST_F(F2fsFileTest, ReadsInlineContent) {
  const MutableBytes inode = maker_.add_inode(kFile, S_IFREG, 300);
  store_little(inode, in::kInline, static_cast<std::uint8_t>(in::kHasExtra | in::kInlineData));
  const Bytes content = made_bytes(PageKind::Text, 300);
  std::memcpy(&inode[F2fsImageMaker::kAddresses + 4], content.data(), content.size());
  const auto opened = open();
  EXPECT_EQ(read(*opened, 0, 300), content);
  EXPECT_EQ(read(*opened, 299, 1)[0], content[299]);
  EXPECT_EQ(opened->file.next_data(7), 7U);
  store_little(inode, in::kSize, std::uint64_t{4 * (kInInode - 1) + 1});
  EXPECT_THAT(read_refusal(), HasSubstr("inode 4: its size is"));
}

TEST_F(F2fsFileTest, ReadsBlocksAndHolesAnywhere) {
  const MutableBytes inode = maker_.add_inode(kFile, S_IFREG, 4 * kPageBytes + 100);
  const Bytes first = made_bytes(PageKind::Random, kPageBytes, 1);
  const Bytes last = made_bytes(PageKind::Random, kPageBytes, 2);
  maker_.set_address(inode, 1, maker_.add_data(first));
  maker_.set_address(inode, 2, f2fs::kReservedBlock);
  maker_.set_address(inode, 4, maker_.add_data(last));
  const auto opened = open();
  Bytes expected(4 * kPageBytes + 100);
  std::copy(first.begin(), first.end(), expected.begin() + kPageBytes);
  std::copy(last.begin(), last.begin() + 100, expected.begin() + 4 * kPageBytes);
  EXPECT_EQ(read(*opened, 0, expected.size()), expected);
  EXPECT_EQ(read(*opened, 5000, 7000), Bytes(expected.begin() + 5000, expected.begin() + 12000));
  EXPECT_EQ(opened->file.next_data(0), kPageBytes);
  EXPECT_EQ(opened->file.next_data(kPageBytes + 9), kPageBytes + 9);
  EXPECT_EQ(opened->file.next_data(2 * kPageBytes), 4 * kPageBytes);
  EXPECT_EQ(opened->file.next_data(4 * kPageBytes + 100), 4 * kPageBytes + 100);
}

TEST_F(F2fsFileTest, FindsBlocksBelowEveryKindOfNode) {
  // {index, what it hangs under}
  const std::uint64_t indirect = kInInode + 2 * kFanout;
  const std::uint64_t double_indirect = indirect + 2 * kFanout * kFanout;
  const std::uint64_t last = double_indirect + kFanout * kFanout * kFanout - 1;
  const MutableBytes inode = maker_.add_inode(kFile, S_IFREG, (last + 1) * kPageBytes);
  const auto put = [&](MutableBytes node, std::uint64_t word, std::uint64_t index) {
    const Bytes content = made_bytes(PageKind::Random, kPageBytes, index);
    store_little(node, 4 * word, maker_.add_data(content));
  };
  put(hang_node(inode, in::kNids, 0, 1), 5, kInInode + 5);
  put(hang_node(inode, in::kNids, 1, 2), kFanout - 1, kInInode + 2 * kFanout - 1);
  const MutableBytes first_indirect = hang_node(inode, in::kNids, 2, 3);
  put(hang_node(first_indirect, 0, 7, 4 + 7), 9, indirect + 7 * kFanout + 9);
  const MutableBytes second_indirect = hang_node(inode, in::kNids, 3, 4 + kFanout);
  put(hang_node(second_indirect, 0, 0, 5 + kFanout), 0, indirect + kFanout * kFanout);
  const MutableBytes top = hang_node(inode, in::kNids, 4, 5 + 2 * kFanout);
  const std::uint64_t below = 6 + 2 * kFanout + (kFanout - 1) * (kFanout + 1);
  const MutableBytes middle = hang_node(top, 0, kFanout - 1, below);
  put(hang_node(middle, 0, kFanout - 1, below + kFanout), kFanout - 1, last);
  const auto opened = open();
  std::uint64_t offset = 0;
  for (const std::uint64_t index :
       {kInInode + 5, kInInode + 2 * kFanout - 1, indirect + 7 * kFanout + 9,
        indirect + kFanout * kFanout, last}) {
    EXPECT_EQ(opened->file.next_data(offset), index * kPageBytes);
    offset = index * kPageBytes;
    EXPECT_EQ(read(*opened, offset, kPageBytes), made_bytes(PageKind::Random, kPageBytes, index));
    offset += kPageBytes;
  }
  EXPECT_EQ(opened->file.next_data(offset), opened->inode.size_bytes);
}

TEST_F(F2fsFileTest, RefusesNodesOfOtherPlacesAndFiles) {
  const MutableBytes inode = maker_.add_inode(kFile, S_IFREG, 2000 * kPageBytes);
  const MutableBytes node = hang_node(inode, in::kNids, 0, 1);
  store_little(inode, in::kNids + 4, std::uint32_t{100});
  EXPECT_EQ(read_refusal((kInInode + kFanout) * kPageBytes),
            "inode 4: node 100 is another part of a file than its place says");
  store_little(node, f2fs::kFooterIno, std::uint32_t{3});
  EXPECT_THAT(read_refusal(kInInode * kPageBytes), HasSubstr("holds another node"));
  store_little(inode, in::kNids, kFile);
  EXPECT_THAT(read_refusal(kInInode * kPageBytes), HasSubstr("another part of a file"));
}

TEST_F(F2fsFileTest, RefusesAddressesOutsideTheMainArea) {
  const MutableBytes inode = maker_.add_inode(kFile, S_IFREG, kPageBytes);
  for (const std::uint32_t address : {std::uint32_t{1}, std::uint32_t{0xfffffff0}}) {
    maker_.set_address(inode, 0, address);
    EXPECT_EQ(read_refusal(),
              "inode 4: block " + std::to_string(address) + " is not in the main area");
  }
  maker_.set_address(inode, 0, f2fs::kPackedCluster);
  EXPECT_THAT(read_refusal(), HasSubstr("page 0 is packed, but the file is not compressed"));
  store_little(inode, in::kSize, ~std::uint64_t{0});
  EXPECT_THAT(read_refusal(), HasSubstr("its addresses reach"));
}

TEST_F(F2fsFileTest, RefusesEncryptedContent) {
  store_little(maker_.add_inode(kFile, S_IFREG, 1), in::kAdvise, in::kAdviseEncrypted);
  EXPECT_EQ(read_refusal(), "inode 4: its content is encrypted");
}

class F2fsCompressedFileTest : public F2fsFileTest {
 protected:
  // One packed cluster at `slot`, which is the first of a cluster.
  std::vector<std::uint32_t> put_cluster(MutableBytes inode, std::size_t slot,
                                         const ClusterOptions& options, ConstBytes cluster) {
    Bytes packed(cluster.size());
    auto packer = ClusterPacker::make(options).value();
    const std::size_t count = packer.pack(cluster, packed).value();
    std::vector<std::uint32_t> blocks;
    maker_.set_address(inode, slot, f2fs::kPackedCluster);
    for (std::size_t i = 0; i < count; ++i) {
      blocks.push_back(maker_.add_data(ConstBytes(packed).subspan(i * kPageBytes, kPageBytes)));
      maker_.set_address(inode, slot + 1 + i, blocks.back());
    }
    for (std::size_t i = count + 1; i < options.page_count(); ++i)
      maker_.set_address(inode, slot + i, f2fs::kReservedBlock);
    return blocks;
  }
};

TEST_F(F2fsCompressedFileTest, ReadsPackedAndRawClustersOfEveryAlgorithm) {
  for (const ClusterAlgorithmInfo& row : kClusterAlgorithms) {
    for (const unsigned log_pages : {2U, 4U, 8U}) {
      maker_ = F2fsImageMaker();
      const ClusterOptions options{
          .algorithm = row.id, .log_pages = log_pages, .has_checksum = true};
      const std::size_t bytes = options.cluster_bytes();
      const MutableBytes inode = maker_.add_compressed(kFile, 2 * bytes + 10, options);
      const Bytes packed = made_bytes(PageKind::Text, bytes);
      const Bytes raw = made_bytes(PageKind::Random, bytes);
      put_cluster(inode, 0, options, packed);
      for (std::size_t page = 0; page < options.page_count(); ++page) {
        maker_.set_address(inode, options.page_count() + page,
                           maker_.add_data(ConstBytes(raw).subspan(page * kPageBytes, kPageBytes)));
      }
      Bytes expected = packed;
      expected.insert(expected.end(), raw.begin(), raw.end());
      expected.resize(expected.size() + 10);
      const auto opened = open();
      EXPECT_EQ(read(*opened, 0, expected.size()), expected) << row.name << " " << log_pages;
      EXPECT_EQ(read(*opened, bytes - 5, 10), Bytes(expected.begin() + std::ptrdiff_t(bytes) - 5,
                                                    expected.begin() + std::ptrdiff_t(bytes) + 5));
      EXPECT_EQ(opened->file.next_data(3 * kPageBytes), 3 * kPageBytes);
      EXPECT_EQ(opened->file.next_data(2 * bytes), 2 * bytes + 10);
      EXPECT_EQ(opened->file.checksum_faults().count, 0U);
      EXPECT_GT(opened->file.cluster(0)->reserved_blocks, 0U);
      EXPECT_FALSE(opened->file.cluster(1)->is_packed);
    }
  }
}

TEST_F(F2fsCompressedFileTest, ReadsPastTheInodeInWholeClusters) {
  const ClusterOptions options{.log_pages = 3};
  const std::uint64_t in_inode = kInInode / 8 * 8;
  const MutableBytes inode = maker_.add_compressed(kFile, (in_inode + 8) * kPageBytes, options);
  const Bytes content = made_bytes(PageKind::Records, options.cluster_bytes());
  const MutableBytes node = hang_node(inode, in::kNids, 0, 1);
  const std::vector<std::uint32_t> blocks = put_cluster(inode, 0, options, content);
  store_little(node, 0, f2fs::kPackedCluster);
  for (std::size_t i = 0; i < blocks.size(); ++i) store_little(node, 4 + 4 * i, blocks[i]);
  const auto opened = open();
  EXPECT_EQ(read(*opened, in_inode * kPageBytes, content.size()), content);
}

TEST_F(F2fsCompressedFileTest, CountsWrongChecksumsAndGivesTheContentOut) {
  const ClusterOptions options{.has_checksum = true};
  const MutableBytes inode = maker_.add_compressed(kFile, 2 * options.cluster_bytes(), options);
  const Bytes content = made_bytes(PageKind::Text, options.cluster_bytes());
  put_cluster(inode, 0, options, content);
  const std::vector<std::uint32_t> blocks = put_cluster(inode, 4, options, content);
  maker_.image.block(blocks[0])[4] ^= std::byte{1};
  const auto opened = open();
  EXPECT_EQ(read(*opened, options.cluster_bytes(), content.size()), content);
  EXPECT_EQ(read(*opened, 0, content.size()), content);
  EXPECT_EQ(opened->file.checksum_faults().count, 1U);
  EXPECT_EQ(opened->file.checksum_faults().first_cluster, 1U);
}

TEST_F(F2fsCompressedFileTest, RefusesClustersOfImpossibleShape) {
  const ClusterOptions options;
  const Bytes content = made_bytes(PageKind::Period7, options.cluster_bytes());
  MutableBytes inode = maker_.add_compressed(kFile, 2 * content.size(), options);
  const std::vector<std::uint32_t> blocks = put_cluster(inode, 4, options, content);
  maker_.set_address(inode, 5, f2fs::kNoBlock);
  EXPECT_EQ(read_refusal(content.size()), "inode 4: cluster 1 is packed but has no data");
  maker_.set_address(inode, 6, blocks[0]);
  EXPECT_EQ(read_refusal(content.size()), "inode 4: cluster 1 has data behind a gap");
  maker_.set_address(inode, 6, f2fs::kPackedCluster);
  EXPECT_EQ(read_refusal(content.size()), "inode 4: cluster 1 has its mark in the wrong place");
  put_cluster(inode, 4, options, content);
  maker_.image.block(blocks[0])[0] ^= std::byte{0xff};
  maker_.set_address(inode, 5, blocks[0]);
  EXPECT_EQ(read_refusal(content.size()), "inode 4: cluster 1 (block " + std::to_string(blocks[0]) +
                                              ") does not unpack to its size");
}

}  // namespace
}  // namespace uzram
