// SPDX-License-Identifier: Apache-2.0
// Pages in clusters as those who read and write see them: nothing but the memory has changed.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <functional>

#include "store/background_fixture.h"

namespace uzram {
namespace {

class StoreClusterTest : public BackgroundTest {
 protected:
  // Pages first to first + count in clusters of `size`.
  void make_clustered(std::uint64_t first, std::uint64_t count, std::size_t size,
                      std::uint64_t disk_pages = 128) {
    mirror_.clear();
    make(disk_pages);
    write_pages(first, count, PageKind::Text);
    ASSERT_EQ(cluster_pages(size).changed_pages, count);
  }
  [[nodiscard]] std::int64_t clusters() const { return store_->sums().clusters; }
  void expect_empty_store() {
    EXPECT_EQ(store_->sums(), StoreSums{});
    EXPECT_EQ(store_->cluster_slots().taken(), 0U);
    store_->check_invariants();
    store_->compact();
    EXPECT_EQ(store_->pool().resident_pages(), 0U);
  }
  // A byte of the cluster's stream: behind its handles in the head, or in a piece.
  [[nodiscard]] static std::byte* stream_byte(const ArenaView& view, PageIndex cluster,
                                              std::size_t offset) {
    const SlotWord word = view.word(cluster.value);
    if (offset >= word.pieces() * kPageBytes)
      return view.object(cluster.value) + word.pieces() * 8 + offset - word.pieces() * kPageBytes;
    std::uint64_t handle = 0;
    std::memcpy(&handle, view.object(cluster.value) + offset / kPageBytes * 8, sizeof handle);
    return view.base() + view.layout().pool_offset + handle * kClassStepBytes + offset % kPageBytes;
  }
};

// --- one member after another leaves -------------------------------------------------------------

TEST_F(StoreClusterTest, LosesItsMembersOneByOneInAnyOrder) {
  Random random(21);
  for (const std::size_t size : {2, 3, 8, 16, 32}) {
    for (int way = 0; way < 3; ++way) {
      make_clustered(5, size, size);
      std::vector<std::uint64_t> members;
      for (std::uint64_t page = 5; page < 5 + size; ++page) members.push_back(page);
      for (std::size_t left = size; left > 0; --left) {
        ASSERT_EQ(clusters(), 1) << left << " members are left";
        const std::size_t which = random.below(left);
        const std::uint64_t page = members[which];
        members.erase(members.begin() + static_cast<std::ptrdiff_t>(which));
        if (way == 0) free_page(page);
        if (way == 1) write(page, page_of(PageKind::Text, page + 1000));
        if (way == 2) write_part(page, 500, ConstBytes(page_of(PageKind::Text, page)).first(99));
        store_->check_invariants();
        expect_content();
        ASSERT_EQ(store_->sums().member_pages, static_cast<std::int64_t>(left - 1));
      }
      ASSERT_EQ(clusters(), 0);
      store_->free({0}, 128);
      mirror_.clear();
      expect_empty_store();
    }
  }
}

TEST_F(StoreClusterTest, IsFreedAsAWhole) {
  make_clustered(0, 64, 16);
  store_->free({8}, 8);
  EXPECT_EQ(clusters(), 4) << "half of the first is alive";
  store_->free({0}, 40);
  EXPECT_EQ(clusters(), 2) << "half of the third, and the last";
  store_->free({0}, 128);
  expect_empty_store();
}

TEST_F(StoreClusterTest, LendsItsSlotToTheNextClusterWithoutItsContent) {
  make(64);
  for (std::uint64_t round = 0; round < 40; ++round) {
    for (std::uint64_t page = 0; page < 4; ++page)
      write(page, page_of(PageKind::Text, round * 4 + page));
    cluster_pages(4);
    ASSERT_EQ(cluster_of(0).value, store_->regions().shared_end) << "always the lowest slot";
    expect_content();
  }
  EXPECT_EQ(store_->cluster_slots().taken(), 1U);
}

TEST_F(StoreClusterTest, TakesWritesOfEveryKindOnMembers) {
  for (std::size_t i = 0; i < kPageKinds.size(); ++i) {
    make_clustered(0, 16, 4);
    write(5, page_of(kPageKinds[i], 9));
    write(6, filled_page(0x0123456789abcdef));
    expect_content();
    reopen_store();
    expect_content();
  }
}

// --- reading -------------------------------------------------------------------------------------

TEST_F(StoreClusterTest, ReadsInAnyOrderAndInParts) {
  make_clustered(0, 96, 32);
  Random random(2);
  for (int round = 0; round < 2000; ++round) {
    const std::uint64_t page = random.below(96);
    const std::size_t offset = random.below(kPageBytes);
    std::vector<std::byte> part(1 + random.below(kPageBytes - offset));
    ASSERT_EQ(code_of(store_->read_part({page}, offset, part)), 0);
    ASSERT_EQ(std::memcmp(part.data(), mirror_[page].data() + offset, part.size()), 0);
    if (round % 9 == 0) touch(random.below(96));
  }
}

TEST_F(StoreClusterTest, ReadsManyPagesAtOnce) {
  make_clustered(0, 100, 16);
  free_page(50);
  write(51, filled_page(9));
  std::vector<std::byte> pages(128 * kPageBytes);
  ASSERT_EQ(code_of(store_->read({0}, pages)), 0);
  for (std::uint64_t page = 0; page < 128; ++page) {
    const auto written = mirror_.find(page);
    const Page expected = written == mirror_.end() ? Page{} : written->second;
    ASSERT_EQ(std::memcmp(&pages[page * kPageBytes], expected.data(), kPageBytes), 0) << page;
  }
}

TEST_F(StoreClusterTest, RemembersReadsByMakingPagesYoung) {
  make_clustered(0, 8, 4);
  mark_idle(0, 8);
  for (std::uint64_t page = 0; page < 8; ++page) set_age(page, 6);
  touch(2);
  for (std::uint64_t page = 0; page < 8; ++page) {
    EXPECT_EQ(word(page).is_idle(), page != 2) << "its neighbours were not read";
    EXPECT_EQ(word(page).age(), page == 2 ? 0 : 6);
  }
}

TEST_F(StoreClusterTest, KeepsPagesWithoutPageChecks) {
  StoreConfig config = config_of("lz4", "zstd", 64);
  config.has_page_checks = false;
  make(config);
  write_pages(0, 32, PageKind::Text);
  cluster_pages(16);
  expect_content();
  reopen_store();
  expect_content();
}

// --- damage --------------------------------------------------------------------------------------

TEST_F(StoreClusterTest, FailsForTheMembersOfADamagedClusterAlone) {
  make_clustered(0, 48, 16);
  const PageIndex cluster = cluster_of(20);
  const SlotWord word = store_->word_of_slot(cluster);
  ASSERT_GE(word.pieces(), 1U);
  const std::size_t stream_bytes = ClusterShape::of(word).stream_bytes;
  Random random(3);
  for (int round = 0; round < 60; ++round) {
    const std::size_t at = round == 0   ? 0
                           : round == 1 ? stream_bytes - 1
                                        : random.below(stream_bytes);
    const auto flip = static_cast<std::byte>(1U << random.below(8));
    // A new process: its cache is empty.
    reopen_store();
    const ArenaView view(*store_);
    *stream_byte(view, cluster, at) ^= flip;
    for (std::uint64_t page = 0; page < 48; ++page)
      ASSERT_EQ(read_error(page), page / 16 == 1 ? EIO : 0) << "page " << page << ", byte " << at;
    std::array<std::byte, 8> part{};
    ASSERT_EQ(code_of(store_->read_part({17}, 9, part)), EIO);
    ASSERT_EQ(code_of(store_->write_part({17}, 9, part)), EIO) << "the rest is not known";
    *stream_byte(view, cluster, at) ^= flip;
  }
  reopen_store();
  expect_content();
}

TEST_F(StoreClusterTest, IsHealedByWritesAndFrees) {
  make_clustered(0, 48, 16);
  const ArenaView view(*store_);
  reopen_store();
  *stream_byte(view, cluster_of(20), 5000) ^= std::byte{1};
  for (std::uint64_t page = 16; page < 32; ++page) {
    ASSERT_EQ(read_error(page), EIO);
    page % 2 == 0 ? free_page(page) : write(page, Page(mirror_[page]));
    touch(page % 2 == 0 ? 0 : page);
  }
  EXPECT_EQ(clusters(), 2);
  expect_content();
  store_->check_invariants();
}

TEST_F(StoreClusterTest, FindsDamageEvenAfterItWasReadWhole) {
  make_clustered(0, 8, 8);
  make_clustered(0, 64, 2);  // More clusters than the cache has entries.
  const ArenaView view(*store_);
  for (std::uint64_t page = 0; page < 64; ++page) touch(page);
  *stream_byte(view, cluster_of(1), 30) ^= std::byte{1};
  EXPECT_EQ(read_error(0), EIO);
  EXPECT_EQ(read_error(1), EIO);
}

// --- memory --------------------------------------------------------------------------------------

TEST_F(StoreClusterTest, IsCompactedWithEverythingElse) {
  make(8192);
  write_pages(0, 4000, PageKind::Text);
  Random random(5);
  for (const std::size_t size : {2, 4, 8}) {
    ClusterRequest request;
    request.cluster_pages = size;
    request.most_pages = 1200;
    cluster_pages(request);
  }
  for (int i = 0; i < 3000; ++i) free_page(random.below(4000));
  const std::uint64_t before = store_->pool().resident_pages();
  EXPECT_GT(store_->compact(), before / 10);
  EXPECT_LE(store_->pool().resident_pages(), store_->pool().tight_pages());
  store_->check_invariants();
  expect_content();
  reopen_store();
  expect_content();
}

TEST_F(StoreClusterTest, ReadsWhatWasMovedWhileItWasOpen) {
  make(1024);
  write_pages(0, 600, PageKind::Text);
  cluster_pages(8);
  for (std::uint64_t page = 0; page < 600; ++page)
    if (page / 8 % 4 != 0) free_page(page);
  for (std::uint64_t page = 0; page < 600; page += 32) {
    touch(page);
    store_->compact();
    touch(page + 7);
  }
  expect_content();
}

TEST_F(StoreClusterTest, CostsLittleOnAHugeDevice) {
  constexpr std::uint64_t kHugePages = (100ULL << 30) / kPageBytes;
  make(config_of("lz4", "zstd", kHugePages));
  const std::uint64_t first = kHugePages - 40;
  write_pages(first, 40, PageKind::Text);
  const std::uint64_t before = resident_bytes_of(store_->arena_descriptor());
  cluster_pages(4);
  ASSERT_EQ(clusters(), 10);
  store_->compact();
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()), before + kPageBytes)
      << "one page of cluster slots";
  EXPECT_LE(store_->slot_metadata_bytes(), 4 * kPageBytes);
  store_ = reopen(*store_);
  for (std::uint64_t page = first; page < kHugePages; ++page) touch(page);
  EXPECT_LE(resident_bytes_of(store_->arena_descriptor()), before + kPageBytes);
  EXPECT_EQ(store_->sums().clusters, 10);
  store_->check_invariants();
}

TEST_F(StoreClusterTest, LeavesTheMemberWhenTheLimitForbidsAWrite) {
  make_clustered(0, 32, 16);
  store_->pool().set_limit_pages(1);
  EXPECT_EQ(code_of(store_->write({3}, page_of(PageKind::Random, 1))), ENOSPC);
  EXPECT_EQ(code_of(store_->write_part({3}, 0, ConstBytes(page_of(PageKind::Random, 1)))), ENOSPC);
  expect_content();
  write(3, filled_page(7));
  free_page(4);
  expect_content();
  store_->pool().set_limit_pages(0);
  write(5, page_of(PageKind::Random, 1));
  expect_content();
}

TEST_F(StoreClusterTest, TakesPartsOfAClusterSlotTableThatIsOddlyShaped) {
  // A device of one page has no cluster slot, one of two has a table page of them.
  for (const std::uint64_t disk_pages : {1, 2, 3, 511, 512, 513, 1024, 1025}) {
    mirror_.clear();
    make(disk_pages);
    write_pages(0, disk_pages, PageKind::Text);
    ClusterRequest request;
    request.cluster_pages = 2;
    const Result<BackgroundOutcome> outcome = make_clusters(*store_, request, stop_);
    ASSERT_EQ(code_of(outcome), 0) << disk_pages;
    EXPECT_EQ(clusters(), static_cast<std::int64_t>(disk_pages / 2));
    expect_content();
    reopen_store();
    expect_content();
    store_->check_invariants();
    store_->free({0}, disk_pages);
    expect_empty_store();
  }
}

}  // namespace
}  // namespace uzram
