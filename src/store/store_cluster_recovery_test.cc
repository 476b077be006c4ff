// SPDX-License-Identifier: Apache-2.0
// Arenas with clusters as a crash or broken memory may leave them: what is intact is kept; a
// damaged page is lost alone, a damaged cluster with its members.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <set>

#include "store/background_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kPages = 1100;
constexpr std::uint64_t kClustered = 256;  // In 16 clusters, from page 0 on.
constexpr std::uint64_t kVictim = 71;      // Number 7 of the fifth cluster.

class StoreClusterRecovery : public BackgroundTest {
 protected:
  void SetUp() override {
    make(kPages);
    write_pages(0, kClustered, PageKind::Text);
    cluster_pages(16);
    write_pages(kClustered, 60, PageKind::Text);
    write_pages(kClustered + 60, 10, PageKind::Random);
    write(600, filled_page(7));
    write(601, filled_page(0x0123456789abcdef));
    ASSERT_EQ(word(kVictim), SlotWord::member(cluster_of(64), 7));
  }
  [[nodiscard]] const SlotRegions& regions() const { return store_->regions(); }
  // A new process finds this in the slot.
  void recover_with(std::uint64_t slot, SlotWord damaged) {
    ArenaView(*store_).set_word(slot, damaged);
    reopen_store();
    store_->check_invariants();
  }
  void expect_lost(std::uint64_t page) {
    EXPECT_EQ(state(page), SlotState::Lost) << "page " << page;
    EXPECT_EQ(read_error(page), EIO) << "page " << page;
  }
  void expect_all_but(const std::set<std::uint64_t>& pages) {
    for (std::uint64_t page = 0; page < kPages; ++page) {
      if (pages.count(page) != 0) continue;
      const auto written = mirror_.find(page);
      ASSERT_EQ(read_page_of(*store_, page), written == mirror_.end() ? Page{} : written->second)
          << "page " << page;
    }
  }
  void heal(const std::set<std::uint64_t>& pages) {
    for (const std::uint64_t page : pages) write(page, Page(mirror_[page]));
    store_->check_invariants();
    expect_content();
  }
  void put_back_into_cluster() {
    for (std::uint64_t page = 0; page < kClustered; ++page) write(page, Page(mirror_[page]));
    ClusterRequest request;
    request.most_pages = kClustered;
    cluster_pages(request);
    ASSERT_EQ(word(kVictim), SlotWord::member(cluster_of(64), 7));
  }
  // The victim's word is damaged like this: it is lost alone, and a write heals it.
  void loses_only_the_victim(SlotWord damaged) {
    recover_with(kVictim, damaged);
    expect_lost(kVictim);
    expect_all_but({kVictim});
    reopen_store();
    expect_lost(kVictim);
    heal({kVictim});
    put_back_into_cluster();
  }
  static std::set<std::uint64_t> victims_cluster() {
    std::set<std::uint64_t> pages;
    for (std::uint64_t page = 64; page < 80; ++page) pages.insert(page);
    return pages;
  }
  // The word of the victim's cluster is damaged like this: its members are lost and nothing else.
  void loses_only_the_cluster(SlotWord damaged) {
    const std::uint64_t slot = cluster_of(kVictim).value;
    recover_with(slot, damaged);
    for (const std::uint64_t page : victims_cluster()) expect_lost(page);
    expect_all_but(victims_cluster());
    EXPECT_EQ(store_->sums().clusters, 15);
    EXPECT_EQ(store_->cluster_slots().taken(), 15U);
    EXPECT_EQ(store_->cluster_slots().users({slot}), 0U);
    heal(victims_cluster());
    put_back_into_cluster();
  }
  [[nodiscard]] SlotWord cluster_word() const { return store_->word_of_slot(cluster_of(kVictim)); }
};

// --- sound arenas --------------------------------------------------------------------------------

TEST_F(StoreClusterRecovery, KeepsEverythingOfACleanArena) {
  const StoreSums sums = store_->sums();
  for (int round = 0; round < 3; ++round) {
    reopen_store();
    EXPECT_EQ(store_->sums(), sums);
    EXPECT_EQ(store_->cluster_slots().taken(), 16U);
    EXPECT_EQ(store_->cluster_slots().users(cluster_of(kVictim)), 16U);
    EXPECT_EQ(store_->cluster_slots().size(cluster_of(kVictim)), 16U);
    expect_content();
  }
}

TEST_F(StoreClusterRecovery, GoesOnAfterwards) {
  Random random(1);
  for (int round = 0; round < 4; ++round) {
    for (std::uint64_t page = random.below(9); page < kPages; page += 1 + random.below(9))
      random.below(3) == 0 ? free_page(page) : write(page, page_of(PageKind::Text, random.next()));
    reopen_store();
    cluster_pages(4);
    cluster_pages(16);
    store_->compact();
    reopen_store();
    expect_content();
  }
}

TEST_F(StoreClusterRecovery, KnowsHowManyMembersAreLeft) {
  for (std::uint64_t page = 64; page < 73; ++page) free_page(page);
  reopen_store();
  const PageIndex cluster = cluster_of(75);
  EXPECT_EQ(store_->cluster_slots().users(cluster), 7U);
  EXPECT_EQ(store_->cluster_slots().size(cluster), 16U);
  ClusterRequest request;
  request.only_mostly_dead = true;
  EXPECT_EQ(cluster_pages(request).changed_pages, 7U);
  expect_content();
}

TEST_F(StoreClusterRecovery, EndsTheLocksAndMarksOfTheDead) {
  const std::uint64_t cluster = cluster_of(kVictim).value;
  {
    const ArenaView view(*store_);
    view.set_word(cluster, view.word(cluster).with(SlotWord::kBusy));
    view.set_word(65, view.word(65).with(SlotWord::kMarked | SlotWord::kIdle));
    view.set_word(66, view.word(66).with(SlotWord::kBusy | SlotWord::kMarked));
    view.set_word(67, view.word(67).with(SlotWord::kClaimed));
  }
  reopen_store();
  EXPECT_FALSE(word(65).is_marked());
  EXPECT_TRUE(word(65).is_idle());
  expect_content();
  write_part(67, 3, ConstBytes(page_of(PageKind::Text, 1)).first(5));
  expect_content();
}

// --- work in the background that a crash has ended -----------------------------------------------

TEST_F(StoreClusterRecovery, DropsAClusterThatNoPageSaysItIsIn) {
  const std::uint64_t before = pool_bytes_of_all(*store_);
  std::vector<std::byte> stream(3 * kPageBytes, std::byte{1});
  ASSERT_TRUE(store_->add_cluster(stream, 2 * kPageBytes, 2));
  ASSERT_EQ(store_->sums().clusters, 17);
  reopen_store();
  EXPECT_EQ(store_->sums().clusters, 16);
  EXPECT_EQ(pool_bytes_of_all(*store_), before);
  expect_content();
}

TEST_F(StoreClusterRecovery, KeepsPagesOfWhichSomeHadJoinedTheirCluster) {
  const auto compressor = ClusterCompressor::make(3, 16).value();
  for (const std::size_t joined : {0, 1, 9, 15, 16}) {
    std::vector<std::byte> pages(16 * kPageBytes);
    std::vector<std::byte> stream(cluster_stream_room(16));
    for (std::size_t i = 0; i < 16; ++i) {
      const PageBuffer out(pages.data() + i * kPageBytes, kPageBytes);
      const PageIndex page{kClustered + i};
      ASSERT_TRUE(store_->read_and_mark(page, word(page.value), out).value());
    }
    const MutableBytes packed = MutableBytes(stream).subspan(kClusterCheckBytes);
    const std::size_t packed_bytes = compressor->compress(pages, packed).value();
    const PageIndex cluster = store_->add_cluster(stream, packed_bytes, 16).value();
    for (std::size_t i = 0; i < joined; ++i)
      ASSERT_TRUE(store_->replace_marked({kClustered + i}, SlotWord::member(cluster, i)));
    // Here the process ends.
    reopen_store();
    store_->check_invariants();
    expect_content();
    EXPECT_EQ(store_->cluster_slots().users(cluster), joined);
    EXPECT_EQ(store_->sums().clusters, joined == 0 ? 16 : 17);
    for (std::uint64_t page = kClustered; page < kClustered + 16; ++page)
      write(page, Page(mirror_[page]));
  }
}

TEST_F(StoreClusterRecovery, KeepsPagesOfWhichSomeHadLeftTheirCluster) {
  const std::uint64_t cluster = cluster_of(kVictim).value;
  const SlotWord word_before = store_->word_of_slot({cluster});
  // The last member has left; the slot was not emptied yet.
  for (std::uint64_t page = 64; page < 80; ++page) ArenaView(*store_).set_word(page, SlotWord());
  for (std::uint64_t page = 64; page < 80; ++page) mirror_.erase(page);
  ASSERT_EQ(ArenaView(*store_).word(cluster), word_before);
  reopen_store();
  EXPECT_TRUE(store_->word_of_slot({cluster}).is_empty());
  EXPECT_EQ(store_->cluster_slots().taken(), 15U);
  store_->check_invariants();
  expect_content();
}

// --- damaged words -------------------------------------------------------------------------------

TEST_F(StoreClusterRecovery, LosesAMemberOfWhatIsNoCluster) {
  const std::uint64_t no_cluster[] = {0,
                                      kVictim,
                                      kPages - 1,
                                      regions().shared_begin,
                                      regions().shared_end - 1,
                                      regions().shared_end + 16,  // Not taken.
                                      regions().shared_end + 500,
                                      regions().cluster_end - 1,
                                      regions().cluster_end,
                                      (std::uint64_t{1} << kHandleBits) - 1};
  for (const std::uint64_t slot : no_cluster) {
    loses_only_the_victim(SlotWord::member({slot}, 7));
    ASSERT_FALSE(HasFailure()) << "slot " << slot;
  }
}

TEST_F(StoreClusterRecovery, LosesAMemberWithANumberThatNoClusterHas) {
  loses_only_the_victim(SlotWord::member(cluster_of(kVictim), 32));
  loses_only_the_victim(SlotWord::member(cluster_of(kVictim), 4095));
  loses_only_the_victim(word(kVictim).with(SlotWord::kIncompressible));
  loses_only_the_victim(word(kVictim).with(1U << 8));
}

// Its cluster has 16 pages: that is found when the page is read.
TEST_F(StoreClusterRecovery, FailsForAMemberWithANumberThatItsClusterDoesNotHave) {
  for (const std::size_t number : {16, 17, 31}) {
    recover_with(kVictim, SlotWord::member(cluster_of(kVictim), number));
    for (int time = 0; time < 2; ++time) {
      EXPECT_EQ(read_error(kVictim), EIO);
      expect_all_but({kVictim});
    }
    heal({kVictim});
    put_back_into_cluster();
  }
}

TEST_F(StoreClusterRecovery, LosesPagesThatSayTheyAreSlotsOfAnotherKind) {
  loses_only_the_victim(cluster_word());
  loses_only_the_victim(SlotWord::cluster_written_back({0}, 4096));
  loses_only_the_victim(SlotWord::written_back({0}, 100, 0));
  loses_only_the_victim(SlotWord::shared({regions().shared_begin}));
}

TEST_F(StoreClusterRecovery, LosesTheMembersOfASlotThatIsNoCluster) {
  loses_only_the_cluster(SlotWord());
  loses_only_the_cluster(SlotWord::lost());
  loses_only_the_cluster(word(kClustered));
  loses_only_the_cluster(word(kClustered + 60));
  loses_only_the_cluster(SlotWord::member(cluster_of(0), 7));
  loses_only_the_cluster(SlotWord::shared({regions().shared_begin}));
  loses_only_the_cluster(SlotWord::written_back({0}, 0, 0));
  loses_only_the_cluster(SlotWord::cluster_written_back({0}, 4096));
  for (std::uint64_t state = 11; state < 16; ++state)
    loses_only_the_cluster(SlotWord((cluster_word().bits() & ~15ULL) | state));
}

TEST_F(StoreClusterRecovery, LosesTheMembersOfAClusterWhoseHeadIsElsewhere) {
  const SlotWord good = cluster_word();
  const std::uint64_t end = make_layout(store_->config()).value().pool_bytes / kClassStepBytes;
  for (const std::uint64_t place :
       {good.handle().value + 1, end, end + 5, (std::uint64_t{1} << kHandleBits) - 1})
    loses_only_the_cluster(cluster_word().moved_to({place}));
  loses_only_the_cluster(cluster_word().moved_to(word(kClustered + 60).handle()));
  loses_only_the_cluster(SlotWord::cluster(cluster_word().handle(), 0, cluster_word().pieces()));
  loses_only_the_cluster(
      SlotWord::cluster(cluster_word().handle(), cluster_word().head_bytes(), 31));
}

TEST_F(StoreClusterRecovery, GivesAHeadToOneOfTwoSlotsThatPointToIt) {
  const SlotWord first = store_->word_of_slot(cluster_of(0));
  loses_only_the_cluster(first);
}

TEST_F(StoreClusterRecovery, LosesTheMembersOfAClusterWhosePiecesAreElsewhere) {
  const std::size_t pieces = cluster_word().pieces();
  const std::uint64_t raw = word(kClustered + 60).handle().value;
  for (std::size_t piece = 0; piece < pieces; ++piece) {
    for (const std::uint64_t value :
         {~std::uint64_t{0}, raw, raw + 1, cluster_word().handle().value, std::uint64_t{1} << 40}) {
      {
        const ArenaView view(*store_);
        std::memcpy(view.object(cluster_of(kVictim).value) + piece * 8, &value, sizeof value);
      }
      reopen_store();
      store_->check_invariants();
      for (const std::uint64_t page : victims_cluster()) expect_lost(page);
      expect_all_but(victims_cluster());
      heal(victims_cluster());
      put_back_into_cluster();
      ASSERT_FALSE(HasFailure()) << "piece " << piece << " at " << value;
    }
  }
}

// The count of pages stands in the stream, and is read before the check is.
TEST_F(StoreClusterRecovery, SurvivesAnyPageCountInAStream) {
  for (const int count : {0, 1, 2, 15, 17, 33, 128, 255}) {
    {
      const ArenaView view(*store_);
      std::uint64_t piece = 0;
      const std::uint64_t cluster = cluster_of(kVictim).value;
      std::memcpy(&piece, view.object(cluster), sizeof piece);
      view.base()[view.layout().pool_offset + piece * kClassStepBytes + kClusterCheckBytes] =
          static_cast<std::byte>(count);
    }
    reopen_store();
    for (const std::uint64_t page : victims_cluster()) EXPECT_EQ(read_error(page), EIO);
    for (const std::size_t size : {2, 32}) {
      ClusterRequest request;
      request.cluster_pages = size;
      request.pages.type = PageType::Idle;
      ASSERT_TRUE(make_clusters(*store_, request, stop_));
    }
    expect_all_but(victims_cluster());
    heal(victims_cluster());
    put_back_into_cluster();
  }
}

// One word or one handle of a head, anything in it: at most the two clusters that are concerned
// are lost, and no page but the one whose word it is reads as anything else.
TEST_F(StoreClusterRecovery, NeverReadsOtherBytesWhateverOneWordHolds) {
  Random random(78);
  for (int round = 0; round < 80; ++round) {
    const bool is_cluster = round % 2 == 0;
    const std::uint64_t slot =
        is_cluster ? regions().shared_end + random.below(16) : random.below(kClustered + 70);
    const ArenaView view(*store_);
    SlotWord bad(random.next());
    if (round % 4 >= 2) bad = SlotWord(view.word(slot).bits() ^ (1ULL << random.below(64)));
    const bool is_handle = is_cluster && round % 8 == 0;
    if (is_handle) {
      const std::uint64_t value = random.below(1 << 15);
      std::memcpy(view.object(slot) + random.below(view.word(slot).pieces()) * 8, &value, 8);
    } else {
      view.set_word(slot, bad);
    }
    reopen_store();
    int lost = 0;
    for (std::uint64_t page = 0; page < kPages; ++page) {
      if (page == slot) continue;
      Page out;
      const int error = code_of(store_->read({page}, out));
      const auto written = mirror_.find(page);
      const Page expected = written == mirror_.end() ? Page{} : written->second;
      ASSERT_TRUE(error == EIO || (error == 0 && out == expected))
          << "page " << page << " after " << std::hex << bad.bits() << " in slot " << slot;
      lost += error == EIO ? 1 : 0;
    }
    EXPECT_LE(lost, is_cluster ? 32 : 16);
    store_->free({0}, kPages);
    store_->check_invariants();
    const auto contents = std::move(mirror_);
    mirror_.clear();
    for (std::uint64_t page = 0; page < kClustered; ++page) write(page, contents.at(page));
    cluster_pages(16);
    for (const auto& [page, content] : contents)
      if (page >= kClustered) write(page, content);
  }
}

}  // namespace
}  // namespace uzram
