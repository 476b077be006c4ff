// SPDX-License-Identifier: Apache-2.0
// Counts every call of the allocator while contexts work, also those from inside libraries.
#include <gtest/gtest.h>

#include <vector>

#include "base/counted_malloc.h"
#include "codec/cluster_codec.h"
#include "codec/codec.h"
#include "codec/codec_rows.h"
#include "codec/page_kinds.h"

namespace uzram {
namespace {

// Every kind of page in every size up to block_bytes, into ample and into too little room.
std::size_t allocations_while_working(const CodecInfo& row, const CodecParams& params) {
  const auto codec = row.make(params).value();
  const auto compressor = codec->make_compressor().value();
  const auto decompressor = codec->make_decompressor().value();
  std::vector<std::byte> block(params.block_bytes);
  std::vector<std::byte> out(2 * params.block_bytes);
  std::size_t allocations = 0;
  for (std::uint64_t round = 0; round < 300; ++round) {
    const std::size_t bytes = round % 3 == 0 ? kPageBytes : params.block_bytes;
    const MutableBytes part = MutableBytes(block).first(bytes);
    PageMaker(round).fill(kPageKinds[round % kPageKinds.size()], part);
    const std::size_t before = allocation_count;
    const auto packed_bytes = compressor->compress(part, out);
    static_cast<void>(compressor->compress(part, MutableBytes(out).first(0)));
    if (packed_bytes) {
      const ConstBytes packed = ConstBytes(out).first(*packed_bytes);
      static_cast<void>(decompressor->decompress(packed, part));
      static_cast<void>(decompressor->decompress(packed.first(packed.size() / 2), part));
    }
    allocations += allocation_count - before;
  }
  return allocations;
}

class Allocation : public testing::TestWithParam<CodecInfo> {
 protected:
  void SetUp() override {
    if (!UZ_COUNTS_ALLOCATIONS) GTEST_SKIP() << "a sanitizer owns malloc";
  }
};

class AllocationWithDictionary : public Allocation {};

TEST_P(Allocation, IsSeenWhenContextsAreMade) {
  const std::size_t before = allocation_count;
  const auto codec = GetParam().make({}).value();
  const auto compressor = codec->make_compressor();
  EXPECT_GE(allocation_count - before, 2U);
}

TEST_P(Allocation, DoesNotHappenWhilePackingAndUnpacking) {
  for (const std::size_t block_bytes : {kPageBytes, 8 * kPageBytes, 64 * kPageBytes}) {
    CodecParams params;
    params.block_bytes = block_bytes;
    EXPECT_EQ(allocations_while_working(GetParam(), params), 0U) << block_bytes;
  }
}

TEST_P(Allocation, DoesNotHappenAtTheEndsOfTheLevels) {
  for (const int level : {GetParam().level.lowest, GetParam().level.highest}) {
    if (level == 0) continue;
    CodecParams params;
    params.level = level;
    EXPECT_EQ(allocations_while_working(GetParam(), params), 0U) << level;
  }
}

TEST_P(AllocationWithDictionary, DoesNotHappenWithADictionary) {
  std::string dictionary(30000, '\0');
  PageMaker(1).fill(PageKind::Text, std::as_writable_bytes(std::span(dictionary)));
  for (const std::size_t block_bytes : {kPageBytes, 16 * kPageBytes}) {
    CodecParams params;
    params.block_bytes = block_bytes;
    params.dictionary = std::make_shared<const std::string>(dictionary);
    EXPECT_EQ(allocations_while_working(GetParam(), params), 0U) << block_bytes;
  }
}

// Makes a codec and both contexts with the n-th allocation failing.
// Returns: 0 when all went well, otherwise the error of the first call that failed.
int make_all(const CodecInfo& row, const CodecParams& params, std::size_t failing_allocation) {
  allocations_to_failure = failing_allocation;
  int code = 0;
  {
    const auto codec = row.make(params);
    if (!codec) {
      code = codec.error().code;
    } else if (const auto compressor = (*codec)->make_compressor(); !compressor) {
      code = compressor.error().code;
    } else if (const auto decompressor = (*codec)->make_decompressor(); !decompressor) {
      code = decompressor.error().code;
    }
  }
  allocations_to_failure = 0;
  return code;
}

TEST_P(Allocation, FailingInAFactoryIsReportedAsSuch) {
  CodecParams params;
  if (GetParam().takes_dictionary)
    params.dictionary = std::make_shared<const std::string>(5000, 'x');
  std::size_t failing_allocation = 1;
  while (make_all(GetParam(), params, failing_allocation) == ENOMEM) ++failing_allocation;
  EXPECT_EQ(make_all(GetParam(), params, failing_allocation), 0);
  EXPECT_GE(failing_allocation, 4U) << "a codec and two contexts are three allocations at least";
}

// --- clusters of pages

class ClusterAllocation : public testing::Test {
 protected:
  void SetUp() override {
    if (!UZ_COUNTS_ALLOCATIONS) GTEST_SKIP() << "a sanitizer owns malloc";
  }
};

// Clusters of any size into ample and into too little room, unpacked in part, whole, and damaged.
std::size_t allocations_while_clustering(int level) {
  const auto compressor = ClusterCompressor::make(level, kClusterMostPages).value();
  const auto decompressor = ClusterDecompressor::make().value();
  std::vector<std::byte> pages(kClusterMostPages * kPageBytes);
  std::vector<std::byte> packed(2 * pages.size());
  std::vector<std::byte> out(pages.size());
  std::size_t allocations = 0;
  for (std::size_t round = 0; round < (level < 10 ? 62 : 20); ++round) {
    const std::size_t page_count = 2 + round % 31;
    const MutableBytes part = MutableBytes(pages).first(page_count * kPageBytes);
    PageMaker(round).fill(kPageKinds[round % kPageKinds.size()], part);
    const std::size_t before = allocation_count;
    static_cast<void>(compressor->compress(part, MutableBytes(packed).first(round * 40)));
    const auto packed_bytes = compressor->compress(part, packed);
    for (const std::size_t number : {std::size_t{0}, page_count / 2, page_count - 1, page_count}) {
      if (number % 3 != 1)
        static_cast<void>(decompressor->start(ConstBytes(packed).first(*packed_bytes), out));
      static_cast<void>(decompressor->unpack_through(number));
    }
    packed[*packed_bytes / 2] ^= std::byte{0x40};
    static_cast<void>(decompressor->start(ConstBytes(packed).first(*packed_bytes), out));
    static_cast<void>(decompressor->unpack_through(page_count - 1));
    allocations += allocation_count - before;
  }
  return allocations;
}

TEST_F(ClusterAllocation, DoesNotHappenWhilePackingAndUnpacking) {
  for (const int level : {-100, 1, 3, 9, 19, 22})
    EXPECT_EQ(allocations_while_clustering(level), 0U) << level;
}

TEST_F(ClusterAllocation, FailingInAFactoryIsReportedAsSuch) {
  const auto error_of = [](std::size_t failing_allocation, auto make) {
    allocations_to_failure = failing_allocation;
    const auto made = make();
    allocations_to_failure = 0;
    return made ? 0 : made.error().code;
  };
  const auto compressor = [] { return ClusterCompressor::make(3, kClusterMostPages); };
  const auto decompressor = [] { return ClusterDecompressor::make(); };
  for (const std::size_t failing_allocation : {1, 2}) {
    EXPECT_EQ(error_of(failing_allocation, compressor), ENOMEM);
    EXPECT_EQ(error_of(failing_allocation, decompressor), ENOMEM);
  }
  EXPECT_EQ(error_of(3, compressor), 0);
  EXPECT_EQ(error_of(3, decompressor), 0);
}

INSTANTIATE_TEST_SUITE_P(Codecs, Allocation, testing::ValuesIn(every_row()), row_name);
INSTANTIATE_TEST_SUITE_P(Codecs, AllocationWithDictionary,
                         testing::ValuesIn(rows_with_dictionary()), row_name);

}  // namespace
}  // namespace uzram
