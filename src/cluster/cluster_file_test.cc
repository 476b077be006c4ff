// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_file.h"

#include <gtest/gtest.h>

#include "cluster/cluster_file_fixture.h"

namespace uzram {
namespace {

constexpr std::size_t kSmallCluster = kPageBytes << 2;

class ClusterFileTest : public testing::Test {
 protected:
  void create(const ClusterOptions& options = {}) {
    file_ = ClusterFile::create(std::make_unique<MemoryStorage>(disk_), options, {}).value();
  }
  void reopen() {
    file_.reset();
    file_ =
        ClusterFile::open(std::make_unique<MemoryStorage>(disk_), StorageMode::Write, {}).value();
  }
  void write(std::uint64_t offset, const ContentBytes& content) {
    ASSERT_TRUE(file_->write(offset, content));
  }
  void sync() {
    ASSERT_TRUE(file_->sync());
    file_->check_invariants();
  }
  ClusterFileTotals totals() { return file_->totals().value(); }
  std::uint64_t stored_blocks() { return disk_->bytes.size() / kPageBytes; }

  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
  std::unique_ptr<ClusterFile> file_;
};

TEST_F(ClusterFileTest, IsEmptyAtFirst) {
  create({.algorithm = ClusterAlgorithm::Zstd, .level = 3, .log_pages = 4});
  reopen();
  EXPECT_EQ(file_->size_bytes(), 0U);
  EXPECT_EQ(file_->options().level, 3);
  std::array<std::byte, 10> out;
  EXPECT_EQ(file_->read(0, out), 0U);
  EXPECT_EQ(stored_blocks(), 2U);
}

TEST_F(ClusterFileTest, StoresClustersByTheRule) {
  create();
  ContentBytes content = content_of(PageKind::Period7, 3 * kSmallCluster);
  const ContentBytes random = content_of(PageKind::Random, kSmallCluster);
  std::copy(random.begin(), random.end(), content.begin() + kSmallCluster);
  content.resize(content.size() - 1);
  write(0, content);
  sync();
  EXPECT_EQ(totals().packed_clusters, 1U);
  EXPECT_EQ(totals().raw_clusters, 2U) << "what does not pack, and the last, partial one";
  EXPECT_EQ(totals().stored_blocks, 1U + 4 + 4);
  EXPECT_EQ(totals().content_blocks, 12U);
  EXPECT_EQ(stored_blocks(), 2U + 9 + 1);
  reopen();
  EXPECT_TRUE(read_whole(*file_) == content);
}

TEST_F(ClusterFileTest, StoresTheClustersOfF2fs) {
  const ClusterOptions options{
      .algorithm = ClusterAlgorithm::Zstd, .log_pages = 3, .has_checksum = true};
  create(options);
  const ContentBytes content = content_of(PageKind::Text, options.cluster_bytes());
  write(0, content);
  sync();
  ContentBytes expected(content.size());
  auto packer = ClusterPacker::make(options).value();
  expected.resize(packer.pack(content, expected).value() * kPageBytes);
  ASSERT_TRUE(file_->visit_clusters([&](std::uint64_t cluster, const MapEntry& entry) {
    EXPECT_EQ(cluster, 0U);
    ASSERT_EQ(entry.block_count * kPageBytes, expected.size());
    EXPECT_TRUE(std::equal(
        expected.begin(), expected.end(),
        disk_->bytes.begin() + static_cast<std::ptrdiff_t>(entry.first_block * kPageBytes)));
  }));
}

TEST_F(ClusterFileTest, ReadsAndChangesWhatItHasUnpackedInPart) {
  for (const ClusterAlgorithm algorithm : {ClusterAlgorithm::Lz4, ClusterAlgorithm::LzoRle}) {
    disk_ = std::make_shared<MemoryDisk>();
    create({.algorithm = algorithm, .log_pages = 4});
    const std::size_t cluster_bytes = file_->options().cluster_bytes();
    ContentBytes content = content_of(PageKind::Records, 4 * cluster_bytes);
    write(0, content);
    sync();
    reopen();
    ASSERT_EQ(totals().packed_clusters, 4U);
    const auto expect_part = [&](std::uint64_t offset, std::size_t bytes) {
      ContentBytes part(bytes);
      ASSERT_EQ(file_->read(offset, part), bytes);
      EXPECT_TRUE(std::equal(part.begin(), part.end(),
                             content.begin() + static_cast<std::ptrdiff_t>(offset)));
    };
    expect_part(2 * kPageBytes, kPageBytes);  // The front of the first cluster,
    expect_part(kPageBytes, kPageBytes);      // what came with it,
    expect_part(7 * kPageBytes, kPageBytes);  // and more of it.
    expect_part(cluster_bytes + 100, 200);    // The front of the second one,
    expect_part(cluster_bytes, cluster_bytes);
    expect_part(2 * cluster_bytes + kPageBytes, 1);  // A change behind the front of the third.
    content[3 * cluster_bytes - 1] = std::byte{77};
    write(3 * cluster_bytes - 1, {std::byte{77}});
    expect_part(3 * cluster_bytes + 5, 5);  // The fourth is written over.
    std::fill_n(content.end() - static_cast<std::ptrdiff_t>(cluster_bytes), cluster_bytes,
                std::byte{1});
    write(3 * cluster_bytes, ContentBytes(cluster_bytes, std::byte{1}));
    EXPECT_TRUE(read_whole(*file_) == content);
    sync();
    reopen();
    EXPECT_TRUE(read_whole(*file_) == content);
  }
}

TEST_F(ClusterFileTest, KeepsNothingForHoles) {
  create();
  write(std::uint64_t{1} << 40, {std::byte{1}});
  ASSERT_TRUE(file_->truncate(std::uint64_t{1} << 50));
  sync();
  EXPECT_EQ(totals().stored_blocks, 1U);
  EXPECT_LT(stored_blocks(), 10U);
  reopen();
  EXPECT_EQ(file_->size_bytes(), std::uint64_t{1} << 50);
  std::array<std::byte, 2> out;
  ASSERT_EQ(file_->read((std::uint64_t{1} << 40) - 1, out), 2U);
  EXPECT_EQ(out[0], std::byte{0});
  EXPECT_EQ(out[1], std::byte{1});
  EXPECT_EQ(file_->next_data(5), std::uint64_t{1} << 40);
  EXPECT_EQ(file_->next_data((std::uint64_t{1} << 40) + 9), (std::uint64_t{1} << 40) + 9);
  EXPECT_EQ(file_->next_data((std::uint64_t{1} << 40) + kSmallCluster), file_->size_bytes());
  write(100 * kSmallCluster, {std::byte{1}});
  EXPECT_EQ(file_->next_data(5), 100 * kSmallCluster) << "also what is in memory only";
}

TEST_F(ClusterFileTest, GivesSpaceBackWhenContentGoes) {
  create();
  write(0, content_of(PageKind::Random, 64 * kSmallCluster));
  sync();
  const std::uint64_t before = stored_blocks();
  ASSERT_TRUE(file_->punch(0, 32 * kSmallCluster));
  sync();
  const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
  EXPECT_TRUE(std::all_of(disk_->bytes.begin() + 2 * kPageBytes,
                          disk_->bytes.begin() + 100 * kPageBytes, is_zero))
      << "holes, but for a map block or two at the front";
  ASSERT_TRUE(file_->truncate(kSmallCluster));
  sync();
  EXPECT_LT(stored_blocks(), before / 4);
  ASSERT_TRUE(file_->truncate(0));
  sync();
  EXPECT_EQ(stored_blocks(), 2U);
}

TEST_F(ClusterFileTest, UsesSpaceAgainThatWasNeverSynced) {
  create();
  constexpr std::size_t kBytes = std::size_t{1} << 20;
  for (std::uint64_t i = 0; i < 40; ++i) {
    write(0, content_of(PageKind::Random, kBytes, i));
    if (i % 30 == 0) sync();
  }
  sync();
  EXPECT_LT(stored_blocks(), 3 * kBytes / kPageBytes);
}

TEST_F(ClusterFileTest, KeepsReservedSpaceAndReleasesIt) {
  create();
  const ContentBytes content = content_of(PageKind::Period7, 16 * kSmallCluster);
  write(0, content);
  ASSERT_TRUE(file_->reserve());
  EXPECT_TRUE(file_->is_reserved());
  EXPECT_GE(stored_blocks(), 16U * 4);
  EXPECT_GT(disk_->set_aside_bytes, 0U);
  reopen();
  EXPECT_TRUE(file_->is_reserved());
  // The disk is full now; what is there can change all the same.
  disk_->most_bytes = disk_->bytes.size();
  for (std::uint64_t cluster = 0; cluster < 16; ++cluster)
    write(cluster * kSmallCluster, content_of(PageKind::Random, kSmallCluster, cluster));
  ASSERT_TRUE(file_->sync());
  disk_->most_bytes = ~std::uint64_t{0};
  write(0, content);
  ASSERT_TRUE(file_->release());
  EXPECT_FALSE(file_->is_reserved());
  EXPECT_LT(stored_blocks(), 2U + 2 * 16 + 3);
  reopen();
  EXPECT_TRUE(read_whole(*file_) == content);
}

TEST_F(ClusterFileTest, LosesOneClusterToDamageInIt) {
  create();
  const ContentBytes content = content_of(PageKind::Text, 8 * kSmallCluster);
  write(0, content);
  sync();
  std::uint64_t damaged_block = 0;
  ASSERT_TRUE(file_->visit_clusters([&](std::uint64_t cluster, const MapEntry& entry) {
    if (cluster == 3) damaged_block = entry.first_block;
  }));
  disk_->bytes[damaged_block * kPageBytes + 4000] ^= std::byte{1};
  reopen();
  ContentBytes out(content.size());
  EXPECT_EQ(file_->read(0, out).error().code, EBADMSG);
  EXPECT_EQ(file_->read(4 * kSmallCluster, out), 4 * kSmallCluster);
  std::vector<std::uint64_t> faults;
  EXPECT_EQ(file_->verify([&](std::uint64_t cluster, std::uint64_t) { faults.push_back(cluster); },
                          [](std::uint64_t) {}),
            1U);
  EXPECT_EQ(faults, (std::vector<std::uint64_t>{3}));
  EXPECT_EQ(file_->write(3 * kSmallCluster + 1, ConstBytes(content).first(1)).error().code,
            EBADMSG);
  write(3 * kSmallCluster,
        {content.begin() + 3 * kSmallCluster, content.begin() + 4 * kSmallCluster});
  sync();
  EXPECT_TRUE(read_whole(*file_) == content) << "writing a whole cluster heals it";
}

TEST_F(ClusterFileTest, TakesTheOtherRootWhenOneIsDamaged) {
  create();
  write(0, content_of(PageKind::Text, 100));
  sync();
  const ContentBytes first = read_whole(*file_);
  write(0, content_of(PageKind::Text, 200, 2));
  sync();
  disk_->bytes[20] ^= std::byte{1};  // Generation 2 is in slot A.
  reopen();
  EXPECT_EQ(file_->size_bytes(), first.size());
  disk_->bytes[kPageBytes + 20] ^= std::byte{1};
  EXPECT_EQ(
      ClusterFile::open(std::make_unique<MemoryStorage>(disk_), StorageMode::Read, {}).error().code,
      EBADMSG);
}

TEST_F(ClusterFileTest, ChangesNothingWhenOpenedForReading) {
  create();
  write(0, content_of(PageKind::Text, 5000));
  sync();
  const ContentBytes before = disk_->bytes;
  const auto reader = open_bytes(before, StorageMode::Read);
  EXPECT_EQ(reader->write(0, before).error().code, EBADF);
  EXPECT_EQ(reader->truncate(0).error().code, EBADF);
  EXPECT_EQ(reader->punch(0, 1).error().code, EBADF);
  EXPECT_EQ(reader->reserve().error().code, EBADF);
  EXPECT_TRUE(reader->sync());
}

TEST_F(ClusterFileTest, RefusesOffsetsBeyondItsLimits) {
  create();
  const std::array<std::byte, 1> one{};
  EXPECT_EQ(file_->write(kMostContentBytes, one).error().code, EFBIG);
  EXPECT_EQ(file_->write(~std::uint64_t{0}, one).error().code, EFBIG);
  EXPECT_EQ(file_->truncate(kMostContentBytes + 1).error().code, EFBIG);
  EXPECT_TRUE(file_->write(kMostContentBytes - 1, one));
  EXPECT_TRUE(file_->sync());
  EXPECT_EQ(totals().map_blocks, kMostMapDepth);
}

TEST_F(ClusterFileTest, WritesNoMoreAfterASyncThatFailed) {
  create();
  write(0, content_of(PageKind::Text, 5000));
  sync();
  const ContentBytes before = read_whole(*file_);
  write(0, content_of(PageKind::Text, 9000, 2));
  const ContentBytes after = read_whole(*file_);
  disk_->changes_until_failure = 2;  // The cluster and its map block; then the first sync.
  disk_->fails_once = true;
  EXPECT_EQ(file_->sync().error().code, EIO);
  EXPECT_EQ(file_->sync().error().code, EIO);
  EXPECT_EQ(file_->write(0, before).error().code, EIO);
  EXPECT_TRUE(read_whole(*file_) == after);
  EXPECT_TRUE(read_whole(*open_bytes(disk_->durable)) == before);
}

}  // namespace
}  // namespace uzram
