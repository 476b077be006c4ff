// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_cache.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "store/cluster_object.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

using Bytes = std::vector<std::byte>;

const PageCheckFunction kCheck = choose_page_check();

// A cluster as the store keeps it, and the pages that it was made of.
struct Made {
  Bytes pages;
  Bytes stream;
};

Made make_cluster(std::size_t page_count, std::uint64_t seed) {
  static const auto compressor = ClusterCompressor::make(1, kClusterMostPages).value();
  Made made;
  made.pages.resize(page_count * kPageBytes);
  for (std::size_t i = 0; i < page_count; ++i) {
    PageMaker(seed * 100 + i)
        .fill(PageKind::Text, MutableBytes(made.pages).subspan(i * kPageBytes, kPageBytes));
  }
  made.stream.resize(cluster_stream_room(page_count));
  const MutableBytes packed = MutableBytes(made.stream).subspan(kClusterCheckBytes);
  const std::size_t bytes = compressor->compress(made.pages, packed).value();
  made.stream.resize(kClusterCheckBytes + bytes);
  const std::uint64_t check = kCheck(packed.data(), bytes);
  std::memcpy(made.stream.data(), &check, sizeof check);
  return made;
}

// What the store does when the entry has nothing yet.
void fill(ClusterCache::Entry& entry, const Made& made) {
  ASSERT_LE(made.stream.size(), entry.packed->size());
  std::memcpy(entry.packed->data(), made.stream.data(), made.stream.size());
  entry.stream_bytes = made.stream.size();
}

// Requires: the page's cluster is `made`.
void expect_member(ClusterCache::Entry& entry, const Made& made, std::size_t number,
                   PageCheckFunction check = kCheck) {
  Page out;
  out.fill(std::byte{0xee});
  ASSERT_EQ(code_of(unpack_member(entry, number, check, out)), 0) << "page " << number;
  ASSERT_EQ(std::memcmp(out.data(), made.pages.data() + number * kPageBytes, kPageBytes), 0)
      << "page " << number;
}

class ClusterCacheTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(cache_.prepare(kClusterMostPages)); }
  // Reads one page as the store does. Returns: whether the cluster was there.
  bool read(ClusterKey key, const Made& made, std::size_t number) {
    const ClusterCache::Holder entry = cache_.find(key);
    const bool was_there = entry->stream_bytes != 0;
    if (!was_there) fill(*entry, made);
    expect_member(*entry, made, number);
    return was_there;
  }

  ClusterCache cache_{3};
};

constexpr ClusterKey kA{{1000}, 1};
constexpr ClusterKey kB{{1001}, 1};
constexpr ClusterKey kC{{1002}, 7};
constexpr ClusterKey kD{{1003}, 2};

TEST_F(ClusterCacheTest, FindsWhatWasReadBefore) {
  const Made made = make_cluster(16, 1);
  EXPECT_FALSE(read(kA, made, 3));
  for (std::size_t number = 0; number < 16; ++number) EXPECT_TRUE(read(kA, made, number));
  EXPECT_EQ(cache_.misses(), 1U);
  EXPECT_EQ(cache_.hits(), 16U);
}

TEST_F(ClusterCacheTest, GoesOnWhereItStopped) {
  const Made made = make_cluster(32, 2);
  const ClusterCache::Holder entry = cache_.find(kA);
  fill(*entry, made);
  std::size_t expected = 0;
  for (const std::size_t number : {0, 3, 4, 2, 17, 5, 31, 0}) {
    expect_member(*entry, made, number);
    expected = std::max(expected, (number / kClusterBlockPages + 1) * kClusterBlockPages);
    EXPECT_EQ(entry->ready_pages, expected) << "no more than somebody asked for";
  }
}

TEST_F(ClusterCacheTest, ReadsNoStreamThatItHasUnpackedAlready) {
  const Made made = make_cluster(8, 3);
  const ClusterCache::Holder entry = cache_.find(kA);
  fill(*entry, made);
  expect_member(*entry, made, 7);
  // The pages are there: neither the stream nor its check matters any more.
  std::memset(entry->packed->data(), 0xff, made.stream.size());
  for (std::size_t number = 0; number < 8; ++number) expect_member(*entry, made, number);
}

TEST_F(ClusterCacheTest, DropsTheOneThatWasNotUsedForTheLongestTime) {
  const Made made = make_cluster(4, 4);
  read(kA, made, 0);
  read(kB, made, 0);
  read(kC, made, 0);
  EXPECT_TRUE(read(kA, made, 1));
  EXPECT_FALSE(read(kD, made, 0)) << "takes the place of B";
  EXPECT_TRUE(read(kA, made, 0));
  EXPECT_TRUE(read(kC, made, 0));
  EXPECT_TRUE(read(kD, made, 0));
  EXPECT_FALSE(read(kB, made, 0));
  EXPECT_FALSE(read(kA, made, 0));
}

TEST_F(ClusterCacheTest, TellsTheSlotsContentFromTheOneBefore) {
  const Made old_content = make_cluster(4, 5);
  const Made new_content = make_cluster(7, 6);
  EXPECT_FALSE(read({{1000}, 1}, old_content, 2));
  EXPECT_FALSE(read({{1000}, 2}, new_content, 2));
  EXPECT_FALSE(read({{1000}, 0}, new_content, 6));
  EXPECT_TRUE(read({{1000}, 1}, old_content, 0));
}

// The hint of both keys is the same.
TEST_F(ClusterCacheTest, TellsKeysApartThatLookAlike) {
  const Made one = make_cluster(4, 7);
  const Made other = make_cluster(4, 8);
  EXPECT_FALSE(read({{std::uint64_t{1} << 32}, 0}, one, 0));
  EXPECT_FALSE(read({{0}, 1}, other, 0));
  EXPECT_FALSE(read({{0}, 0}, other, 0));
  EXPECT_TRUE(read({{std::uint64_t{1} << 32}, 0}, one, 3));
  EXPECT_TRUE(read({{0}, 1}, other, 3));
}

TEST_F(ClusterCacheTest, HasNothingInTheBeginning) {
  const ClusterCache::Holder entry = cache_.find({{0}, 0});
  EXPECT_EQ(entry->stream_bytes, 0U);
  EXPECT_EQ(cache_.hits(), 0U);
}

TEST_F(ClusterCacheTest, KeepsNothingOfAnEntryThatWasNeverFilled) {
  { const ClusterCache::Holder entry = cache_.find(kA); }
  const Made made = make_cluster(4, 9);
  EXPECT_FALSE(read(kA, made, 0));
}

TEST_F(ClusterCacheTest, HoldsEntriesApart) {
  const Made made = make_cluster(4, 10);
  const ClusterCache::Holder first = cache_.find(kA);
  fill(*first, made);
  expect_member(*first, made, 0);
  // Nobody waits: another thread takes another entry, even for the same cluster.
  std::thread other([&] {
    const ClusterCache::Holder second = cache_.find(kA);
    EXPECT_NE(&*first, &*second);
    EXPECT_EQ(second->stream_bytes, 0U);
    fill(*second, made);
    expect_member(*second, made, 3);
    expect_member(*second, made, 1);
  });
  other.join();
  expect_member(*first, made, 3);
}

// --- damage --------------------------------------------------------------------------------------

TEST_F(ClusterCacheTest, ForgetsADamagedStream) {
  const Made made = make_cluster(12, 11);
  for (std::size_t at = 0; at < made.stream.size(); at += at < 40 ? 1 : 97) {
    Made damaged = made;
    damaged.stream[at] ^= std::byte{4};
    {
      const ClusterCache::Holder entry = cache_.find(kA);
      ASSERT_EQ(entry->stream_bytes, 0U) << "byte " << at;
      fill(*entry, damaged);
      Page out;
      ASSERT_EQ(code_of(unpack_member(*entry, 1, kCheck, out)), EIO) << "byte " << at;
    }
  }
  EXPECT_FALSE(read(kA, made, 11));
  EXPECT_TRUE(read(kA, made, 0));
}

TEST_F(ClusterCacheTest, RefusesPagesThatTheClusterDoesNotHave) {
  const Made made = make_cluster(5, 12);
  const ClusterCache::Holder entry = cache_.find(kA);
  for (const std::size_t number :
       {std::size_t{5}, std::size_t{31}, std::size_t{32}, std::size_t{4095}}) {
    fill(*entry, made);
    expect_member(*entry, made, 4);
    Page out;
    EXPECT_EQ(code_of(unpack_member(*entry, number, kCheck, out)), EIO) << number;
    EXPECT_EQ(entry->stream_bytes, 0U);
  }
}

TEST_F(ClusterCacheTest, LooksAtNoCheckWhenThereIsNone) {
  Made made = make_cluster(5, 13);
  std::memset(made.stream.data(), 0, kClusterCheckBytes);
  const ClusterCache::Holder entry = cache_.find(kA);
  fill(*entry, made);
  expect_member(*entry, made, 4, nullptr);
}

// Damage among the packed bytes of later blocks, unchecked: the pages before it are there.
TEST_F(ClusterCacheTest, ForgetsAStreamThatUnpacksOnlyInPart) {
  Made made = make_cluster(16, 14);
  made.stream.resize(made.stream.size() * 3 / 4);
  const ClusterCache::Holder entry = cache_.find(kA);
  fill(*entry, made);
  expect_member(*entry, made, 0, nullptr);
  Page out;
  EXPECT_EQ(code_of(unpack_member(*entry, 15, nullptr, out)), EIO);
  EXPECT_EQ(entry->stream_bytes, 0U);
  EXPECT_EQ(entry->ready_pages, 0U);
}

// --- memory --------------------------------------------------------------------------------------

TEST(ClusterCacheMemory, IsMadeByPrepareAndGrowsOnlyForLargerClusters) {
  ClusterCache cache(3);
  EXPECT_EQ(cache.memory_bytes(), 0U);
  std::size_t before = 0;
  for (const std::size_t most_pages : {2, 4, 16, 32}) {
    ASSERT_TRUE(cache.prepare(most_pages));
    EXPECT_GT(cache.memory_bytes(), before);
    EXPECT_GE(cache.memory_bytes(), 3 * most_pages * kPageBytes * 3 / 2);
    before = cache.memory_bytes();
  }
  for (const std::size_t most_pages : {2, 16, 32}) {
    ASSERT_TRUE(cache.prepare(most_pages));
    EXPECT_EQ(cache.memory_bytes(), before);
  }
}

TEST(ClusterCacheMemory, IsLargeEnoughForTheClustersAskedFor) {
  for (std::size_t most_pages = 2; most_pages <= kClusterMostPages; ++most_pages) {
    ClusterCache cache(1);
    ASSERT_TRUE(cache.prepare(most_pages));
    const ClusterCache::Holder entry = cache.find(kA);
    ASSERT_GE(entry->packed->size(), cluster_stream_room(most_pages));
    const Made made = make_cluster(most_pages, most_pages);
    fill(*entry, made);
    expect_member(*entry, made, most_pages - 1);
  }
}

// A cluster that was open in the smaller memory must not be unpacked there any more.
TEST(ClusterCacheMemory, ForgetsWhatWasOpenWhenItGrows) {
  ClusterCache cache(1);
  ASSERT_TRUE(cache.prepare(8));
  const Made made = make_cluster(8, 1);
  {
    const ClusterCache::Holder entry = cache.find(kA);
    fill(*entry, made);
    expect_member(*entry, made, 1);
  }
  ASSERT_TRUE(cache.prepare(16));
  const ClusterCache::Holder entry = cache.find(kA);
  EXPECT_EQ(entry->stream_bytes, 0U);
  fill(*entry, made);
  expect_member(*entry, made, 7);
}

// --- threads -------------------------------------------------------------------------------------

// More threads than entries, more clusters than entries, and the memory grows meanwhile.
TEST(ClusterCacheThread, GivesEveryReaderItsPages) {
  constexpr int kReaders = 5;
  constexpr int kRounds = UZ_UNDER_SANITIZER ? 800 : 4000;
  ClusterCache cache(3);
  ASSERT_TRUE(cache.prepare(8));
  std::vector<Made> clusters;
  for (std::uint64_t i = 0; i < 8; ++i) clusters.push_back(make_cluster(2 + i % 7, i));
  std::atomic<int> still_reading{kReaders};
  std::vector<std::thread> threads;
  for (int reader = 0; reader < kReaders; ++reader) {
    threads.emplace_back([&, reader] {
      Random random(static_cast<std::uint64_t>(reader));
      for (int round = 0; round < kRounds && !testing::Test::HasFatalFailure(); ++round) {
        const std::size_t which = random.below(clusters.size());
        const Made& made = clusters[which];
        const ClusterCache::Holder entry = cache.find({{50 + which}, 3});
        if (entry->stream_bytes == 0) fill(*entry, made);
        expect_member(*entry, made, random.below(made.pages.size() / kPageBytes));
      }
      still_reading.fetch_sub(1);
    });
  }
  for (std::size_t most_pages = 9; still_reading.load() > 0; ++most_pages) {
    if (most_pages <= kClusterMostPages) {
      ASSERT_TRUE(cache.prepare(most_pages));
    }
    static_cast<void>(cache.memory_bytes());
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(cache.hits() + cache.misses(), std::uint64_t{kReaders} * kRounds);
}

}  // namespace
}  // namespace uzram
