// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_packer.h"

#include <gtest/gtest.h>
#include <lz4.h>

#include <algorithm>
#include <vector>

#include "cluster/f2fs_checksum.h"
#include "cluster/little_endian.h"
#include "codec/lz4.h"
#include "codec/lz4hc.h"
#include "codec/lzo.h"
#include "codec/lzo_rle.h"
#include "codec/page_kinds.h"
#include "codec/zstd_frame.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kSmallBytes = kPageBytes << kLeastClusterLog;
constexpr std::size_t kSmallBudget = kSmallBytes - kPageBytes - kClusterHeaderBytes;

Bytes content(PageKind kind, std::size_t bytes) {
  Bytes made(bytes);
  PageMaker(5).fill(kind, made);
  return made;
}

// Packs as little as one likes: random bytes, and zeros behind them.
Bytes partly_random(std::size_t random_bytes) {
  Bytes made(kSmallBytes);
  PageMaker(6).fill(PageKind::Random, MutableBytes(made).first(random_bytes));
  return made;
}

ClusterPacker packer_of(const ClusterOptions& options) {
  return ClusterPacker::make(options).value();
}
std::optional<Bytes> pack(ClusterPacker& packer, ConstBytes cluster) {
  Bytes out(cluster.size(), std::byte{0xee});
  const auto block_count = packer.pack(cluster, out);
  if (!block_count) return std::nullopt;
  out.resize(*block_count * kPageBytes);
  return out;
}

class EveryClusterAlgorithm : public testing::TestWithParam<std::string> {
 protected:
  static ClusterOptions options(unsigned log_pages = kLeastClusterLog) {
    ClusterOptions made{.log_pages = log_pages};
    EXPECT_TRUE(read_cluster_algorithm(GetParam(), made));
    return made;
  }
  // The same encoder, which can write as much as it likes.
  static std::unique_ptr<Compressor> compressor_with_room() {
    CodecParams params{.block_bytes = kSmallBytes};
    if (options().level != 0) params.level = options().level;
    const ClusterAlgorithm algorithm = options().algorithm;
    const auto make = algorithm == ClusterAlgorithm::Zstd     ? make_zstd_frame
                      : algorithm == ClusterAlgorithm::Lzo    ? make_lzo
                      : algorithm == ClusterAlgorithm::LzoRle ? make_lzo_rle
                      : params.level                          ? make_lz4hc
                                                              : make_lz4;
    return make(params).value()->make_compressor().value();
  }
  // LZ4 given a bound stops where the worst that can follow would not fit; f2fs lives with that.
  static std::size_t refused_early_bytes() {
    return options().algorithm == ClusterAlgorithm::Lz4 ? 16 : 0;
  }
};

TEST_P(EveryClusterAlgorithm, GivesBackWhatItPacked) {
  auto unpacker = ClusterUnpacker::make(options().algorithm).value();
  for (unsigned log = kLeastClusterLog; log <= kMostClusterLog; log += 3) {
    auto packer = packer_of(options(log));
    for (const PageKind kind : kPageKinds) {
      if (log == kMostClusterLog && kind != PageKind::Text && kind != PageKind::Random) continue;
      const Bytes cluster = content(kind, packer.options().cluster_bytes());
      const auto packed = pack(packer, cluster);
      ASSERT_EQ(packed.has_value(), kind != PageKind::Random) << log << " " << int(kind);
      if (!packed) continue;
      Bytes unpacked(cluster.size());
      ASSERT_TRUE(unpacker.unpack(*packed, unpacked));
      EXPECT_EQ(unpacked, cluster);
    }
  }
}

TEST_P(EveryClusterAlgorithm, KeepsWhatSavesABlockAfterTheHeader) {
  auto packer = packer_of(options());
  const auto unbounded = compressor_with_room();
  Bytes room(2 * kSmallBytes);
  int kept = 0;
  int raw = 0;
  // Encoders stride fast after so many random bytes, and see the zeros late.
  for (std::size_t random_bytes = kSmallBudget - 1500; random_bytes < kSmallBudget;
       random_bytes += 10) {
    const Bytes cluster = partly_random(random_bytes);
    const std::size_t packed_bytes = unbounded->compress(cluster, room).value();
    const auto packed = pack(packer, cluster);
    ++(packed ? kept : raw);
    if (packed) {
      EXPECT_LE(packed_bytes, kSmallBudget);
      EXPECT_EQ(read_cluster_header(*packed).value().packed_bytes, packed_bytes);
      EXPECT_EQ(packed->size(), round_up(packed_bytes + kClusterHeaderBytes, kPageBytes));
    } else {
      EXPECT_GT(packed_bytes + refused_early_bytes(), kSmallBudget);
    }
  }
  EXPECT_GT(kept, 0);
  EXPECT_GT(raw, 0);
}

TEST_P(EveryClusterAlgorithm, FillsTheHeaderAndZerosTheRest) {
  for (const bool has_checksum : {false, true}) {
    ClusterOptions with = options();
    with.has_checksum = has_checksum;
    auto packer = packer_of(with);
    const Bytes packed = pack(packer, content(PageKind::Text, kSmallBytes)).value();
    const auto header = read_cluster_header(packed).value();
    const ConstBytes bytes = ConstBytes(packed).subspan(kClusterHeaderBytes, header.packed_bytes);
    EXPECT_EQ(header.checksum, has_checksum ? f2fs_checksum(bytes) : 0);
    EXPECT_EQ(is_cluster_checksum_right(packed), has_checksum);
    const auto is_zero = [](std::byte byte) { return byte == std::byte{0}; };
    EXPECT_TRUE(std::all_of(packed.begin() + 8, packed.begin() + kClusterHeaderBytes, is_zero));
    EXPECT_TRUE(std::all_of(packed.begin() + kClusterHeaderBytes + header.packed_bytes,
                            packed.end(), is_zero));
  }
}

TEST_P(EveryClusterAlgorithm, RefusesDamagedClustersOrUnpacksOtherBytes) {
  auto packer = packer_of(options());
  auto unpacker = ClusterUnpacker::make(options().algorithm).value();
  const Bytes cluster = content(PageKind::Records, kSmallBytes);
  const Bytes packed = pack(packer, cluster).value();
  Random random(9);
  Bytes unpacked(kSmallBytes);
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    Bytes damaged = packed;
    damaged[random.below(damaged.size())] ^= static_cast<std::byte>(1 + random.below(255));
    if (!unpacker.unpack(damaged, unpacked)) ++refused;
  }
  EXPECT_GT(refused, 0);
  Bytes larger(2 * kSmallBytes);
  EXPECT_EQ(unpacker.unpack(packed, larger).error().code, EBADMSG);
  EXPECT_TRUE(unpacker.unpack(packed, unpacked)) << "a failure leaves nothing behind";
}

INSTANTIATE_TEST_SUITE_P(Cluster, EveryClusterAlgorithm,
                         testing::Values("lzo", "lzo-rle", "lz4", "lz4:3", "lz4:9", "zstd",
                                         "zstd:9"),
                         [](const testing::TestParamInfo<std::string>& row) {
                           std::string name = row.param;
                           std::erase_if(name, [](char c) { return c == '-' || c == ':'; });
                           return name;
                         });

TEST(ClusterPacker, WritesTheBlockThatTheLibraryWritesIntoTheSameRoom) {
  auto packer = packer_of({.algorithm = ClusterAlgorithm::Lz4});
  for (std::size_t random_bytes = kSmallBudget - 100; random_bytes < kSmallBudget; ++random_bytes) {
    const Bytes cluster = partly_random(random_bytes);
    Bytes expected(kSmallBudget);
    const int packed_bytes = LZ4_compress_default(
        reinterpret_cast<const char*>(cluster.data()), reinterpret_cast<char*>(expected.data()),
        static_cast<int>(cluster.size()), static_cast<int>(expected.size()));
    const auto packed = pack(packer, cluster);
    ASSERT_EQ(packed.has_value(), packed_bytes > 0);
    if (!packed) continue;
    expected.resize(static_cast<std::size_t>(packed_bytes));
    ASSERT_EQ(read_cluster_header(*packed).value().packed_bytes, expected.size());
    EXPECT_TRUE(
        std::equal(expected.begin(), expected.end(), packed->begin() + kClusterHeaderBytes));
  }
}

TEST(ClusterHeader, MayClaimNoMoreThanThereIs) {
  Bytes blocks(2 * kPageBytes);
  const auto claim = [&](std::size_t bytes) {
    store_little(blocks, 0, static_cast<std::uint32_t>(bytes));
    return read_cluster_header(blocks).has_value();
  };
  EXPECT_FALSE(claim(0));
  EXPECT_TRUE(claim(1));
  EXPECT_TRUE(claim(blocks.size() - kClusterHeaderBytes));
  EXPECT_FALSE(claim(blocks.size() - kClusterHeaderBytes + 1));
  EXPECT_FALSE(claim(0xffffffff));
  EXPECT_FALSE(read_cluster_header(ConstBytes(blocks).first(kClusterHeaderBytes - 1)));
}

TEST(ClusterPacker, RefusesOptionsOutOfTheirLimits) {
  EXPECT_EQ(ClusterPacker::make({.log_pages = 9}).error().code, EINVAL);
  EXPECT_EQ(ClusterPacker::make({.level = 2}).error().code, EINVAL);
  EXPECT_EQ(ClusterUnpacker::make(static_cast<ClusterAlgorithm>(7)).error().code, EINVAL);
  EXPECT_GT(packer_of({.algorithm = ClusterAlgorithm::Zstd}).memory_bytes(), 1000U);
}

}  // namespace
}  // namespace uzram
