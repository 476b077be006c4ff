// SPDX-License-Identifier: Apache-2.0
#include "codec/cluster_codec.h"

#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "codec/page_kinds.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kFixedHeaderBytes = 2;
constexpr std::size_t kBlockEndBytes = 3;

std::size_t block_count_of(std::size_t page_count) {
  return (page_count + kClusterBlockPages - 1) / kClusterBlockPages;
}

Bytes pages_of(std::size_t page_count, PageKind kind, std::uint64_t seed) {
  Bytes pages(page_count * kPageBytes);
  for (std::size_t i = 0; i < page_count; ++i)
    PageMaker(seed + i).fill(kind, MutableBytes(pages).subspan(i * kPageBytes, kPageBytes));
  return pages;
}

// Neighbours as memory has them: of many kinds.
Bytes mixed_pages(std::size_t page_count, std::uint64_t seed) {
  Bytes pages;
  for (std::size_t i = 0; i < page_count; ++i) {
    const PageKind kind = kPageKinds[(seed + i * 7) % kPageKinds.size()];
    const Bytes page = pages_of(1, kind, seed + i);
    pages.insert(pages.end(), page.begin(), page.end());
  }
  return pages;
}

class ClusterCodecTest : public testing::Test {
 protected:
  static std::unique_ptr<ClusterCompressor> compressor_of(
      int level, std::size_t most_pages = kClusterMostPages) {
    auto made = ClusterCompressor::make(level, most_pages);
    EXPECT_TRUE(made.has_value()) << "level " << level;
    return made ? std::move(*made) : nullptr;
  }
  // Into as much room as there can be need of.
  static Bytes pack(ClusterCompressor& compressor, ConstBytes pages) {
    Bytes packed(2 * pages.size() + 4096);
    const auto packed_bytes = compressor.compress(pages, packed);
    EXPECT_TRUE(packed_bytes.has_value());
    packed.resize(packed_bytes.value_or(0));
    return packed;
  }
  Bytes pack(ConstBytes pages) { return pack(*compressor_, pages); }
  // Where the packed bytes of the block's pages end.
  static std::size_t end_of_block(ConstBytes packed, std::size_t block) {
    const auto page_count = std::to_integer<std::size_t>(packed[0]);
    if (block + 1 == block_count_of(page_count)) return packed.size();
    std::size_t end = 0;
    std::memcpy(&end, &packed[kFixedHeaderBytes + block * kBlockEndBytes], kBlockEndBytes);
    return end;
  }
  static void set_end_of_block(Bytes& packed, std::size_t block, std::size_t end) {
    std::memcpy(&packed[kFixedHeaderBytes + block * kBlockEndBytes], &end, kBlockEndBytes);
  }

  // Unpacks everything, and expects it to be this.
  void expect_unpacks_to(ConstBytes packed, const Bytes& pages) {
    Bytes out(pages.size(), std::byte{0xee});
    const std::size_t page_count = pages.size() / kPageBytes;
    const Result<std::size_t> started = decompressor_->start(packed, out);
    ASSERT_TRUE(started);
    ASSERT_EQ(*started, page_count);
    const Result<std::size_t> ready = decompressor_->unpack_through(page_count - 1);
    ASSERT_TRUE(ready);
    ASSERT_EQ(*ready, page_count);
    ASSERT_TRUE(out == pages);
  }
  // Asks for one page after another, as long as that goes well.
  // Returns: how many pages came. Whatever the bytes, nothing else may happen.
  std::size_t unpack_any(ConstBytes packed, Bytes& out) {
    const Result<std::size_t> started = decompressor_->start(packed, out);
    if (!started) {
      EXPECT_EQ(started.error().code, EBADMSG);
      return 0;
    }
    EXPECT_GE(*started, 2U);
    EXPECT_LE(*started, out.size() / kPageBytes);
    std::size_t ready = 0;
    while (ready < *started) {
      const Result<std::size_t> more = decompressor_->unpack_through(ready);
      if (!more) {
        EXPECT_EQ(more.error().code, EBADMSG);
        // Only start helps, but asking again must be safe.
        static_cast<void>(decompressor_->unpack_through(*started - 1));
        static_cast<void>(decompressor_->unpack_through(0));
        return ready;
      }
      EXPECT_GT(*more, ready);
      ready = *more;
    }
    return ready;
  }
  // The same for damaged bytes of a cluster with these pages, which then unpack to the same pages
  // as far as they unpack, when the damage is a missing end.
  void expect_prefix(ConstBytes packed, const Bytes& pages) {
    Bytes out(pages.size(), std::byte{0xee});
    const std::size_t ready = unpack_any(packed, out);
    ASSERT_EQ(std::memcmp(out.data(), pages.data(), ready * kPageBytes), 0);
  }

  std::unique_ptr<ClusterCompressor> compressor_ = compressor_of(3);
  std::unique_ptr<ClusterDecompressor> decompressor_ = ClusterDecompressor::make().value();
};

// --- there and back ------------------------------------------------------------------------------

TEST_F(ClusterCodecTest, BringsBackEverySizeOfEveryKind) {
  for (const int level : {-5, 1, 3}) {
    const auto compressor = compressor_of(level);
    for (std::size_t page_count = 2; page_count <= kClusterMostPages; ++page_count) {
      for (const PageKind kind : kPageKinds) {
        const Bytes pages = pages_of(page_count, kind, page_count);
        expect_unpacks_to(pack(*compressor, pages), pages);
        ASSERT_FALSE(HasFatalFailure()) << page_count << " pages, kind " << static_cast<int>(kind);
      }
      const Bytes pages = mixed_pages(page_count, page_count);
      expect_unpacks_to(pack(*compressor, pages), pages);
    }
  }
}

TEST_F(ClusterCodecTest, BringsBackTheEndsOfEveryLevel) {
  for (const int level : {-131072, -1000, -1, 2, 4, 5, 9, 13, 16, 19, 22}) {
    const auto compressor = compressor_of(level);
    for (const std::size_t page_count : {2, 3, 4, 5, 8, 9, 16, 31, 32}) {
      const Bytes pages = mixed_pages(page_count, static_cast<std::uint64_t>(level + 200'000));
      expect_unpacks_to(pack(*compressor, pages), pages);
      ASSERT_FALSE(HasFatalFailure()) << "level " << level << ", " << page_count << " pages";
    }
  }
}

TEST_F(ClusterCodecTest, PacksSmallClustersWithACompressorForLargeOnes) {
  for (const int level : {-1, 1, 3, 9, 19}) {
    for (const std::size_t most_pages : {2, 3, 4, 8, 17, 32}) {
      const auto compressor = compressor_of(level, most_pages);
      for (std::size_t page_count = most_pages; page_count >= 2; page_count -= page_count / 2) {
        const Bytes pages = mixed_pages(page_count, most_pages);
        expect_unpacks_to(pack(*compressor, pages), pages);
        if (page_count == 2) break;
      }
    }
  }
}

TEST_F(ClusterCodecTest, RefusesLevelsAndSizesThatItDoesNotHave) {
  const auto error_of = [](int level, std::size_t most_pages) {
    const auto made = ClusterCompressor::make(level, most_pages);
    return made ? 0 : made.error().code;
  };
  for (const int level : {0, 23, 1000, -131073, -2'000'000'000})
    EXPECT_EQ(error_of(level, 4), EINVAL);
  for (const std::size_t most_pages :
       {std::size_t{0}, std::size_t{1}, std::size_t{33}, ~std::size_t{0}})
    EXPECT_EQ(error_of(3, most_pages), EINVAL);
  EXPECT_EQ(error_of(22, 32), 0);
}

TEST_F(ClusterCodecTest, GainsFromNeighboursAndLosesLittleByItsBlocks) {
  const Bytes same = [] {
    Bytes pages;
    for (int i = 0; i < 16; ++i) {
      const Bytes page = pages_of(1, PageKind::Random, 5);
      pages.insert(pages.end(), page.begin(), page.end());
    }
    return pages;
  }();
  EXPECT_LT(pack(same).size(), kPageBytes + 400) << "later blocks see the pages of the first";
  const Bytes text = pages_of(32, PageKind::Text, 1);
  const std::size_t whole = pack(text).size();
  std::size_t in_fours = 0;
  for (std::size_t i = 0; i < 32; i += 4)
    in_fours += pack(ConstBytes(text).subspan(i * kPageBytes, 4 * kPageBytes)).size();
  EXPECT_LT(whole, in_fours * 95 / 100);
}

// --- room ----------------------------------------------------------------------------------------

TEST_F(ClusterCodecTest, NeverWritesBehindItsRoom) {
  for (const std::size_t page_count : {2, 5, 16}) {
    for (const PageKind kind : {PageKind::Text, PageKind::Random, PageKind::Zeros}) {
      const Bytes pages = pages_of(page_count, kind, 3);
      const Bytes packed = pack(pages);
      const std::size_t step = std::max<std::size_t>(1, packed.size() / 150);
      for (std::size_t room = 0; room < packed.size() + 40; room += room < 20 ? 1 : step) {
        Bytes out(room + 64, std::byte{0x5a});
        const auto packed_bytes = compressor_->compress(pages, MutableBytes(out).first(room));
        ASSERT_TRUE(std::all_of(out.begin() + static_cast<std::ptrdiff_t>(room), out.end(),
                                [](std::byte byte) { return byte == std::byte{0x5a}; }))
            << room;
        ASSERT_TRUE(!packed_bytes || *packed_bytes <= room) << room;
        if (packed_bytes) expect_unpacks_to(ConstBytes(out).first(*packed_bytes), pages);
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

TEST_F(ClusterCodecTest, FindsRoomForWhatShrinksInTheRoomOfItsPages) {
  for (std::size_t page_count = 2; page_count <= kClusterMostPages; ++page_count) {
    Bytes pages = pages_of(page_count, PageKind::Random, page_count);
    std::fill(pages.end() - 600, pages.end(), std::byte{0});
    Bytes out(cluster_room_bytes(page_count));
    const auto packed_bytes = compressor_->compress(pages, out);
    ASSERT_TRUE(packed_bytes) << page_count;
    expect_unpacks_to(ConstBytes(out).first(*packed_bytes), pages);
  }
}

TEST_F(ClusterCodecTest, SaysWhenPagesDoNotShrinkAndGoesOn) {
  const Bytes text = pages_of(8, PageKind::Text, 4);
  const Bytes packed = pack(text);
  for (const std::size_t page_count : {2, 8, 32}) {
    Bytes out(cluster_room_bytes(page_count));
    EXPECT_EQ(compressor_->compress(pages_of(page_count, PageKind::Random, 1), out), std::nullopt);
    EXPECT_TRUE(pack(text) == packed) << "a failure leaves nothing behind";
  }
}

TEST_F(ClusterCodecTest, PacksTheSamePagesToTheSameBytesWhateverCameBefore) {
  const Bytes first = pack(mixed_pages(16, 2));
  for (std::size_t page_count = 2; page_count <= kClusterMostPages; page_count += 5)
    pack(mixed_pages(page_count, page_count));
  EXPECT_TRUE(pack(mixed_pages(16, 2)) == first);
}

// --- partial unpacking ---------------------------------------------------------------------------

TEST_F(ClusterCodecTest, UnpacksAsFarAsAskedAndGoesOnFromThere) {
  Random random(8);
  for (int round = 0; round < 200; ++round) {
    const std::size_t page_count = 2 + random.below(31);
    const Bytes pages = mixed_pages(page_count, static_cast<std::uint64_t>(round));
    const Bytes packed = pack(pages);
    Bytes out(pages.size(), std::byte{0xee});
    ASSERT_TRUE(decompressor_->start(packed, out));
    std::size_t most = 0;
    for (int ask = 0; ask < 6; ++ask) {
      const std::size_t number = random.below(page_count);
      const Result<std::size_t> ready = decompressor_->unpack_through(number);
      ASSERT_TRUE(ready);
      const std::size_t wanted = (number / kClusterBlockPages + 1) * kClusterBlockPages;
      most = std::max(most, std::min(page_count, wanted));
      ASSERT_EQ(*ready, most) << "no block is unpacked that nobody asked for";
      ASSERT_EQ(std::memcmp(out.data(), pages.data(), most * kPageBytes), 0);
    }
  }
}

// A buffer whose bytes from `bytes` on cannot be read, not even by accident.
class FencedBytes {
 public:
  FencedBytes(ConstBytes whole, std::size_t readable)
      : room_(round_up(readable, kPageBytes) + kPageBytes + round_up(whole.size(), kPageBytes)),
        base_(static_cast<std::byte*>(
            ::mmap(nullptr, room_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    const std::size_t fence = round_up(readable, kPageBytes);
    first_ = base_ + (fence - readable);
    std::memcpy(first_, whole.data(), readable);
    EXPECT_EQ(::mprotect(base_ + fence, room_ - fence, PROT_NONE), 0);
    bytes_ = whole.size();
  }
  ~FencedBytes() { ::munmap(base_, room_); }
  FencedBytes(const FencedBytes&) = delete;
  FencedBytes& operator=(const FencedBytes&) = delete;
  [[nodiscard]] ConstBytes all() const { return {first_, bytes_}; }

 private:
  const std::size_t room_;
  std::byte* const base_;
  std::byte* first_ = nullptr;
  std::size_t bytes_ = 0;
};

TEST_F(ClusterCodecTest, NeedsOnlyThePackedBytesUpToTheBlocksEnd) {
  for (const std::size_t page_count : {5, 8, 16, 29, 32}) {
    for (const PageKind kind : {PageKind::Text, PageKind::Random, PageKind::Zeros}) {
      const Bytes pages = pages_of(page_count, kind, 6);
      const Bytes packed = pack(pages);
      for (std::size_t block = 0; block < block_count_of(page_count); ++block) {
        const FencedBytes fenced(packed, end_of_block(packed, block));
        Bytes out(pages.size());
        ASSERT_TRUE(decompressor_->start(fenced.all(), out));
        const std::size_t last = std::min(page_count, (block + 1) * kClusterBlockPages) - 1;
        const Result<std::size_t> ready = decompressor_->unpack_through(last);
        ASSERT_TRUE(ready) << "block " << block << " of " << page_count << " pages";
        ASSERT_EQ(*ready, last + 1);
        ASSERT_EQ(std::memcmp(out.data(), pages.data(), *ready * kPageBytes), 0);
      }
    }
  }
}

TEST_F(ClusterCodecTest, BeginsAnotherClusterInTheMiddleOfOne) {
  Random random(12);
  std::vector<Bytes> clusters;
  std::vector<Bytes> packed;
  for (std::uint64_t i = 0; i < 12; ++i) {
    clusters.push_back(mixed_pages(2 + random.below(31), i));
    packed.push_back(pack(clusters.back()));
  }
  Bytes out(kClusterMostPages * kPageBytes);
  for (int round = 0; round < 500; ++round) {
    const std::size_t which = random.below(clusters.size());
    const std::size_t page_count = clusters[which].size() / kPageBytes;
    const std::size_t number = random.below(page_count);
    ASSERT_EQ(decompressor_->start(packed[which], out).value(), page_count);
    if (random.below(5) == 0) continue;
    if (random.below(5) == 0) {
      ASSERT_EQ(decompressor_->unpack_through(page_count).error().code, EBADMSG);
      continue;
    }
    const std::size_t ready = decompressor_->unpack_through(number).value();
    ASSERT_GT(ready, number);
    ASSERT_EQ(std::memcmp(out.data(), clusters[which].data(), ready * kPageBytes), 0);
  }
}

TEST_F(ClusterCodecTest, NeedsNoMoreRoomThanItsPagesAndTakesMore) {
  const Bytes pages = mixed_pages(7, 1);
  const Bytes packed = pack(pages);
  expect_unpacks_to(packed, pages);
  Bytes ample(kClusterMostPages * kPageBytes, std::byte{0xee});
  ASSERT_EQ(decompressor_->start(packed, ample).value(), 7U);
  ASSERT_EQ(decompressor_->unpack_through(6).value(), 7U);
  EXPECT_EQ(std::memcmp(ample.data(), pages.data(), pages.size()), 0);
  EXPECT_EQ(ample[pages.size()], std::byte{0xee});
  Bytes small(pages.size() - 1);
  EXPECT_EQ(decompressor_->start(packed, small).error().code, EBADMSG);
  EXPECT_EQ(decompressor_->start(packed, {}).error().code, EBADMSG);
}

TEST_F(ClusterCodecTest, TakesBytesBehindTheClusterForNothing) {
  const Bytes pages = mixed_pages(9, 1);
  Bytes packed = pack(pages);
  packed.resize(packed.size() + 5000);
  expect_unpacks_to(packed, pages);
  std::fill(packed.end() - 5000, packed.end(), std::byte{0xff});
  expect_unpacks_to(packed, pages);
}

// --- what is no cluster --------------------------------------------------------------------------

TEST_F(ClusterCodecTest, HasNothingBeforeItsFirstCluster) {
  EXPECT_EQ(decompressor_->unpack_through(0).error().code, EBADMSG);
  Bytes out(kClusterMostPages * kPageBytes);
  ASSERT_FALSE(decompressor_->start({}, out));
  EXPECT_EQ(decompressor_->unpack_through(0).error().code, EBADMSG);
}

TEST_F(ClusterCodecTest, HasNothingOfTheClusterBeforeOneThatIsRefused) {
  const Bytes packed = pack(mixed_pages(8, 1));
  Bytes out(8 * kPageBytes);
  ASSERT_TRUE(decompressor_->start(packed, out));
  ASSERT_TRUE(decompressor_->unpack_through(7));
  ASSERT_FALSE(decompressor_->start(ConstBytes(packed).first(3), out));
  EXPECT_EQ(decompressor_->unpack_through(0).error().code, EBADMSG);
}

TEST_F(ClusterCodecTest, RefusesHeadersThatItDoesNotWrite) {
  const Bytes good = pack(mixed_pages(8, 1));
  Bytes out(kClusterMostPages * kPageBytes);
  for (const int page_count : {0, 1, 33, 64, 128, 255}) {
    Bytes packed = good;
    packed[0] = static_cast<std::byte>(page_count);
    EXPECT_EQ(decompressor_->start(packed, out).error().code, EBADMSG) << page_count;
  }
  for (const int spare : {1, 2, 128, 255}) {
    Bytes packed = good;
    packed[1] = static_cast<std::byte>(spare);
    EXPECT_EQ(decompressor_->start(packed, out).error().code, EBADMSG) << spare;
  }
  for (std::size_t bytes = 0; bytes <= kFixedHeaderBytes + kBlockEndBytes; ++bytes)
    EXPECT_EQ(decompressor_->start(ConstBytes(good).first(bytes), out).error().code, EBADMSG);
}

TEST_F(ClusterCodecTest, GivesNoPageOfAWrongCountAsTheRightOne) {
  const Bytes pages = mixed_pages(8, 1);
  const Bytes good = pack(pages);
  for (int page_count = 2; page_count <= 32; ++page_count) {
    Bytes packed = good;
    packed[0] = static_cast<std::byte>(page_count);
    Bytes out(kClusterMostPages * kPageBytes);
    const std::size_t ready = unpack_any(packed, out);
    if (block_count_of(static_cast<std::size_t>(page_count)) != 2) {
      EXPECT_EQ(ready, 0U) << page_count;
    } else {
      EXPECT_EQ(std::memcmp(out.data(), pages.data(), std::min<std::size_t>(ready, 8) * kPageBytes),
                0);
    }
  }
}

TEST_F(ClusterCodecTest, RefusesBlockEndsThatAreNone) {
  const Bytes pages = mixed_pages(16, 1);
  const Bytes good = pack(pages);
  for (std::size_t block = 0; block < 3; ++block) {
    const std::size_t end = end_of_block(good, block);
    for (const std::size_t wrong :
         {std::size_t{0}, std::size_t{1}, std::size_t{11}, end - 1, end / 2, end + 1,
          good.size() - 1, good.size(), good.size() + 1, (std::size_t{1} << 24) - 1}) {
      Bytes packed = good;
      set_end_of_block(packed, block, wrong);
      expect_prefix(packed, pages);
      ASSERT_FALSE(HasFatalFailure()) << "block " << block << " ends at " << wrong;
    }
    Bytes packed = good;
    set_end_of_block(packed, block, good.size() + 1);
    Bytes out(pages.size());
    EXPECT_EQ(unpack_any(packed, out), block * kClusterBlockPages);
  }
}

TEST_F(ClusterCodecTest, GivesRightPagesOrNoneOfATruncatedCluster) {
  for (const std::size_t page_count : {2, 4, 5, 16}) {
    const Bytes pages = mixed_pages(page_count, page_count);
    const Bytes packed = pack(pages);
    const std::size_t step = std::max<std::size_t>(1, packed.size() / 400);
    for (std::size_t bytes = 0; bytes < packed.size(); bytes += bytes < 64 ? 1 : step) {
      // Ends where the heap's guard bytes begin.
      const Bytes part(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(bytes));
      Bytes out(pages.size(), std::byte{0xee});
      const std::size_t ready = unpack_any(part, out);
      ASSERT_LT(ready, page_count) << bytes;
      ASSERT_EQ(std::memcmp(out.data(), pages.data(), ready * kPageBytes), 0) << bytes;
    }
  }
  expect_unpacks_to(pack(pages_of(2, PageKind::Zeros, 0)), Bytes(2 * kPageBytes));
}

TEST_F(ClusterCodecTest, SurvivesFlippedBits) {
  Random random(31);
  const Bytes sound = mixed_pages(6, 99);
  const Bytes sound_packed = pack(sound);
  for (int round = 0; round < 3000; ++round) {
    const Bytes pages = mixed_pages(2 + random.below(12), static_cast<std::uint64_t>(round % 40));
    Bytes packed = pack(pages);
    for (std::uint64_t flips = 1 + random.below(3); flips > 0; --flips) {
      // Often in the header of the stream or of the frame.
      const std::size_t at = random.below(random.below(2) == 0 ? packed.size() : 24);
      packed[at] ^= static_cast<std::byte>(1U << random.below(8));
    }
    Bytes out(kClusterMostPages * kPageBytes);
    unpack_any(packed, out);
    if (round % 16 == 0) expect_unpacks_to(sound_packed, sound);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST_F(ClusterCodecTest, SurvivesRandomBytes) {
  Random random(32);
  Bytes out(kClusterMostPages * kPageBytes);
  for (int round = 0; round < 3000; ++round) {
    Bytes packed(random.below(300));
    for (std::byte& byte : packed) byte = static_cast<std::byte>(random.next());
    if (packed.size() > 2) {
      packed[0] = static_cast<std::byte>(2 + random.below(31));
      packed[1] = std::byte{0};
    }
    unpack_any(packed, out);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

// Frames as zstd allows them and we never write them: what they claim must not be believed.
TEST_F(ClusterCodecTest, SurvivesFramesThatClaimMuch) {
  const Bytes packed = pack(pages_of(2, PageKind::Text, 1));
  Bytes out(2 * kPageBytes);
  for (int descriptor = 0; descriptor < 256; ++descriptor) {
    for (const int next : {0x00, 0x50, 0x88, 0xf8, 0xff}) {
      Bytes damaged = packed;
      damaged[kFixedHeaderBytes] = static_cast<std::byte>(descriptor);
      damaged[kFixedHeaderBytes + 1] = static_cast<std::byte>(next);
      unpack_any(damaged, out);
      std::fill_n(damaged.begin() + kFixedHeaderBytes + 1, 8, std::byte{0xff});
      unpack_any(damaged, out);
      ASSERT_FALSE(HasFailure()) << "descriptor " << descriptor;
    }
  }
  expect_unpacks_to(packed, pages_of(2, PageKind::Text, 1));
}

TEST_F(ClusterCodecTest, SaysWhatItsContextsTake) {
  EXPECT_GT(compressor_->memory_bytes(), 100U << 10);
  EXPECT_LT(compressor_of(1, 2)->memory_bytes(), compressor_->memory_bytes());
  EXPECT_GT(decompressor_->memory_bytes(), 50U << 10);
  EXPECT_LT(decompressor_->memory_bytes(), 300U << 10);
}

}  // namespace
}  // namespace uzram
