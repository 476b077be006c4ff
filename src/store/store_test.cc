// SPDX-License-Identifier: Apache-2.0
#include "store/store.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "store/store_fixture.h"

namespace uzram {
namespace {

class StoreTest : public testing::Test {
 protected:
  void TearDown() override {
    if (store_ != nullptr && !HasFatalFailure()) store_->check_invariants();
  }
  void make(std::string_view algorithm = "lz4", std::uint64_t disk_pages = 4096) {
    store_ = make_store(config_of(algorithm, disk_pages));
  }
  int write(std::uint64_t page, const Page& content) {
    return code_of(store_->write({page}, content));
  }
  int write_part(std::uint64_t page, std::size_t offset, ConstBytes data) {
    return code_of(store_->write_part({page}, offset, data));
  }
  Page read(std::uint64_t page) { return read_page_of(*store_, page); }
  int read_error(std::uint64_t page) {
    Page out;
    return code_of(store_->read({page}, out));
  }
  [[nodiscard]] SlotState state(std::uint64_t page) const {
    return store_->word_of({page}).state();
  }
  // Writes packable pages from `first` on until the limit stops it. Returns: how many fitted.
  std::uint64_t fill_up(std::uint64_t first) {
    std::uint64_t page = first;
    while (write(page, page_with_random_bytes(2000, page)) == 0) ++page;
    return page - first;
  }

  std::unique_ptr<Store> store_;
};

TEST_F(StoreTest, ReadsZerosWhereNothingWasWritten) {
  make();
  EXPECT_EQ(read(0), Page{});
  EXPECT_EQ(read(4095), Page{});
  EXPECT_EQ(store_->sums(), StoreSums{});
}

TEST_F(StoreTest, KeepsPagesNextToEachOther) {
  make();
  std::vector<std::byte> pages(8 * kPageBytes);
  for (std::size_t i = 0; i < 8; ++i)
    PageMaker(i).fill(kPageKinds[i], MutableBytes(pages).subspan(i * kPageBytes, kPageBytes));
  ASSERT_EQ(code_of(store_->write({4088}, pages)), 0);
  std::vector<std::byte> out(pages.size());
  ASSERT_EQ(code_of(store_->read({4088}, out)), 0);
  EXPECT_EQ(out, pages);
  EXPECT_EQ(store_->sums().stored_pages, 8);
}

TEST_F(StoreTest, KeepsAnyPatternInTheWordOrBehindIt) {
  make();
  const std::vector<std::uint64_t> in_word = {0, 1, ~0ULL, 0x4141414141414141, 0xffff800000000000};
  const std::vector<std::uint64_t> stored = {0x0123456789abcdef, 0x8000000000000000};
  for (const std::uint64_t pattern : in_word) {
    ASSERT_EQ(write(7, filled_page(pattern)), 0);
    EXPECT_EQ(state(7), SlotState::Same);
    EXPECT_EQ(read(7), filled_page(pattern)) << std::hex << pattern;
    EXPECT_EQ(store_->pool().resident_pages() - store_->pool().empty_pages(), 0U);
  }
  for (const std::uint64_t pattern : stored) {
    ASSERT_EQ(write(7, filled_page(pattern)), 0);
    EXPECT_EQ(state(7), SlotState::SameStored);
    EXPECT_EQ(read(7), filled_page(pattern)) << std::hex << pattern;
  }
  EXPECT_EQ(store_->sums(), (StoreSums{1, 0, 1, 0}));
}

TEST_F(StoreTest, TellsAPatternFromAPageThatEndsDifferently) {
  make();
  for (const std::size_t odd : {std::size_t{0}, std::size_t{8}, std::size_t{17}, kPageBytes - 1}) {
    Page page = filled_page(0x4141414141414141);
    page[odd] ^= std::byte{1};
    ASSERT_EQ(write(odd, page), 0);
    EXPECT_EQ(state(odd), SlotState::Packed);
    EXPECT_EQ(read(odd), page);
  }
}

TEST_F(StoreTest, KeepsRandomBytesAsTheyAre) {
  make();
  const Page page = page_of(PageKind::Random, 1);
  ASSERT_EQ(write(0, page), 0);
  EXPECT_EQ(state(0), SlotState::Raw);
  EXPECT_EQ(read(0), page);
  EXPECT_EQ(store_->sums(), (StoreSums{1, kPageBytes, 0, 1}));
  EXPECT_EQ(store_->raw_pages_since(), 1U);
  ASSERT_EQ(write(0, Page{}), 0);
  EXPECT_EQ(store_->sums().raw_pages, 0);
  EXPECT_EQ(store_->raw_pages_since(), 1U) << "it says how many there ever were";
}

// The kernel stores everything from 3,625 bytes on raw.
TEST_F(StoreTest, PacksPagesUpToTheLastBytesThatSaveMemory) {
  make();
  std::size_t largest = 0;
  for (std::size_t random_bytes = 3500; random_bytes < 4000; random_bytes += 10) {
    const Page page = page_with_random_bytes(random_bytes, random_bytes);
    ASSERT_EQ(write(random_bytes, page), 0);
    ASSERT_EQ(read(random_bytes), page);
    if (state(random_bytes) != SlotState::Packed) continue;
    largest = std::max(largest, store_->word_of({random_bytes}).packed_bytes());
  }
  EXPECT_GE(largest, 3980U);
  EXPECT_LT(largest, kPageBytes);
}

TEST_F(StoreTest, CostsAboutWhatPagesPackTo) {
  make("lz4", 16384);
  for (std::uint64_t i = 0; i < 8000; ++i) ASSERT_EQ(write(i, page_with_random_bytes(3940, i)), 0);
  const auto packed = static_cast<std::uint64_t>(store_->sums().packed_bytes);
  ASSERT_EQ(store_->sums().raw_pages, 0) << "the case is about packed pages near 4,000 bytes";
  EXPECT_LE(store_->pool().resident_pages() * kPageBytes, packed * 102 / 100);
  EXPECT_LE(store_->table_bytes() + store_->pool().metadata_bytes(), 12 * 8000U);
}

TEST_F(StoreTest, ReplacesEveryKindOfPageByEveryOther) {
  make("lz4", 512);
  std::vector<Page> kinds = {filled_page(0x0123456789abcdef), filled_page(3)};
  for (const PageKind kind : kPageKinds) kinds.push_back(page_of(kind, 5));
  for (std::size_t from = 0; from < kinds.size(); ++from) {
    for (std::size_t to = 0; to < kinds.size(); ++to) {
      ASSERT_EQ(write(9, kinds[from]), 0);
      ASSERT_EQ(write(9, kinds[to]), 0);
      ASSERT_EQ(read(9), kinds[to]) << from << " to " << to;
    }
    store_->check_invariants();
  }
  store_->free({9}, 1);
  EXPECT_EQ(store_->sums(), StoreSums{});
}

TEST_F(StoreTest, FreesRangesOfPages) {
  make();
  for (std::uint64_t i = 500; i < 600; ++i) ASSERT_EQ(write(i, page_of(PageKind::Text, i)), 0);
  store_->free({510}, 20);
  EXPECT_EQ(store_->sums().stored_pages, 80);
  EXPECT_EQ(read(509), page_of(PageKind::Text, 509));
  EXPECT_EQ(read(510), Page{});
  EXPECT_EQ(read(529), Page{});
  EXPECT_EQ(read(530), page_of(PageKind::Text, 530));
  store_->free({0}, 4096);
  store_->free({0}, 4096);
  EXPECT_EQ(store_->sums(), StoreSums{});
  store_->compact();
  EXPECT_EQ(store_->pool().resident_pages(), 0U);
}

TEST_F(StoreTest, ReadsAndWritesPartsOfPages) {
  make();
  Page mirror = page_of(PageKind::Text, 3);
  ASSERT_EQ(write(1, mirror), 0);
  Random random(4);
  for (int round = 0; round < 500; ++round) {
    const std::size_t offset = random.below(kPageBytes + 1);
    const std::size_t bytes = random.below(kPageBytes - offset + 1);
    const MutableBytes part = MutableBytes(mirror).subspan(offset, bytes);
    PageMaker(random.next()).fill(kPageKinds[random.below(kPageKinds.size())], part);
    ASSERT_EQ(write_part(1, offset, part), 0);
    std::vector<std::byte> out(bytes);
    ASSERT_EQ(code_of(store_->read_part({1}, offset, out)), 0);
    ASSERT_TRUE(std::equal(out.begin(), out.end(), part.begin()));
  }
  EXPECT_EQ(read(1), mirror);
}

TEST_F(StoreTest, WritesAPartOfAPageThatHoldsNothing) {
  make();
  const std::array<std::byte, 3> part = {std::byte{1}, std::byte{2}, std::byte{3}};
  ASSERT_EQ(write_part(0, kPageBytes - 3, part), 0);
  Page expected{};
  std::copy(part.begin(), part.end(), expected.end() - 3);
  EXPECT_EQ(read(0), expected);
}

// --- limits --------------------------------------------------------------------------------------

TEST_F(StoreTest, LeavesTheOldPageWhenTheLimitForbidsALargerOne) {
  make();
  const Page small = page_of(PageKind::Text, 1);
  ASSERT_EQ(write(0, small), 0);
  ASSERT_EQ(write(1, filled_page(5)), 0);
  store_->pool().set_limit_pages(8);
  ASSERT_GT(fill_up(2), 5U);
  EXPECT_EQ(write(0, page_of(PageKind::Random, 2)), ENOSPC);
  EXPECT_EQ(read(0), small);
  EXPECT_EQ(write(1, page_of(PageKind::Random, 2)), ENOSPC);
  EXPECT_EQ(read(1), filled_page(5));
  EXPECT_EQ(write(4000, page_of(PageKind::Random, 2)), ENOSPC);
  EXPECT_EQ(read(4000), Page{});
  EXPECT_EQ(write_part(0, 0, ConstBytes(page_of(PageKind::Random, 3)).first(4000)), ENOSPC);
  EXPECT_EQ(read(0), small);
  EXPECT_LE(store_->pool().resident_pages(), 8U);
}

TEST_F(StoreTest, ShrinksPagesAtTheLimit) {
  make();
  store_->pool().set_limit_pages(16);
  const std::uint64_t count = fill_up(0);
  for (std::uint64_t page = 0; page < count; ++page) {
    const Page shrunk = page_with_random_bytes(page % 1500, page + 1);
    ASSERT_EQ(write(page, shrunk), 0) << page;
    ASSERT_EQ(read(page), shrunk);
  }
}

TEST_F(StoreTest, ReplacesPagesOfTheSameSizeAtTheLimit) {
  make();
  store_->pool().set_limit_pages(16);
  const std::uint64_t count = fill_up(0);
  for (std::uint64_t page = 0; page < count; ++page)
    ASSERT_EQ(write(page, page_with_random_bytes(2000, page + 99)), 0) << page;
}

TEST_F(StoreTest, WritesAgainOnceSomethingWasFreedAtTheLimit) {
  make();
  store_->pool().set_limit_pages(16);
  const std::uint64_t count = fill_up(0);
  EXPECT_EQ(write(3000, page_of(PageKind::Random, 1)), ENOSPC);
  store_->free({0}, count);
  EXPECT_EQ(store_->sums().stored_pages, 0);
  EXPECT_EQ(write(3000, page_of(PageKind::Random, 1)), 0) << "empty pages of another size serve";
  EXPECT_GE(fill_up(0), count - 3);
}

TEST_F(StoreTest, FreesWhenTheLimitIsFarBelowWhatIsUsed) {
  make();
  for (std::uint64_t page = 0; page < 200; ++page)
    ASSERT_EQ(write(page, page_of(PageKind::Random, page)), 0);
  store_->pool().set_limit_pages(1);
  EXPECT_EQ(read(100), page_of(PageKind::Random, 100));
  EXPECT_EQ(write(300, page_of(PageKind::Text, 1)), ENOSPC);
  EXPECT_EQ(write(300, filled_page(6)), 0) << "a pattern in the word needs no pool";
  ASSERT_EQ(write(7, page_of(PageKind::Text, 1)), 0) << "shrinks";
  store_->free({0}, 400);
  EXPECT_EQ(store_->sums(), StoreSums{});
}

// --- damage --------------------------------------------------------------------------------------

TEST_F(StoreTest, FindsEveryFlippedByteOfAPackedPageAndKeepsItsNeighbours) {
  make();
  for (std::uint64_t page = 0; page < 3; ++page)
    ASSERT_EQ(write(page, page_of(PageKind::Text, page)), 0);
  ASSERT_EQ(state(1), SlotState::Packed);
  const ArenaView view(*store_);
  const std::size_t bytes = store_->word_of({1}).packed_bytes() + kPageCheckBytes;
  for (std::size_t i = 0; i < bytes; ++i) {
    view.object(1)[i] ^= std::byte{0x10};
    ASSERT_EQ(read_error(1), EIO) << "byte " << i;
    view.object(1)[i] ^= std::byte{0x10};
  }
  view.object(1)[bytes / 2] ^= std::byte{1};
  EXPECT_EQ(read_error(1), EIO);
  EXPECT_EQ(write_part(1, 0, ConstBytes(Page{}).first(10)), EIO) << "the rest is not known";
  EXPECT_EQ(read(0), page_of(PageKind::Text, 0));
  EXPECT_EQ(read(2), page_of(PageKind::Text, 2));
  ASSERT_EQ(write(1, page_of(PageKind::Text, 9)), 0);
  EXPECT_EQ(read(1), page_of(PageKind::Text, 9));
}

TEST_F(StoreTest, FreesADamagedPage) {
  make();
  ASSERT_EQ(write(1, page_of(PageKind::Text, 1)), 0);
  const ArenaView view(*store_);
  view.object(1)[5] ^= std::byte{1};
  store_->free({1}, 1);
  EXPECT_EQ(read(1), Page{});
}

TEST_F(StoreTest, DoesNotCheckPagesWhenSwitchedOff) {
  StoreConfig config = config_of("lz4", 64);
  config.has_page_checks = false;
  store_ = make_store(config);
  const Page page = page_with_random_bytes(1000, 1);
  ASSERT_EQ(write(0, page), 0);
  EXPECT_EQ(read(0), page);
  const ArenaView view(*store_);
  view.object(0)[500] ^= std::byte{1};  // Among literals: lz4 cannot see it.
  EXPECT_EQ(read_error(0), 0);
  EXPECT_NE(read(0), page);
  EXPECT_EQ(reopen(*store_)->config().has_page_checks, false);
}

// --- memory --------------------------------------------------------------------------------------

std::uint64_t resident_bytes_of_process() {
  std::ifstream statm("/proc/self/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * kPageBytes;
}

constexpr std::uint64_t kHugePages = (100ULL << 30) / kPageBytes;

TEST_F(StoreTest, CostsNothingWhileA100GibDeviceIsEmpty) {
  const std::uint64_t before = resident_bytes_of_process();
  make("lz4", kHugePages);
  const std::uint64_t arena = resident_bytes_of(store_->arena_descriptor());
  EXPECT_LT(arena, 100U << 10);
  for (std::uint64_t page = 0; page < kHugePages; page += kHugePages / 1000) {
    ASSERT_EQ(read(page), Page{});
    std::array<std::byte, 8> part{};
    ASSERT_EQ(code_of(store_->read_part({page}, 5, part)), 0);
    ASSERT_TRUE(store_->word_of({page}).is_empty());
  }
  store_->free({0}, kHugePages);
  store_->compact();
  store_->maintain();
  EXPECT_EQ(store_->next_touched({0}).value, kHugePages);
  EXPECT_EQ(resident_bytes_of(store_->arena_descriptor()), arena);
  if (!UZ_UNDER_SANITIZER) {
    EXPECT_LT(resident_bytes_of_process() - before, 2U << 20);
  }
}

TEST_F(StoreTest, CostsLittleForAFewPagesFarApart) {
  make("lz4", kHugePages);
  const std::uint64_t before = resident_bytes_of(store_->arena_descriptor());
  for (std::uint64_t i = 0; i < 10; ++i)
    ASSERT_EQ(write(i * kHugePages / 10, page_of(PageKind::Text, i)), 0);
  ASSERT_EQ(write(kHugePages - 1, page_of(PageKind::Text, 10)), 0);
  // A table page for each, and no more than a pool page for each.
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()) - before, 22 * kPageBytes);
  EXPECT_EQ(store_->table_bytes(), 11 * kPageBytes);
  EXPECT_EQ(read(3 * kHugePages / 10), page_of(PageKind::Text, 3));
  EXPECT_EQ(store_->next_touched({1000}).value / 512 * 512, kHugePages / 10 / 512 * 512);
}

TEST_F(StoreTest, CompactsWithoutTouchingContent) {
  make("lz4", 8192);
  Random random(11);
  std::vector<std::size_t> random_bytes(8192);
  for (std::uint64_t page = 0; page < 8192; ++page) {
    random_bytes[page] = random.below(2500);
    ASSERT_EQ(write(page, page_with_random_bytes(random_bytes[page], page)), 0);
  }
  std::vector<bool> is_freed(8192);
  for (int i = 0; i < 5000; ++i) {
    const std::uint64_t page = random.below(8192);
    store_->free({page}, 1);
    is_freed[page] = true;
  }
  const std::uint64_t before = store_->pool().resident_pages();
  const std::uint64_t given = store_->compact();
  EXPECT_GT(given, before / 4);
  EXPECT_EQ(store_->pool().resident_pages(), before - given);
  EXPECT_EQ(store_->pages_compacted(), given);
  EXPECT_LE(store_->pool().resident_pages(), store_->pool().tight_pages());
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()),
            (store_->pool().resident_pages() + 1) * kPageBytes + store_->table_bytes());
  for (std::uint64_t page = 0; page < 8192; ++page) {
    const Page expected =
        is_freed[page] ? Page{} : page_with_random_bytes(random_bytes[page], page);
    ASSERT_EQ(read(page), expected) << page;
  }
}

TEST_F(StoreTest, MaintainsItsMemoryByItself) {
  make("lz4", 16384);
  for (std::uint64_t page = 0; page < 16384; ++page)
    ASSERT_EQ(write(page, page_with_random_bytes(page % 2000, page)), 0);
  Random random(12);
  for (std::uint64_t page = 0; page < 16384; ++page)
    if (random.below(2) == 0) store_->free({page}, 1);
  store_->maintain();
  const auto packed = static_cast<std::uint64_t>(store_->sums().packed_bytes);
  EXPECT_LE(store_->pool().resident_pages() * kPageBytes, packed + packed * 4 / 100 + (1U << 20));
}

TEST_F(StoreTest, ReservesPoolAndTableAheadOfNeed) {
  make("lz4", 100'000);
  ASSERT_EQ(code_of(store_->reserve(2000)), 0);
  const std::uint64_t reserved = resident_bytes_of(store_->arena_descriptor());
  EXPECT_GE(reserved, 2000 * kPageBytes + 100'000 * 8);
  for (std::uint64_t page = 0; page < 1500; ++page)
    ASSERT_EQ(write(page * 60, page_of(PageKind::Random, page)), 0);
  EXPECT_EQ(resident_bytes_of(store_->arena_descriptor()), reserved);
  ASSERT_EQ(code_of(store_->reserve(0)), 0);
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()),
            store_->table_bytes() + 1501 * kPageBytes);
  store_->free({0}, 100'000);
  store_->compact();
  EXPECT_EQ(store_->pool().resident_pages() + store_->pool().reserved_pages(), 0U);
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()), store_->table_bytes() + kPageBytes);
}

TEST_F(StoreTest, RefusesToStartWithoutAnAlgorithmOrWithWrongParameters) {
  StoreConfig config;
  config.disk_pages = 8;
  EXPECT_EQ(code_of(Store::create(config, 1)), EINVAL);
  config = config_of("lz4", 8);
  config.codecs[0].params.level = 1'000'000'000;
  EXPECT_EQ(code_of(Store::create(config, 1)), EINVAL);
  EXPECT_EQ(code_of(Store::create(config_of("lz4", 0), 1)), EINVAL);
}

}  // namespace
}  // namespace uzram
