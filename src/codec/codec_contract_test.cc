// SPDX-License-Identifier: Apache-2.0
// The contract of codec.h, for every row of the table.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "codec/codec.h"
#include "codec/codec_rows.h"
#include "codec/page_kinds.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kGuardBytes = 64;
constexpr std::byte kGuard{0xd7};

// Memory between guard bytes, which a codec must leave alone.
class Guarded {
 public:
  explicit Guarded(std::size_t bytes) : memory_(bytes + 2 * kGuardBytes, kGuard) {}
  MutableBytes bytes() {
    return MutableBytes(memory_).subspan(kGuardBytes, memory_.size() - 2 * kGuardBytes);
  }
  bool is_intact() const {
    const auto is_guard = [](std::byte byte) { return byte == kGuard; };
    return std::all_of(memory_.begin(), memory_.begin() + kGuardBytes, is_guard) &&
           std::all_of(memory_.end() - kGuardBytes, memory_.end(), is_guard);
  }

 private:
  Bytes memory_;
};

Bytes page(PageKind kind, std::size_t bytes, std::uint64_t seed = 1) {
  Bytes made(bytes);
  PageMaker(seed).fill(kind, made);
  return made;
}

std::shared_ptr<const std::string> text_dictionary() {
  const Bytes text = page(PageKind::Text, 20000, 77);
  return std::make_shared<const std::string>(reinterpret_cast<const char*>(text.data()),
                                             text.size());
}

// A codec with one context of each kind, as verbs.
class Packer {
 public:
  Packer(const CodecInfo& row, const CodecParams& params) : codec_(row.make(params).value()) {
    compressor_ = codec_->make_compressor().value();
    decompressor_ = codec_->make_decompressor().value();
  }

  std::optional<Bytes> pack(ConstBytes block, std::size_t room_bytes) {
    Guarded out(room_bytes);
    const auto packed_bytes = compressor_->compress(block, out.bytes());
    EXPECT_TRUE(out.is_intact()) << "wrote outside out";
    if (!packed_bytes) return std::nullopt;
    EXPECT_LE(*packed_bytes, room_bytes);
    EXPECT_GE(*packed_bytes, 1U);
    const MutableBytes used = out.bytes().first(*packed_bytes);
    return Bytes(used.begin(), used.end());
  }
  Bytes pack_roomy(ConstBytes block) { return pack(block, 2 * block.size() + 1024).value(); }

  Result<Bytes> unpack(ConstBytes packed, std::size_t block_bytes) {
    Guarded block(block_bytes);
    const Result<void> outcome = decompressor_->decompress(packed, block.bytes());
    EXPECT_TRUE(block.is_intact()) << "wrote outside block";
    if (!outcome) return tl::unexpected<Error>(outcome.error());
    const MutableBytes bytes = block.bytes();
    return Bytes(bytes.begin(), bytes.end());
  }

  // The front of the block, and what else came with it.
  Result<Bytes> unpack_front(ConstBytes packed, std::size_t block_bytes, std::size_t wanted_bytes) {
    Guarded block(block_bytes);
    const auto ready = decompressor_->decompress_front(packed, block.bytes(), wanted_bytes);
    EXPECT_TRUE(block.is_intact()) << "wrote outside block";
    if (!ready) return tl::unexpected<Error>(ready.error());
    EXPECT_GE(*ready, wanted_bytes);
    EXPECT_LE(*ready, block_bytes);
    const MutableBytes front = block.bytes().first(*ready);
    return Bytes(front.begin(), front.end());
  }

  bool brings_back(ConstBytes block) {
    const Result<Bytes> back = unpack(pack_roomy(block), block.size());
    return back && std::equal(back->begin(), back->end(), block.begin(), block.end());
  }

 private:
  std::unique_ptr<Codec> codec_;
  std::unique_ptr<Compressor> compressor_;
  std::unique_ptr<Decompressor> decompressor_;
};

class EveryCodec : public testing::TestWithParam<CodecInfo> {
 protected:
  static Packer packer(std::size_t block_bytes = kPageBytes) {
    CodecParams params;
    params.block_bytes = block_bytes;
    return Packer(GetParam(), params);
  }
  static int outcome_of(const CodecParams& params) {
    const auto made = GetParam().make(params);
    return made ? 0 : made.error().code;
  }
};

class EveryCodecWithDictionary : public EveryCodec {};

TEST_P(EveryCodec, BringsEveryKindOfPageBack) {
  for (std::size_t shift = 0; shift <= 8; ++shift) {
    Packer codec = packer(kPageBytes << shift);
    for (const PageKind kind : kPageKinds)
      EXPECT_TRUE(codec.brings_back(page(kind, kPageBytes << shift)))
          << "kind " << static_cast<int>(kind) << ", block " << (kPageBytes << shift);
  }
}

TEST_P(EveryCodec, UnpacksAsMuchOfTheFrontAsIsWanted) {
  constexpr std::size_t kBlockBytes = 4 * kPageBytes;
  Packer codec = packer(kBlockBytes);
  for (const PageKind kind : kPageKinds) {
    const Bytes block = page(kind, kBlockBytes);
    const Bytes packed = codec.pack_roomy(block);
    for (const std::size_t wanted : {std::size_t{1}, std::size_t{5}, kPageBytes - 1, kPageBytes,
                                     3 * kPageBytes, kBlockBytes}) {
      const auto front = codec.unpack_front(packed, kBlockBytes, wanted);
      ASSERT_TRUE(front) << static_cast<int>(kind) << ", " << wanted;
      EXPECT_TRUE(std::equal(front->begin(), front->end(), block.begin())) << wanted;
    }
  }
}

TEST_P(EveryCodec, UnpacksNoFrontThatIsNotThere) {
  constexpr std::size_t kBlockBytes = 2 * kPageBytes;
  Packer codec = packer(kBlockBytes);
  const Bytes packed = codec.pack_roomy(page(PageKind::Records, kPageBytes));
  EXPECT_EQ(codec.unpack_front(packed, kBlockBytes, kPageBytes + 1).error().code, EBADMSG);
}

TEST_P(EveryCodec, TakesSmallerBlocksThanItWasMadeFor) {
  Packer codec = packer(kMaxBlockBytes);
  for (std::size_t shift = 0; shift <= 8; ++shift)
    EXPECT_TRUE(codec.brings_back(page(PageKind::Records, kPageBytes << shift))) << shift;
}

TEST_P(EveryCodec, ShrinksWhatCanShrink) {
  Packer codec = packer();
  for (const PageKind kind : {PageKind::Zeros, PageKind::SameByte, PageKind::SparseIntegers})
    EXPECT_LT(codec.pack_roomy(page(kind, kPageBytes)).size(), kPageBytes / 2);
}

TEST_P(EveryCodec, DoesNotFitRandomBytesIntoLessThanABlock) {
  Packer codec = packer();
  EXPECT_EQ(codec.pack(page(PageKind::Random, kPageBytes), kPageBytes - 1), std::nullopt);
}

TEST_P(EveryCodec, DoesNotDependOnWhatWasPackedBefore) {
  Packer used = packer();
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    const Bytes block = page(kPageKinds[seed % kPageKinds.size()], kPageBytes, seed);
    EXPECT_EQ(used.pack_roomy(block), packer().pack_roomy(block)) << "seed " << seed;
  }
}

TEST_P(EveryCodec, NeverFitsIntoTooLittleRoomAndAlwaysIntoAmpleRoom) {
  for (const PageKind kind : kPageKinds) {
    Packer codec = packer();
    const Bytes block = page(kind, kPageBytes);
    const std::size_t needed_bytes = codec.pack_roomy(block).size();
    for (std::size_t room_bytes = 0; room_bytes < needed_bytes;
         room_bytes += 1 + needed_bytes / 100)
      EXPECT_EQ(codec.pack(block, room_bytes), std::nullopt) << room_bytes;
    EXPECT_EQ(codec.pack(block, needed_bytes - 1), std::nullopt);
    for (std::size_t spare_bytes = 0; spare_bytes < 2 * kFitSlackBytes; ++spare_bytes) {
      const auto packed = codec.pack(block, needed_bytes + spare_bytes);
      if (packed) {
        EXPECT_EQ(codec.unpack(*packed, kPageBytes), block);
      } else {
        EXPECT_LT(spare_bytes, kFitSlackBytes);
      }
    }
  }
}

TEST_P(EveryCodec, WorksAfterABlockThatDidNotFit) {
  Packer codec = packer();
  const Bytes block = page(PageKind::Text, kPageBytes);
  const Bytes packed = codec.pack_roomy(block);
  EXPECT_EQ(codec.pack(block, 100), std::nullopt);
  EXPECT_EQ(codec.pack_roomy(block), packed);
}

TEST_P(EveryCodec, RefusesTruncatedData) {
  Packer codec = packer();
  const Bytes packed = codec.pack_roomy(page(PageKind::Records, kPageBytes));
  // 842 pads with up to seven bytes that say nothing.
  const std::size_t telling_bytes = packed.size() - (GetParam().id == CodecId::C842 ? 8 : 0);
  for (std::size_t bytes = 0; bytes < telling_bytes; ++bytes) {
    const auto outcome = codec.unpack(ConstBytes(packed).first(bytes), kPageBytes);
    ASSERT_FALSE(outcome) << bytes << " of " << packed.size();
    ASSERT_EQ(outcome.error().code, EBADMSG);
  }
}

TEST_P(EveryCodec, RefusesTheWrongBlockSize) {
  Packer codec = packer(4 * kPageBytes);
  const Bytes packed = codec.pack_roomy(page(PageKind::Text, 2 * kPageBytes));
  for (const std::size_t bytes : {kPageBytes, 4 * kPageBytes}) {
    const auto outcome = codec.unpack(packed, bytes);
    ASSERT_FALSE(outcome) << bytes;
    EXPECT_EQ(outcome.error().code, EBADMSG);
  }
}

TEST_P(EveryCodec, SurvivesFlippedBits) {
  Packer codec = packer();
  Random random(5);
  for (const PageKind kind : {PageKind::Text, PageKind::Records, PageKind::FarCopies}) {
    const Bytes block = page(kind, kPageBytes);
    const Bytes packed = codec.pack_roomy(block);
    for (int round = 0; round < 2000; ++round) {
      Bytes damaged = packed;
      for (std::uint64_t flips = 1 + random.below(3); flips > 0; --flips)
        damaged[random.below(damaged.size())] ^= std::byte(1U << random.below(8));
      const auto outcome = codec.unpack(damaged, kPageBytes);
      EXPECT_TRUE(outcome || outcome.error().code == EBADMSG);
    }
    EXPECT_EQ(codec.unpack(packed, kPageBytes), block) << "a bad block must not spoil the next";
  }
}

TEST_P(EveryCodec, SurvivesRandomBytes) {
  Packer codec = packer();
  Random random(6);
  for (int round = 0; round < 2000; ++round) {
    Bytes noise(random.below(200));
    for (std::byte& byte : noise) byte = static_cast<std::byte>(random.next());
    const auto outcome = codec.unpack(noise, kPageBytes);
    EXPECT_TRUE(outcome || outcome.error().code == EBADMSG);
  }
}

TEST_P(EveryCodec, TakesEveryLevelOfItsRangeAndNoOther) {
  const LevelRange range = GetParam().level;
  CodecParams params;
  if (range.lowest == 0 && range.highest == 0) {
    for (const int level : {-1, 0, 1, 9}) {
      params.level = level;
      EXPECT_EQ(outcome_of(params), EINVAL) << level;
    }
    return;
  }
  const std::set<int> levels = {range.lowest,      range.lowest + 1, range.standard, 5, 9,
                                range.highest - 1, range.highest};
  for (const int level : levels) {
    params.level = level;
    ASSERT_EQ(outcome_of(params), 0) << level;
    Packer codec(GetParam(), params);
    EXPECT_TRUE(codec.brings_back(page(PageKind::Text, kPageBytes))) << level;
    EXPECT_TRUE(codec.brings_back(page(PageKind::Random, kPageBytes))) << level;
  }
  for (const int level : {range.lowest - 1, range.highest + 1}) {
    params.level = level;
    EXPECT_EQ(outcome_of(params), EINVAL) << level;
  }
}

TEST_P(EveryCodec, RefusesBlocksThatAreNone) {
  for (const std::size_t bytes :
       {std::size_t{0}, kPageBytes / 2, kPageBytes + 1, 3 * kPageBytes, 2 * kMaxBlockBytes}) {
    CodecParams params;
    params.block_bytes = bytes;
    EXPECT_EQ(outcome_of(params), EINVAL) << bytes;
  }
}

TEST_P(EveryCodec, TakesWindowBitsOnlyWhereItSaysSo) {
  for (const int bits : {-15, -11, -8, 8, 11, 15}) {
    CodecParams params;
    params.window_bits = bits;
    EXPECT_EQ(outcome_of(params), GetParam().takes_window_bits ? 0 : EINVAL) << bits;
  }
  for (const int bits : {-16, -7, 0, 7, 16, 31}) {
    CodecParams params;
    params.window_bits = bits;
    EXPECT_EQ(outcome_of(params), EINVAL) << bits;
  }
}

TEST_P(EveryCodec, UsesADictionaryOnBothSidesOrRefusesIt) {
  CodecParams params;
  params.dictionary = text_dictionary();
  if (!GetParam().takes_dictionary) {
    EXPECT_EQ(outcome_of(params), EINVAL);
    return;
  }
  const Bytes block = page(PageKind::Text, kPageBytes, 3);
  Packer with(GetParam(), params);
  Packer without = packer();
  const Bytes packed = with.pack_roomy(block);
  EXPECT_LT(packed.size(), without.pack_roomy(block).size());
  EXPECT_EQ(with.unpack(packed, kPageBytes), block);
  EXPECT_NE(without.unpack(packed, kPageBytes), block);
}

TEST_P(EveryCodecWithDictionary, TakesDictionariesAndBlocksOfAnySize) {
  for (const std::size_t dictionary_bytes : {1, 3, 7, 8, 100, 4096, 70000, 1 << 20}) {
    const Bytes bytes = page(PageKind::Records, 1 << 20, 9);
    CodecParams params;
    params.dictionary = std::make_shared<const std::string>(
        reinterpret_cast<const char*>(bytes.data()), dictionary_bytes);
    for (const std::size_t shift : {0, 2, 4, 5, 8}) {
      params.block_bytes = kPageBytes << shift;
      Packer codec(GetParam(), params);
      EXPECT_TRUE(codec.brings_back(page(PageKind::Records, params.block_bytes, 10)))
          << dictionary_bytes << ", " << params.block_bytes;
      EXPECT_TRUE(codec.brings_back(page(PageKind::Random, kPageBytes)));
    }
  }
}

TEST_P(EveryCodec, TakesAnEmptyDictionaryForNone) {
  CodecParams params;
  params.dictionary = std::make_shared<const std::string>();
  ASSERT_EQ(outcome_of(params), 0);
  const Bytes block = page(PageKind::Text, kPageBytes);
  EXPECT_EQ(Packer(GetParam(), params).pack_roomy(block), packer().pack_roomy(block));
}

TEST_P(EveryCodec, LeavesItsContextsUsableWhenItGoes) {
  CodecParams params;
  if (GetParam().takes_dictionary) params.dictionary = text_dictionary();
  std::unique_ptr<Codec> codec = GetParam().make(params).value();
  const std::unique_ptr<Compressor> compressor = codec->make_compressor().value();
  const std::unique_ptr<Decompressor> decompressor = codec->make_decompressor().value();
  codec.reset();
  params.dictionary.reset();
  const Bytes block = page(PageKind::Text, kPageBytes);
  Bytes out(kPageBytes);
  Bytes back(kPageBytes);
  const auto packed_bytes = compressor->compress(block, out);
  ASSERT_TRUE(packed_bytes);
  ASSERT_TRUE(decompressor->decompress(ConstBytes(out).first(*packed_bytes), back));
  EXPECT_EQ(back, block);
}

TEST_P(EveryCodec, ServesTwoThreadsWithContextsOfTheirOwn) {
  CodecParams params;
  if (GetParam().takes_dictionary) params.dictionary = text_dictionary();
  const std::unique_ptr<Codec> codec = GetParam().make(params).value();
  const auto work = [&codec](std::uint64_t seed, int* failures) {
    const auto compressor = codec->make_compressor().value();
    const auto decompressor = codec->make_decompressor().value();
    Bytes out(2 * kPageBytes);
    Bytes back(kPageBytes);
    for (std::uint64_t round = 0; round < 100; ++round) {
      const Bytes block = page(kPageKinds[round % kPageKinds.size()], kPageBytes, seed + round);
      const auto packed_bytes = compressor->compress(block, out);
      const bool is_back =
          packed_bytes && decompressor->decompress(ConstBytes(out).first(*packed_bytes), back);
      if (!is_back || back != block) ++*failures;
    }
  };
  int first_failures = 0;
  int second_failures = 0;
  std::thread other(work, 1000, &second_failures);
  work(1, &first_failures);
  other.join();
  EXPECT_EQ(first_failures, 0);
  EXPECT_EQ(second_failures, 0);
}

INSTANTIATE_TEST_SUITE_P(Codecs, EveryCodec, testing::ValuesIn(every_row()), row_name);
INSTANTIATE_TEST_SUITE_P(Codecs, EveryCodecWithDictionary,
                         testing::ValuesIn(rows_with_dictionary()), row_name);

TEST(CodecTable, ListsTheKernelsNamesInItsOrder) {
  std::vector<std::string_view> names;
  for (const CodecInfo& row : all_codecs()) names.push_back(row.name);
  EXPECT_THAT(names,
              testing::ElementsAre("lzo-rle", "lzo", "lz4", "lz4hc", "zstd", "deflate", "842"));
}

TEST(CodecTable, FindsRowsByNameAndById) {
  for (const CodecInfo& row : all_codecs()) {
    EXPECT_EQ(find_codec(row.name), &row);
    EXPECT_EQ(find_codec(row.id), &row);
  }
  EXPECT_EQ(find_codec("lz5"), nullptr);
  EXPECT_EQ(find_codec(""), nullptr);
  EXPECT_EQ(find_codec(static_cast<CodecId>(0)), nullptr);
}

}  // namespace
}  // namespace uzram
