// SPDX-License-Identifier: Apache-2.0
// Everything that a store does, by many threads on the same pages at once.
//
// A page carries who wrote it and which write it was in every 16 bytes, so any mixture of two
// writes shows. Writers acknowledge by storing the version after the write.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <thread>
#include <vector>

#include "store/background_fixture.h"
#include "store/store.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kPages = 48;
constexpr int kRounds = UZ_UNDER_SANITIZER ? 1500 : 3000;

struct Stamp {
  std::uint64_t page = 0;
  std::uint64_t version = 0;
};

// Some versions are patterns (page * 2^40 + version, 8 bytes each), some pack, some do not.
Page stamped_page(Stamp stamp) {
  const std::uint64_t id = stamp.page << 40 | stamp.version;
  if (stamp.version % 4 == 0) return filled_page(id);
  Page page = stamp.version % 4 == 1 ? page_of(PageKind::Random, id) : page_of(PageKind::Text, id);
  for (std::size_t i = 0; i < kPageBytes; i += 64) std::memcpy(&page[i], &id, sizeof id);
  return page;
}

std::uint64_t version_of(const Page& page) {
  std::uint64_t id = 0;
  std::memcpy(&id, page.data(), sizeof id);
  return id & ((1ULL << 40) - 1);
}

bool is_empty_page(const Page& page) { return page == Page{}; }

class StoreThread : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { store_ = make_store(config_of(GetParam(), "zstd", kPages), 3); }
  void TearDown() override {
    store_->check_invariants();
    reopen(*store_)->check_invariants();
  }
  void start(std::function<void(Random&)> work) {
    const std::uint64_t seed = threads_.size() + 1;
    threads_.emplace_back([this, seed, work = std::move(work)] {
      Random random(seed);
      for (int round = 0; round < kRounds; ++round) work(random);
      still_working_.fetch_sub(1);
    });
  }
  // Behind the others, until they are done.
  void start_behind(std::function<void(Random&)> work) {
    const std::uint64_t seed = threads_.size() + 1;
    threads_.emplace_back([this, seed, work = std::move(work)] {
      Random random(seed);
      while (still_working_.load() > 0) {
        work(random);
        std::this_thread::yield();
      }
    });
  }
  void expect_thread_count(int count) { still_working_ = count; }
  void join() {
    for (std::thread& thread : threads_) thread.join();
  }
  void tidy_behind() {
    start_behind([this](Random& random) {
      random.below(2) == 0 ? static_cast<void>(store_->compact()) : store_->maintain();
    });
  }
  // Packs pages again, alone or with their neighbours, while the others use them.
  void pack_behind() {
    start_behind([this](Random& random) {
      ClusterRequest clusters;
      clusters.cluster_pages = 2 + random.below(kMostClusterPages - 1);
      clusters.level = 1;
      clusters.only_mostly_dead = random.below(4) == 0;
      count(make_clusters(*store_, clusters, stop_));
      if (random.below(3) == 0) count(recompress(*store_, {}, stop_));
    });
  }
  void count(const Result<BackgroundOutcome>& outcome) {
    ASSERT_TRUE(outcome.has_value() || outcome.error().code == ENOSPC);
    packed_anew_ += outcome ? outcome->changed_pages : 0;
  }

  std::unique_ptr<Store> store_;
  StopSignal stop_{false};
  std::atomic<std::uint64_t> packed_anew_{0};
  std::vector<std::thread> threads_;
  std::atomic<int> still_working_{0};
};

// A reader that begins after version v of a page was acknowledged sees v or a later one, whole.
TEST_P(StoreThread, ReadsWholeVersionsThatAreNotOlderThanTheAcknowledgedOne) {
  std::array<std::atomic<std::uint64_t>, kPages> acknowledged{};
  expect_thread_count(4);
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    start([&, writer](Random& random) {
      const std::uint64_t page = random.below(kPages / 2) * 2 + writer;
      const std::uint64_t version = acknowledged[page].load() + 1;
      ASSERT_TRUE(store_->write({page}, stamped_page({page, version})).has_value());
      acknowledged[page].store(version);
    });
  }
  for (int reader = 0; reader < 2; ++reader) {
    start([&](Random& random) {
      const std::uint64_t page = random.below(kPages);
      const std::uint64_t before = acknowledged[page].load();
      Page out;
      ASSERT_TRUE(store_->read({page}, out).has_value());
      if (before == 0 && is_empty_page(out)) return;
      const std::uint64_t version = version_of(out);
      ASSERT_GE(version, before) << "page " << page;
      ASSERT_EQ(out, stamped_page({page, version})) << "page " << page;
    });
  }
  tidy_behind();
  pack_behind();
  join();
  for (std::uint64_t page = 0; page < kPages; ++page) {
    if (acknowledged[page] == 0) continue;
    ASSERT_EQ(read_page_of(*store_, page), stamped_page({page, acknowledged[page]}));
  }
}

// Several writers and discards on the same page: one of them wins as a whole.
TEST_P(StoreThread, LetsOneOfTheWritersOfAPageWin) {
  constexpr std::uint64_t kFew = 4;
  expect_thread_count(4);
  for (std::uint64_t writer = 0; writer < 2; ++writer) {
    start([this, writer](Random& random) {
      const std::uint64_t page = random.below(kFew);
      const std::uint64_t version = 1 + random.below(500) * 2 + writer;
      ASSERT_TRUE(store_->write({page}, stamped_page({page, version})).has_value());
    });
  }
  start([this](Random& random) { store_->free({random.below(kFew)}, 1 + random.below(2)); });
  start([this](Random& random) {
    const std::uint64_t page = random.below(kFew);
    Page out;
    ASSERT_TRUE(store_->read({page}, out).has_value());
    if (is_empty_page(out)) return;
    ASSERT_EQ(out, stamped_page({page, version_of(out)}));
  });
  tidy_behind();
  pack_behind();
  join();
}

// Each thread owns a part of every page: no update of one may be lost to another's.
TEST_P(StoreThread, LosesNoUpdateOfPartsOfOnePage) {
  constexpr std::size_t kParts = 4;
  constexpr std::size_t kPartBytes = kPageBytes / kParts;
  constexpr std::uint64_t kFew = 3;
  expect_thread_count(kParts);
  std::array<std::array<std::uint64_t, kFew>, kParts> versions{};
  const auto part_of = [](std::size_t part, std::uint64_t page, std::uint64_t version) {
    std::array<std::byte, kPartBytes> content{};
    if (version == 0) return content;
    PageMaker(version * 31 + part * 7 + page)
        .fill(version % 3 == 0 ? PageKind::Random : PageKind::Text, content);
    return content;
  };
  for (std::size_t part = 0; part < kParts; ++part) {
    start([&, part](Random& random) {
      const std::uint64_t page = random.below(kFew);
      std::uint64_t& version = versions[part][page];
      std::array<std::byte, kPartBytes> out{};
      ASSERT_TRUE(store_->read_part({page}, part * kPartBytes, out).has_value());
      ASSERT_EQ(out, part_of(part, page, version)) << "an acknowledged update is gone";
      ++version;
      ASSERT_TRUE(
          store_->write_part({page}, part * kPartBytes, part_of(part, page, version)).has_value());
    });
  }
  tidy_behind();
  pack_behind();
  join();
}

// Whole-page writes and parts of them on the same pages; the part is always written complete.
TEST_P(StoreThread, KeepsPartsWholeBetweenWholeWrites) {
  constexpr std::uint64_t kFew = 3;
  constexpr std::size_t kOffset = 1000;
  constexpr std::size_t kBytes = 500;
  expect_thread_count(3);
  start([this](Random& random) {
    const std::uint64_t page = random.below(kFew);
    ASSERT_TRUE(
        store_->write({page}, filled_page(random.below(250) * 0x0101010101010101ULL)).has_value());
  });
  start([this](Random& random) {
    std::array<std::byte, kBytes> part;
    part.fill(static_cast<std::byte>(random.below(250)));
    ASSERT_TRUE(store_->write_part({random.below(kFew)}, kOffset, part).has_value());
  });
  start([this](Random& random) {
    Page out;
    ASSERT_TRUE(store_->read({random.below(kFew)}, out).has_value());
    const auto is_one_byte = [&out](std::size_t first, std::size_t last) {
      return std::all_of(out.begin() + first, out.begin() + last,
                         [&](std::byte byte) { return byte == out[first]; });
    };
    ASSERT_TRUE(is_one_byte(0, kOffset) && is_one_byte(kOffset, kOffset + kBytes) &&
                is_one_byte(kOffset + kBytes, kPageBytes));
    ASSERT_EQ(out[0], out[kPageBytes - 1]);
  });
  tidy_behind();
  pack_behind();
  join();
}

// At the limit, with everything at once: what was acknowledged is there, what was refused changed
// nothing.
TEST_P(StoreThread, KeepsItsWordAtTheLimit) {
  store_->pool().set_limit_pages(20);
  std::array<std::uint64_t, kPages> acknowledged{};
  expect_thread_count(3);
  for (std::uint64_t writer = 0; writer < 3; ++writer) {
    start([&, writer](Random& random) {
      const std::uint64_t page = random.below(kPages / 3) * 3 + writer;
      if (random.below(8) == 0) {
        store_->free({page}, 1);
        acknowledged[page] = 0;
        return;
      }
      const std::uint64_t version = 1 + random.below(1U << 20);
      const Result<void> done = store_->write({page}, stamped_page({page, version}));
      if (done) acknowledged[page] = version;
      ASSERT_TRUE(done || done.error().code == ENOSPC);
      const std::uint64_t expected = acknowledged[page];
      ASSERT_EQ(read_page_of(*store_, page),
                expected == 0 ? Page{} : stamped_page({page, expected}));
    });
  }
  tidy_behind();
  pack_behind();
  join();
}

// Many readers of the same few clusters, whose members are written now and then: who reads a member
// gets its version, wherever the cluster that holds it has gone meanwhile.
TEST_P(StoreThread, ReadsMembersWhileTheirClustersComeAndGo) {
  std::array<std::atomic<std::uint64_t>, kPages> acknowledged{};
  for (std::uint64_t page = 0; page < kPages; ++page) {
    acknowledged[page] = 2;
    ASSERT_TRUE(store_->write({page}, stamped_page({page, 2})).has_value());
  }
  ClusterRequest all;
  count(make_clusters(*store_, all, stop_));
  ASSERT_GT(store_->sums().clusters, 2);
  expect_thread_count(4);
  for (int reader = 0; reader < 3; ++reader) {
    start([&](Random& random) {
      // Neighbours one after another, as a scan reads them.
      constexpr std::uint64_t kScanPages = UZ_UNDER_SANITIZER ? 2 : 6;
      const std::uint64_t first = random.below(kPages);
      for (std::uint64_t page = first; page < first + kScanPages; ++page) {
        const std::uint64_t number = page % kPages;
        const std::uint64_t before = acknowledged[number].load();
        Page out;
        ASSERT_TRUE(store_->read({number}, out).has_value());
        const std::uint64_t version = version_of(out);
        ASSERT_GE(version, before) << "page " << number;
        ASSERT_EQ(out, stamped_page({number, version})) << "page " << number;
      }
    });
  }
  start([&](Random& random) {
    const std::uint64_t page = random.below(kPages);
    const std::uint64_t version =
        acknowledged[page].load() + 4;  // Text: it can be clustered again.
    ASSERT_TRUE(store_->write({page}, stamped_page({page, version})).has_value());
    acknowledged[page].store(version);
  });
  tidy_behind();
  pack_behind();
  join();
  EXPECT_GT(packed_anew_.load(), 2 * kPages);
}

// Statistics, reserve and words are asked for by others meanwhile.
TEST_P(StoreThread, AnswersWhileItWorks) {
  expect_thread_count(2);
  for (int writer = 0; writer < 2; ++writer) {
    start([this](Random& random) {
      const std::uint64_t page = random.below(kPages);
      ASSERT_TRUE(store_->write({page}, stamped_page({page, random.below(1000)})).has_value());
    });
  }
  start_behind([this](Random& random) {
    const StoreSums sums = store_->sums();
    ASSERT_LE(sums.stored_pages, static_cast<std::int64_t>(kPages + 2));
    ASSERT_LE(store_->word_of({random.below(kPages)}).packed_bytes(), kPageBytes);
    static_cast<void>(store_->pool().tight_pages() + store_->pool().metadata_bytes());
  });
  start_behind(
      [this](Random& random) { ASSERT_TRUE(store_->reserve(random.below(2) * 128).has_value()); });
  tidy_behind();
  pack_behind();
  join();
}

std::string algorithm_name(const testing::TestParamInfo<const char*>& row) { return row.param; }

INSTANTIATE_TEST_SUITE_P(Algorithms, StoreThread, testing::Values("lz4", "zstd"), algorithm_name);

}  // namespace
}  // namespace uzram
