// SPDX-License-Identifier: Apache-2.0
// Arenas as a crash or broken memory may leave them: what is intact is kept, what is not is one
// page.
#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "store/store.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kPages = 1200;
constexpr std::uint64_t kVictim = 600;

class StoreRecovery : public testing::Test {
 protected:
  void SetUp() override {
    store_ = make_store(config_of("lz4", kPages));
    for (std::uint64_t page = 0; page < kPages; page += 3)
      ASSERT_EQ(code_of(store_->write({page}, content_of(page))), 0);
  }
  static Page content_of(std::uint64_t page) {
    if (page % 3 != 0) return {};
    if (page == kVictim) return page_of(PageKind::Text, page);
    if (page % 15 == 0) return filled_page(page % 2 == 0 ? page : 0x0123456789abcdef + page);
    return page_of(kPageKinds[page % kPageKinds.size()], page);
  }
  void recover() { store_ = reopen(*store_); }
  void damage(std::uint64_t page, SlotWord word) const { ArenaView(*store_).set_word(page, word); }
  [[nodiscard]] SlotWord word(std::uint64_t page) const { return ArenaView(*store_).word(page); }
  int read_error(std::uint64_t page) {
    Page out;
    return code_of(store_->read({page}, out));
  }
  // Every page but these reads as it was written.
  void expect_all_but(const std::vector<std::uint64_t>& pages) {
    for (std::uint64_t page = 0; page < kPages; ++page) {
      if (std::find(pages.begin(), pages.end(), page) != pages.end()) continue;
      ASSERT_EQ(read_page_of(*store_, page), content_of(page)) << "page " << page;
    }
  }
  void expect_lost(std::uint64_t page) {
    EXPECT_EQ(store_->word_of({page}).state(), SlotState::Lost);
    EXPECT_EQ(read_error(page), EIO);
    std::array<std::byte, 4> part{};
    EXPECT_EQ(code_of(store_->read_part({page}, 0, part)), EIO);
    EXPECT_EQ(code_of(store_->write_part({page}, 0, part)), EIO);
  }
  void expect_healed_by_a_write(std::uint64_t page) {
    ASSERT_EQ(code_of(store_->write({page}, content_of(page))), 0);
    EXPECT_EQ(read_page_of(*store_, page), content_of(page));
    store_->check_invariants();
  }
  // The victim's word is damaged like this: it is lost alone, and a write or a free heals it.
  void loses_only_the_victim(SlotWord damaged) {
    damage(kVictim, damaged);
    recover();
    expect_lost(kVictim);
    expect_all_but({kVictim});
    store_->check_invariants();
    recover();
    expect_lost(kVictim);
    expect_healed_by_a_write(kVictim);
    expect_all_but({});
  }

  std::unique_ptr<Store> store_;
};

TEST_F(StoreRecovery, KeepsEverythingOfACleanArena) {
  const StoreSums sums = store_->sums();
  recover();
  EXPECT_EQ(store_->sums(), sums);
  EXPECT_EQ(store_->raw_pages_since(), static_cast<std::uint64_t>(sums.raw_pages));
  EXPECT_EQ(store_->config().disk_pages, kPages);
  store_->check_invariants();
  expect_all_but({});
}

TEST_F(StoreRecovery, GoesOnAfterwards) {
  for (int round = 0; round < 3; ++round) {
    recover();
    for (std::uint64_t page = 0; page < kPages; page += 2)
      ASSERT_EQ(code_of(store_->write({page}, page_of(PageKind::Text, page))), 0);
    for (std::uint64_t page = 0; page < kPages; page += 2)
      ASSERT_EQ(code_of(store_->write({page}, content_of(page))), 0);
    store_->compact();
    store_->check_invariants();
    expect_all_but({});
  }
}

TEST_F(StoreRecovery, EndsTheLocksOfTheDead) {
  damage(0, word(0).with(SlotWord::kBusy));
  damage(3, word(3).with(SlotWord::kClaimed));
  damage(6, word(6).with(SlotWord::kBusy | SlotWord::kClaimed));
  damage(7, SlotWord().with(SlotWord::kBusy | SlotWord::kClaimed));
  recover();
  store_->check_invariants();
  expect_all_but({});
  for (const std::uint64_t page : {0, 3, 6, 7}) {
    std::array<std::byte, 1> part{};
    ASSERT_EQ(code_of(store_->write_part({page}, 9, part)), 0);
  }
}

TEST_F(StoreRecovery, LosesAPageOfAnUnknownState) {
  for (std::uint64_t state = 6; state < 16; ++state)
    loses_only_the_victim(SlotWord((word(kVictim).bits() & ~15ULL) | state));
}

TEST_F(StoreRecovery, LosesAPageWhoseSpareBitsAreSet) {
  loses_only_the_victim(word(kVictim).with(1U << 10));
  loses_only_the_victim(SlotWord().with(1U << 30));
}

TEST_F(StoreRecovery, LosesAPageWhoseAlgorithmIsUnknown) {
  ASSERT_EQ(word(kVictim).state(), SlotState::Packed);
  for (const int priority : {1, 2, 3})
    loses_only_the_victim(
        SlotWord::packed(word(kVictim).handle(), word(kVictim).packed_bytes(), priority));
}

TEST_F(StoreRecovery, LosesAPageWithoutBytesOrWithTooMany) {
  loses_only_the_victim(SlotWord::packed(word(kVictim).handle(), 0, 0));
  loses_only_the_victim(SlotWord::packed(word(kVictim).handle(), 4095, 0));
}

TEST_F(StoreRecovery, LosesAPageOutsideThePool) {
  const std::uint64_t end = make_layout(store_->config()).value().pool_bytes / kClassStepBytes;
  for (const std::uint64_t place : {end, end + 5, (std::uint64_t{1} << kHandleBits) - 1}) {
    loses_only_the_victim(SlotWord::packed({place}, 300, 0));
    loses_only_the_victim(SlotWord::raw({place}));
    loses_only_the_victim(SlotWord::same_stored({place}));
  }
}

TEST_F(StoreRecovery, LosesAPageBetweenTwoObjects) {
  const SlotWord good = word(kVictim);
  loses_only_the_victim(good.moved_to({good.handle().value + 1}));
}

TEST_F(StoreRecovery, GivesAnObjectToOneOfTwoPagesThatPointToIt) {
  damage(kVictim, word(kVictim - 3 * 7));
  recover();
  expect_lost(kVictim);
  expect_all_but({kVictim});
  expect_healed_by_a_write(kVictim);
}

// Words of another class in the middle of a span must not cost the span's other pages.
TEST_F(StoreRecovery, KeepsTheNeighboursOfAWordThatPointsIntoTheirSpan) {
  for (const std::size_t bytes : {1, 100, 900, 2000, 4000}) {
    for (const std::uint64_t page : {std::uint64_t{1}, kPages - 2}) {
      damage(page, SlotWord::packed({word(kVictim).handle().value / 4096 * 4096}, bytes, 0));
      recover();
      expect_lost(page);
      expect_all_but({page});
      store_->free({page}, 1);
    }
  }
}

TEST_F(StoreRecovery, NeverReadsOtherBytesWhateverOneWordHolds) {
  Random random(77);
  for (int round = 0; round < 60; ++round) {
    const std::uint64_t page = random.below(kPages / 3) * 3;
    const SlotWord good = word(page);
    SlotWord bad(random.next());
    if (round % 3 == 1) bad = SlotWord(good.bits() ^ (1ULL << random.below(64)));
    if (round % 3 == 2) {
      bad = SlotWord::packed({random.next() % (1 << 14)}, 1 + random.below(4092), 0);
    }
    damage(page, bad);
    recover();
    int lost = 0;
    for (std::uint64_t other = 0; other < kPages; ++other) {
      if (other == page) continue;
      Page out;
      const int error = code_of(store_->read({other}, out));
      ASSERT_TRUE(error == EIO || (error == 0 && out == content_of(other)))
          << "page " << other << " after " << std::hex << bad.bits() << " on page " << page;
      lost += error == EIO ? 1 : 0;
    }
    EXPECT_LE(lost, 1) << "an object can be claimed by the wrong page, but only one";
    store_->free({0}, kPages);
    for (std::uint64_t again = 0; again < kPages; again += 3)
      ASSERT_EQ(code_of(store_->write({again}, content_of(again))), 0);
  }
}

TEST_F(StoreRecovery, GivesBackObjectsThatNoWordPointsTo) {
  std::vector<std::uint64_t> dropped;
  for (std::uint64_t page = 0; page < kPages; page += 3) {
    if (page == kVictim) continue;
    damage(page, SlotWord());
    dropped.push_back(page);
  }
  recover();
  store_->check_invariants();
  EXPECT_EQ(store_->sums().stored_pages, 1);
  EXPECT_LE(store_->pool().resident_pages(), 2U);
  EXPECT_EQ(store_->pool().empty_pages(), 0U);
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()), 8 * kPageBytes);
  expect_all_but(dropped);
}

TEST_F(StoreRecovery, GivesBackBytesThatWereNeverPublished) {
  const std::uint64_t before = resident_bytes_of(store_->arena_descriptor());
  {
    const ArenaView view(*store_);
    for (std::uint64_t i = 1; i <= 100; ++i)
      view.base()[view.layout().arena_bytes - i * 3 * kPageBytes] = std::byte{1};
  }
  ASSERT_GE(resident_bytes_of(store_->arena_descriptor()), before + 100 * kPageBytes);
  recover();
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()), before);
  store_->check_invariants();
}

TEST_F(StoreRecovery, CostsNothingForA100GibDeviceThatIsEmpty) {
  store_ = make_store(config_of("lz4", (100ULL << 30) / kPageBytes));
  ASSERT_EQ(code_of(store_->write({20'000'000}, content_of(0))), 0);
  ASSERT_EQ(code_of(store_->write({20'000'001}, content_of(kVictim))), 0);
  const std::uint64_t before = resident_bytes_of(store_->arena_descriptor());
  recover();
  EXPECT_EQ(read_page_of(*store_, 20'000'001), content_of(kVictim));
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()), before);
  EXPECT_EQ(store_->table_bytes(), kPageBytes);
  store_->check_invariants();
}

TEST_F(StoreRecovery, RefusesWhatIsNotAnArena) {
  EXPECT_EQ(code_of(Store::open(FileDescriptor(::memfd_create("empty", 0)), 1)), EINVAL);
  FileDescriptor zeros(::memfd_create("zeros", 0));
  ASSERT_EQ(::ftruncate(zeros.get(), 1 << 20), 0);
  EXPECT_EQ(code_of(Store::open(std::move(zeros), 1)), EINVAL);
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe(pipe_ends.data()), 0);
  const FileDescriptor writer(pipe_ends[1]);
  EXPECT_EQ(code_of(Store::open(FileDescriptor(pipe_ends[0]), 1)), EINVAL);
  const ArenaView view(*store_);
  view.base()[20] ^= std::byte{1};
  EXPECT_EQ(code_of(Store::open(duplicate(store_->arena_descriptor()), 1)), EINVAL);
  view.base()[20] ^= std::byte{1};
  recover();
  expect_all_but({});
}

}  // namespace
}  // namespace uzram
