// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_volume.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cluster/f2fs_image_maker.h"
#include "cluster/f2fs_inode.h"

namespace uzram {
namespace {

using testing::HasSubstr;
namespace sb = f2fs::super;
namespace cp = f2fs::checkpoint;
namespace in = f2fs::inode;

class F2fsVolumeTest : public testing::Test {
 protected:
  std::string refusal() {
    const auto volume = F2fsVolume::open(maker_.image);
    EXPECT_FALSE(volume);
    if (volume) return "";
    code_ = volume.error().code;
    return volume.error().text;
  }
  std::unique_ptr<F2fsVolume> open() { return F2fsVolume::open(maker_.image).value(); }
  void set_super(std::size_t offset, std::uint64_t value) {
    for (const int copy : {0, 1})
      store_little(maker_.super(copy), offset, static_cast<std::uint32_t>(value));
    maker_.seal_super();
  }
  std::string inode_refusal(std::uint32_t ino) {
    const auto volume = open();
    const auto inode = read_inode(*volume, ino);
    EXPECT_FALSE(inode);
    return inode ? "" : inode.error().text;
  }

  F2fsImageMaker maker_;
  int code_ = 0;
};

TEST_F(F2fsVolumeTest, ReadsWhatTheSuperblockSays) {
  const auto volume = open();
  EXPECT_EQ(volume->superblock().root_ino, F2fsImageMaker::kRoot);
  EXPECT_EQ(volume->superblock().block_count, F2fsImageMaker::kBlockCount);
  EXPECT_EQ(volume->superblock().copy, 0);
  EXPECT_TRUE(volume->has(f2fs::feature::kCompression));
  EXPECT_TRUE(volume->checkpoint().is_clean());
  EXPECT_FALSE(volume->checkpoint().is_other_valid);
}

TEST_F(F2fsVolumeTest, WritesItsLabelAsUtf8) {
  const std::u16string label = u"n\u00e4h \u20ac\x01\xd800";
  for (std::size_t i = 0; i < label.size(); ++i)
    store_little(maker_.super(), sb::kVolumeName + 2 * i, static_cast<std::uint16_t>(label[i]));
  maker_.seal_super();
  EXPECT_EQ(open()->superblock().label, "n\u00e4h \u20ac??");
}

TEST_F(F2fsVolumeTest, TakesTheSecondSuperblockWhenTheFirstIsDamaged) {
  maker_.super()[sb::kRootIno] ^= std::byte{1};
  EXPECT_EQ(open()->superblock().copy, 1);
  maker_.super(1)[sb::kRootIno] ^= std::byte{1};
  EXPECT_EQ(refusal(), "superblock: wrong checksum");
  EXPECT_EQ(code_, EUCLEAN);
}

TEST_F(F2fsVolumeTest, RefusesSuperblocksThatCannotBe) {
  const std::vector<std::tuple<std::size_t, std::uint64_t, const char*>> cases = {
      {sb::kMagic, 0, "no f2fs"},
      {sb::kLogBlockBytes, 14, "blocks of 2^14 bytes"},
      {sb::kLogBlockBytes, 0xffffffff, "blocks of 2^4294967295 bytes"},
      {sb::kLogSectorBytes, 10, "sector or segment size"},
      {sb::kLogSegmentBlocks, 8, "sector or segment size"},
      {sb::kBlockCount, 1000, "do not follow each other"},
      {sb::kMainSegments, 0xffffffff, "do not follow each other"},
      {sb::kNatSegments, 3, "do not follow each other"},
      {sb::kNatSegments, 0, "do not follow each other"},
      {sb::kSitSegments, 0xffffffff, "do not follow each other"},
      {sb::kMainBlock, 0, "do not follow each other"},
      {sb::kCheckpointPayload, 0xffffffff, "do not follow each other"},
      {sb::kChecksumOffset, 12, "wrong checksum"},
      {sb::kDevices, '/', "several devices"}};
  for (const auto& [offset, value, words] : cases) {
    maker_ = F2fsImageMaker();
    set_super(offset, value);
    EXPECT_THAT(refusal(), HasSubstr(words)) << offset;
  }
}

TEST_F(F2fsVolumeTest, TakesTheNewerCheckpointThatIsWhole) {
  maker_.seal_checkpoint(1, maker_.version + 1, 0);
  EXPECT_EQ(open()->checkpoint().pack, 1);
  EXPECT_FALSE(open()->checkpoint().is_clean());
  EXPECT_TRUE(open()->checkpoint().is_other_valid);
  maker_.image.block(F2fsImageMaker::pack_block(1) + 2)[0] ^= std::byte{1};
  EXPECT_EQ(open()->checkpoint().pack, 0) << "the newer one was not written to its end";
  maker_.seal_checkpoint(1, maker_.version - 1);
  EXPECT_EQ(open()->checkpoint().pack, 0);
  maker_.checkpoint(0)[cp::kFlags] ^= std::byte{1};
  EXPECT_EQ(open()->checkpoint().pack, 1) << "the newer one is damaged";
  maker_.checkpoint(1)[cp::kFlags] ^= std::byte{1};
  EXPECT_EQ(refusal(), "checkpoint 1: wrong checksum");
}

TEST_F(F2fsVolumeTest, RefusesCheckpointsThatCannotBe) {
  const std::vector<std::tuple<std::size_t, std::uint32_t, const char*>> cases = {
      {cp::kPackBlocks, 513, "number of blocks"},
      {cp::kPackBlocks, 2, "number of blocks"},
      {cp::kPackBlocks, 4, "written to its end"},
      {cp::kSummaryStart, 0, "summaries"},
      {cp::kSummaryStart, 3, "summaries"},
      {cp::kNatBitmapBytes, 65, "wrong size"},
      {cp::kSitBitmapBytes, 4096, "is outside"},
      {cp::kSitBitmapBytes, 0xffffffff, "is outside"},
      {cp::kChecksumOffset, 100, "wrong checksum"},
      {cp::kChecksumOffset, 0xffffffff, "wrong checksum"}};
  for (const auto& [offset, value, words] : cases) {
    maker_ = F2fsImageMaker();
    const MutableBytes block = maker_.checkpoint();
    store_little(block, offset, value);
    store_little(block, cp::kLastChecksum, f2fs_checksum(block.first(cp::kLastChecksum)));
    EXPECT_THAT(refusal(), HasSubstr(words)) << offset << " " << value;
  }
}

TEST_F(F2fsVolumeTest, NamesABlockThatCannotBeRead) {
  maker_.image.failing_block = 512;
  EXPECT_EQ(refusal(), "checkpoint 1: block 512 cannot be read: Input/output error");
  EXPECT_EQ(code_, EIO);
}

TEST_F(F2fsVolumeTest, FindsNodesInTheCopyOfTheTableThatIsValid) {
  maker_.set_nat(F2fsImageMaker::kRoot, F2fsImageMaker::kRoot, 0, 0);
  EXPECT_EQ(inode_refusal(3), "inode 3: node 3 does not exist");
  maker_.seal();
  maker_.set_nat(F2fsImageMaker::kRoot, F2fsImageMaker::kRoot, 0, 1);
  maker_.checkpoint()[cp::kBitmaps + 64] = std::byte{0x80};
  maker_.seal_checkpoint(0, maker_.version);
  EXPECT_EQ(inode_refusal(3), "inode 3: node 3 does not exist");
  maker_.set_nat(F2fsImageMaker::kRoot, F2fsImageMaker::kRoot, F2fsImageMaker::kMain, 1);
  EXPECT_TRUE(read_inode(*open(), 3));
}

TEST_F(F2fsVolumeTest, BelievesTheJournalMoreThanTheTable) {
  for (const bool is_compact : {false, true}) {
    maker_ = F2fsImageMaker();
    maker_.set_nat(3, 3, 0);
    if (is_compact) maker_.seal_checkpoint(0, maker_.version, 1 | cp::kCompactSummaries);
    const MutableBytes journal =
        maker_.image.block(513).subspan(is_compact ? 0 : f2fs::kJournalOffset);
    store_little(journal, 0, std::uint16_t{1});
    store_little(journal, 2, std::uint32_t{3});
    store_little(journal, 7, std::uint32_t{3});
    store_little(journal, 11, static_cast<std::uint32_t>(F2fsImageMaker::kMain));
    EXPECT_TRUE(read_inode(*open(), 3));
    store_little(journal, 0, static_cast<std::uint16_t>(f2fs::kJournalMostEntries + 1));
    EXPECT_THAT(refusal(), HasSubstr("journal"));
  }
}

TEST_F(F2fsVolumeTest, RefusesNodesThatAreElsewhereThanTheTableSays) {
  EXPECT_THAT(inode_refusal(0), HasSubstr("node 0 is not in the table"));
  EXPECT_THAT(inode_refusal(512 * 455), HasSubstr("is not in the table"));
  EXPECT_THAT(inode_refusal(0xffffffff), HasSubstr("is not in the table"));
  for (const std::uint64_t block : {std::uint64_t{1}, F2fsImageMaker::kMain - 1,
                                    F2fsImageMaker::kBlockCount, std::uint64_t{0xffffffff}}) {
    maker_.set_nat(3, 3, static_cast<std::uint32_t>(block));
    EXPECT_THAT(inode_refusal(3), HasSubstr("is not in the main area"));
  }
  maker_.set_nat(4, 4, static_cast<std::uint32_t>(F2fsImageMaker::kMain));
  EXPECT_THAT(inode_refusal(4), HasSubstr("holds another node"));
  maker_.add_node(5, 3, 1);
  maker_.seal();
  EXPECT_EQ(inode_refusal(5), "inode 5: its node is no inode");
}

TEST_F(F2fsVolumeTest, KnowsWhichInodesHaveRightChecksums) {
  EXPECT_EQ(read_inode(*open(), 3)->checksum, ChecksumState::Right);
  maker_.image.block(F2fsImageMaker::kMain)[in::kUid] ^= std::byte{1};
  EXPECT_EQ(read_inode(*open(), 3)->checksum, ChecksumState::Wrong);
  set_super(sb::kFeatures, F2fsImageMaker::kFeatures & ~f2fs::feature::kInodeChecksum);
  EXPECT_EQ(read_inode(*open(), 3)->checksum, ChecksumState::Absent);
}

TEST_F(F2fsVolumeTest, ReadsCompressionFields) {
  const ClusterOptions options{
      .algorithm = ClusterAlgorithm::Zstd, .level = 7, .log_pages = 5, .has_checksum = true};
  MutableBytes inode = maker_.add_compressed(4, 100'000, options);
  maker_.seal();
  const F2fsInode read = read_inode(*open(), 4).value();
  EXPECT_TRUE(read.is_compressed);
  EXPECT_EQ(read.cluster, options);
  EXPECT_EQ(read.addresses.bytes % (4 * 32), 0U);
  for (const auto& [offset, value] : {std::pair{in::kLogClusterPages, 1},
                                      {in::kLogClusterPages, 9},
                                      {in::kLogClusterPages, 255},
                                      {in::kAlgorithm, 4}}) {
    inode = maker_.add_compressed(4, 100'000, options);
    store_little(inode, offset, static_cast<std::uint8_t>(value));
    maker_.seal();
    EXPECT_THAT(inode_refusal(4), HasSubstr("impossible"));
  }
}

TEST_F(F2fsVolumeTest, RefusesInodesWhoseWordsDoNotAddUp) {
  for (const int bytes : {0, 2, 0xffff, 0xfffc, 2000}) {
    const MutableBytes inode = maker_.add_inode(4, S_IFREG, 0);
    store_little(inode, in::kExtraBytes, static_cast<std::uint16_t>(bytes));
    maker_.seal();
    EXPECT_THAT(inode_refusal(4), HasSubstr("extra attributes")) << bytes;
  }
  for (const int words : {914, 0xffff}) {
    const MutableBytes inode = maker_.add_inode(4, S_IFREG, 0);
    store_little(inode, in::kInlineXattrWords, static_cast<std::uint16_t>(words));
    maker_.seal();
    EXPECT_THAT(inode_refusal(4), HasSubstr("inline xattrs")) << words;
  }
}

TEST_F(F2fsVolumeTest, ReadsXattrsOfInodeAndNodeAsOne) {
  const MutableBytes inode = maker_.add_inode(4, S_IFREG, 0);
  store_little(inode, in::kInline, static_cast<std::uint8_t>(in::kHasExtra | in::kInlineXattr));
  store_little(inode, in::kInlineXattrWords, std::uint16_t{10});
  store_little(inode, in::kXattrNid, std::uint32_t{5});
  const MutableBytes inline_part = inode.subspan(in::kNids - 40);
  store_little(inline_part, 0, std::uint32_t{0xf2f52011});
  const std::string entry = {1, 3, 20, 0, 'f', 'o', 'o'};
  std::memcpy(&inline_part[24], entry.data(), entry.size());
  const std::string value = "twenty bytes of text";
  std::memcpy(&inline_part[31], value.data(), 9);  // Goes on in the node.
  const MutableBytes node = maker_.add_node(5, 4, 0x1fffffff);
  std::memcpy(node.data(), value.data() + 9, 11);
  maker_.seal();
  const auto volume = open();
  const auto xattrs = read_xattrs(*volume, read_inode(*volume, 4).value()).value();
  ASSERT_EQ(xattrs.size(), 1U);
  EXPECT_EQ(xattrs[0].name, "user.foo");
  EXPECT_EQ(xattrs[0].value, value);
  inline_part[26] = inline_part[27] = std::byte{0xff};
  EXPECT_THAT(read_xattrs(*volume, read_inode(*volume, 4).value()).error().text,
              HasSubstr("ends outside"));
}

}  // namespace
}  // namespace uzram
