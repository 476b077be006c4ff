// SPDX-License-Identifier: Apache-2.0
#include "preload/block_heap.h"

#include <map>
#include <random>

#include "preload/preload_fixture.h"

namespace uzram {
namespace {

TEST(BlockHeap, HasAClassForEverySizeThatWastesLessThanAQuarter) {
  std::uint64_t former = 0;
  for (std::uint64_t bytes = 1; bytes <= BlockHeap::kMostSpanBlockBytes; ++bytes) {
    const std::uint64_t room = BlockHeap::class_bytes_for(bytes);
    ASSERT_GE(room, bytes);
    ASSERT_GE(room, former);
    ASSERT_LT(room - std::max(bytes, BlockHeap::kLeastBlockBytes), bytes / 4 + 1) << bytes;
    ASSERT_EQ(room, BlockHeap::class_bytes_for(room));
    former = room;
  }
}

TEST(BlockHeap, AlignsAsAsked) {
  const auto space = make_space();
  const auto heap = *BlockHeap::create(*space);
  for (std::uint64_t alignment = 1; alignment <= PagedSpace::kMostAlignment; alignment *= 2) {
    for (const std::uint64_t bytes : {300U, 5000U, 200000U}) {
      const auto block = heap->allocate(bytes, alignment);
      ASSERT_NE(nullptr, block.start);
      EXPECT_EQ(0U, reinterpret_cast<std::uint64_t>(block.start) % std::max(alignment, 16UL));
      EXPECT_GE(heap->usable_bytes(block.start), bytes);
    }
  }
  EXPECT_EQ(nullptr, heap->allocate(64, 2 * PagedSpace::kMostAlignment).start);
}

TEST(BlockHeap, GrowsLargeBlocksWhereTheyAre) {
  const auto space = make_space();
  const auto heap = *BlockHeap::create(*space);
  std::byte* const block = heap->allocate(200000, 1).start;
  std::memset(block, 0x55, 200000);
  ASSERT_TRUE(heap->try_resize(block, 3000000));
  EXPECT_TRUE(is_all(block, 200000, 0x55));
  EXPECT_EQ(round_up(3000000, kPageBytes), heap->usable_bytes(block));
  ASSERT_TRUE(heap->try_resize(block, 150000));
  EXPECT_TRUE(is_all(block, 150000, 0x55));
  EXPECT_FALSE(heap->try_resize(block, 100000));  // Of the size of a span's block.
  heap->check_invariants();
  heap->free(block);
  EXPECT_EQ(0U, space->taken_bytes());
}

TEST(BlockHeap, KnowsWhatIsItsOwn) {
  const auto space = make_space();
  const auto heap = *BlockHeap::create(*space);
  std::byte* const block = heap->allocate(5000, 1).start;
  EXPECT_TRUE(heap->owns(block));
  EXPECT_FALSE(heap->owns(space->take(1)));
  int outside = 0;
  EXPECT_FALSE(heap->owns(&outside));
}

TEST(BlockHeapDeathTest, EndsTheProcessWhenABlockIsFreedTwice) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        const auto space = make_space();
        const auto heap = *BlockHeap::create(*space);
        std::byte* const block = heap->allocate(5000, 1).start;
        std::byte* const other = heap->allocate(5000, 1).start;
        heap->free(block);
        heap->free(block);
        heap->free(other);
      },
      "taken");
}

struct Known {
  std::uint64_t bytes;
  int value;
};

TEST(BlockHeap, IsAsAMapSaysThroughRandomCommands) {
  const auto space = make_space();
  const auto heap = *BlockHeap::create(*space);
  std::mt19937_64 random(20240607);
  std::map<std::byte*, Known> blocks;
  const auto any_block = [&] {
    auto found = blocks.lower_bound(space->base() + random() % (space->bytes() / 8));
    return found == blocks.end() ? blocks.begin() : found;
  };
  for (unsigned step = 0; step < 6000; ++step) {
    const int value = static_cast<int>(random() % 255 + 1);
    const std::uint64_t bytes = std::uint64_t{1} << (8 + random() % 11);
    const std::uint64_t size = bytes + random() % bytes;
    const auto command = random() % 8;
    if (command < 4 || blocks.empty()) {
      const auto block = heap->allocate(size, 1);
      ASSERT_NE(nullptr, block.start);
      ASSERT_TRUE(!block.is_zero || is_all(block.start, size, 0));
      std::memset(block.start, value, size);
      const auto after = blocks.lower_bound(block.start);
      ASSERT_TRUE(after == blocks.end() || block.start + size <= after->first);
      ASSERT_TRUE(after == blocks.begin() ||
                  std::prev(after)->first + std::prev(after)->second.bytes <= block.start);
      blocks[block.start] = {size, value};
      continue;
    }
    const auto found = any_block();
    ASSERT_TRUE(is_all(found->first, found->second.bytes, found->second.value)) << step;
    if (command == 7 && heap->try_resize(found->first, size)) {
      ASSERT_TRUE(is_all(found->first, std::min(size, found->second.bytes), found->second.value));
      std::memset(found->first, value, size);
      found->second = {size, value};
    } else {
      heap->free(found->first);
      blocks.erase(found);
    }
    if (step % 500 == 0) heap->check_invariants();
  }
  for (const auto& [start, known] : blocks) {
    ASSERT_TRUE(is_all(start, known.bytes, known.value));
    heap->free(start);
  }
  heap->check_invariants();
  EXPECT_EQ(0U, heap->block_bytes());
  space->pager().check_invariants();
}

}  // namespace
}  // namespace uzram
