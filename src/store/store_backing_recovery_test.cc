// SPDX-License-Identifier: Apache-2.0
// Stores with pages elsewhere, opened again: after a kill in the middle of anything, without the
// backing store, with another one, with one whose content was replaced.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <atomic>
#include <csignal>
#include <ctime>
#include <new>
#include <set>
#include <thread>

#include "backing/backing_store_rows.h"
#include "store/writeback_fixture.h"

namespace uzram {
namespace {

class StoreBackingRecovery : public WritebackTest {
 protected:
  // In memory: 0-19 text, 20-29 in clusters, 30-39 shared. Away: the same from 100 on.
  void SetUp() override {
    StoreConfig config = config_of("lz4", "zstd", 300);
    config.uses_dedup = true;
    make_backed(config);
    for (const std::uint64_t first : {100, 0}) {
      write_pages(first + 20, 10, PageKind::Text);
      cluster_pages(4);
      write_pages(first, 15, PageKind::Text);
      write_pages(first + 15, 5, PageKind::Random);
      for (std::uint64_t i = 0; i < 10; ++i)
        write(first + 30 + i, page_of(PageKind::Records, first + i / 2));
      if (first == 100) write_back_all();
    }
    away_ = pages_away();
    ASSERT_EQ(away_.size(), 40U);
  }
  void expect_gone(const std::vector<std::uint64_t>& pages) {
    const std::set<std::uint64_t> gone(pages.begin(), pages.end());
    for (std::uint64_t page = 0; page < 300; ++page) {
      if (gone.count(page) != 0) {
        EXPECT_EQ(read_error(page), EIO) << "page " << page;
      } else {
        ASSERT_EQ(read_page_of(*store_, page), mirror_[page]) << "page " << page;
      }
    }
  }
  void heal(const std::vector<std::uint64_t>& pages) {
    for (const std::uint64_t page : pages) write(page, Page(mirror_[page]));
    expect_sound();
    expect_content();
  }
  std::vector<std::uint64_t> away_;
};

TEST_F(StoreBackingRecovery, FindsEveryPageWhereItIs) {
  for (int life = 0; life < 3; ++life) {
    reopen_backed();
    EXPECT_EQ(pages_away(), away_);
    expect_sound();
  }
  expect_content();
  EXPECT_EQ(counters().blocks_in_use, 0U);
  reopen_backed();
  expect_content();
}

TEST_F(StoreBackingRecovery, MissesOnlyWhatIsOnAStoreThatIsGone) {
  reopen_alone();
  EXPECT_EQ(store_->backing(), nullptr);
  expect_gone(away_);
  EXPECT_EQ(write_back(*store_, {}, stop_).error, ENODEV);
  EXPECT_NE(code_of(store_->write_part({100}, 0, ConstBytes(mirror_[0]).first(9))), 0);
  expect_gone(away_);
  heal(away_);
}

TEST_F(StoreBackingRecovery, FindsPagesAgainWhenTheStoreComesBack) {
  reopen_alone();
  write(100, page_of(PageKind::Text, 7));
  free_page(101);
  write(121, page_of(PageKind::Text, 8));
  write(130, page_of(PageKind::Text, 9));
  free_page(132);
  free_page(133);
  reopen_alone();
  reopen_backed();
  expect_sound();
  expect_content();
  EXPECT_EQ(counters().blocks_in_use, 0U) << "what was left meanwhile is free";
}

TEST_F(StoreBackingRecovery, RefusesAStoreOfAnotherSize) {
  FakeDisk larger(kBlocks + 1);
  reopen_with(larger);
  EXPECT_EQ(store_->backing(), nullptr);
  EXPECT_EQ(larger.request_count(FakeDisk::Kind::Read), 0U);
  expect_gone(away_);
  store_.reset();
}

TEST_F(StoreBackingRecovery, ReadsNothingFromAStoreWhoseContentWasReplaced) {
  for (std::size_t i = 0; i < disk_->bytes().size(); ++i)
    disk_->bytes()[i] = static_cast<std::byte>(i * 7 + i / 4096);
  reopen_backed();
  expect_gone(away_);
  heal(away_);
  write_back_all();
  expect_content();
}

TEST_F(StoreBackingRecovery, ReadsNothingOfAnEarlierTime) {
  const std::vector<std::byte> before(disk_->bytes().begin(), disk_->bytes().end());
  expect_content();  // All come back.
  for (std::uint64_t page = 100; page < 140; ++page) write(page, page_of(PageKind::Text, page * 3));
  write_back_all();
  const std::vector<std::uint64_t> away = pages_away();
  std::copy(before.begin(), before.end(), disk_->bytes().begin());
  reopen_backed();
  expect_gone(away);
  heal(away);
}

TEST_F(StoreBackingRecovery, LosesOnlyPagesWhoseWordsAreDamaged) {
  // Two pages at one place, a place that the store does not have, an algorithm that nobody has.
  const SlotWord other = word(101);
  const SlotWord far = SlotWord::written_back({kBlocks * kStepsPerBlock - 1}, 3000, 0);
  const SlotWord strange = SlotWord::written_back(word(103).place(), word(103).packed_bytes(), 3);
  {
    const ArenaView view(*store_);
    view.set_word(102, other);
    view.set_word(104, far);
    view.set_word(103, strange);
  }
  reopen_backed();
  for (const std::uint64_t page : {102, 103, 104}) EXPECT_EQ(state(page), SlotState::Lost) << page;
  expect_gone({102, 103, 104});
  heal({102, 103, 104});
}

TEST_F(StoreBackingRecovery, LosesOneClusterWithItsWord) {
  const std::uint64_t slot = cluster_of(121).value;
  ArenaView(*store_).set_word(slot,
                              SlotWord::cluster_written_back({kBlocks * kStepsPerBlock}, 4096));
  reopen_backed();
  expect_gone({120, 121, 122, 123});
  heal({120, 121, 122, 123});
}

TEST_F(StoreBackingRecovery, LosesTheSharersOfADamagedSlot) {
  const std::uint64_t slot = word(130).slot().value;
  ArenaView(*store_).set_word(slot, SlotWord::written_back({kBlocks * kStepsPerBlock}, 4000, 0));
  reopen_backed();
  expect_gone({130, 131});
  heal({130, 131});
}

TEST_F(StoreBackingRecovery, DropsSlotsWithoutUsers) {
  {
    const ArenaView view(*store_);
    view.set_word(130, SlotWord{});
    view.set_word(131, SlotWord{});
    view.set_word(30, SlotWord{});
    view.set_word(31, SlotWord{});
  }
  for (const std::uint64_t page : {30, 31, 130, 131}) mirror_.erase(page);
  const std::int64_t before = store_->sums().shared_slots;
  reopen_backed();
  EXPECT_EQ(store_->sums().shared_slots, before - 2);
  expect_sound();
  expect_content();
}

// The content stands in a shared slot already, and its first page says still that it is its own.
TEST_F(StoreBackingRecovery, BelievesThePageWhereSharingHadJustBegun) {
  const SlotWord owned = word(5);
  ArenaView(*store_).set_word(store_->regions().shared_begin + 200, owned);
  reopen_backed();
  EXPECT_EQ(word(5), owned);
  EXPECT_EQ(store_->word_of_slot({store_->regions().shared_begin + 200}), SlotWord{});
  expect_sound();
  expect_content();
}

// One word of any slot, anything in it: no page reads as other bytes; the store goes on.
TEST_F(StoreBackingRecovery, NeverReadsOtherBytesWhateverOneWordHolds) {
  Random random(31);
  for (int round = 0; round < 100; ++round) {
    const std::uint64_t kinds[] = {
        100 + random.below(40), store_->regions().shared_begin + random.below(12),
        store_->regions().shared_end + random.below(8), random.below(40)};
    const std::uint64_t slot = kinds[random.below(4)];
    SlotWord bad(random.next());
    const SlotWord was = ArenaView(*store_).word(slot);
    if (round % 2 == 0) bad = SlotWord(was.bits() ^ (1ULL << random.below(64)));
    // What no check covers: which member of a cluster, which raw object, which pattern.
    const std::set<SlotState> unchecked = {SlotState::Member,     SlotState::Shared,
                                           SlotState::Raw,        SlotState::Same,
                                           SlotState::SameStored, SlotState::Empty};
    if (was.state() == SlotState::Member || unchecked.count(bad.state()) != 0) continue;
    ArenaView(*store_).set_word(slot, bad);
    reopen_backed();
    std::vector<std::uint64_t> lost;
    for (std::uint64_t page = 0; page < 140; ++page) {
      Page out;
      const int error = code_of(store_->read({page}, out));
      ASSERT_TRUE(error == EIO || (error == 0 && out == mirror_[page]))
          << "page " << page << " after " << std::hex << bad.bits() << " in " << slot;
      if (error != 0 || page == slot) lost.push_back(page);
    }
    EXPECT_LE(lost.size(), 24U) << "a larger size may claim its neighbours' blocks";
    heal(lost);
    store_->free({0}, 300);
    EXPECT_EQ(store_->sums(), StoreSums{});
    mirror_.clear();
    SetUp();
  }
}

// --- killed in the middle ------------------------------------------------------------------------

constexpr std::uint64_t kKillPages = 400;
constexpr std::uint64_t kKillBlocks = 300;

struct Versions {
  std::atomic<std::uint64_t> intended{0};
  std::atomic<std::uint64_t> acknowledged{0};
};
struct Record {
  std::array<Versions, kKillPages> pages;
  std::atomic<std::uint64_t> writes{0};
  std::atomic<std::uint64_t> written_back{0};
  std::atomic<std::uint64_t> brought_back{0};
};

// A few contents for many pages and versions, so that pages share them.
Page content_of(std::uint64_t page, std::uint64_t version) {
  if (version == 0 || version % 11 == 0) return {};
  const std::uint64_t seed = version % 3 == 0 ? page * 1'000'003 + version : (page + version) % 60;
  return page_of(seed % 4 == 0 ? PageKind::Random : PageKind::Text, seed);
}

class Killed {
 public:
  Killed(int memfd, Record& record, std::uint64_t seed) : record_(record), random_(seed) {
    auto store = Store::open(FileDescriptor(memfd), 3);
    UZ_CHECK(store.has_value());
    UZ_CHECK((*store)->backing() != nullptr);
    store_ = std::move(*store);
  }
  [[noreturn]] void run() {
    std::thread writer([this] { change_pages(0); });
    std::thread other([this] { change_pages(1); });
    std::thread reader([this] { read_pages(); });
    work_behind();
  }

 private:
  [[noreturn]] void change_pages(std::uint64_t thread) {
    Random random(random_.next() + thread);
    for (;;) {
      const std::uint64_t page = random.below(kKillPages / 2) * 2 + thread;
      Versions& versions = record_.pages[page];
      const std::uint64_t version = versions.acknowledged.load() + 1;
      const Page content = content_of(page, version);
      versions.intended.store(version);
      if (content == Page{}) {
        store_->free({page}, 1);
      } else {
        UZ_CHECK(store_->write({page}, content).has_value());
      }
      versions.acknowledged.store(version);
      record_.writes.fetch_add(1);
    }
  }
  [[noreturn]] void read_pages() {
    Random random(5);
    Page out;
    for (;;) {
      const std::uint64_t before = store_->pages_brought_back();
      UZ_CHECK(store_->read({random.below(kKillPages)}, out).has_value());
      record_.brought_back.fetch_add(store_->pages_brought_back() - before);
    }
  }
  [[noreturn]] void work_behind() {
    if (store_->needs_dedup_index()) store_->rebuild_dedup_index(stop_);
    for (;;) {
      WritebackRequest request;
      request.keep_packed = random_.below(2) == 0;
      switch (random_.below(6)) {
        case 0:
          UZ_CHECK(make_clusters(*store_, {}, stop_).has_value());
          break;
        case 1:
          UZ_CHECK(recompress(*store_, {}, stop_).has_value());
          break;
        case 2:
          store_->compact();
          break;
        default: {
          const WritebackOutcome outcome = write_back(*store_, request, stop_);
          UZ_CHECK(outcome.error == 0 || outcome.error == ENOSPC);
          record_.written_back.fetch_add(outcome.written_pages);
          break;
        }
      }
    }
  }

  Record& record_;
  Random random_;
  StopSignal stop_{false};
  std::unique_ptr<Store> store_;
};

class StoreBackingKill : public testing::Test {
 protected:
  void SetUp() override {
    void* memory =
        ::mmap(nullptr, sizeof(Record), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    record_ = new (memory) Record();
    const std::string file = folder_.make_file("store", kKillBlocks * kBlockBytes);
    StoreConfig config = config_of("lz4", "zstd", kKillPages);
    config.uses_dedup = true;
    config.backing.where = file;
    config.backing.block_count = kKillBlocks;
    for (std::size_t i = 0; i < config.backing.key.size(); ++i)
      config.backing.key[i] = static_cast<std::byte>(i);
    auto backing = open_backing_store(file);
    ASSERT_TRUE(backing.has_value());
    auto store = Store::create(config, 2, std::move(*backing));
    ASSERT_TRUE(store.has_value());
    memfd_ = duplicate((*store)->arena_descriptor());
  }
  void TearDown() override { ::munmap(record_, sizeof(Record)); }

  void live_and_die(std::uint64_t seed) {
    const std::uint64_t before = record_->writes.load();
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) Killed(memfd_.release(), *record_, seed).run();
    const timespec tick{0, 100'000};
    for (int i = 0; i < 100'000 && record_->writes.load() == before; ++i)
      ::nanosleep(&tick, nullptr);
    const timespec life{0, static_cast<long>(Random(seed).below(25'000'000))};
    ::nanosleep(&life, nullptr);
    ::kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it failed by itself";
  }
  void check_and_settle() {
    auto store = Store::open(duplicate(memfd_.get()), 2);
    ASSERT_TRUE(store.has_value());
    ASSERT_NE((*store)->backing(), nullptr) << "the store is there, and must be found";
    (*store)->check_invariants();
    ASSERT_EQ((*store)->backing()->counters().live_bytes, bytes_away(**store));
    for (std::uint64_t page = 0; page < kKillPages; ++page) {
      Versions& versions = record_->pages[page];
      const std::uint64_t acknowledged = versions.acknowledged.load();
      const std::uint64_t intended = versions.intended.load();
      const bool was_away = state_of(**store, {page}) && state_of(**store, {page})->is_written_back;
      away_count_ += was_away ? 1 : 0;
      const Page read = read_page_of(**store, page);
      const bool is_stored = intended != acknowledged && read == content_of(page, intended);
      ASSERT_TRUE(is_stored || read == content_of(page, acknowledged)) << "page " << page;
      versions.acknowledged.store(is_stored ? intended : acknowledged);
      versions.intended.store(versions.acknowledged.load());
    }
    (*store)->check_invariants();
  }

  TemporaryFolder folder_;
  Record* record_ = nullptr;
  FileDescriptor memfd_;
  std::uint64_t away_count_ = 0;
};

TEST_F(StoreBackingKill, KeepsEveryAcknowledgedWriteThroughKills) {
  const char* given = std::getenv("UZRAM_SEED");
  const std::uint64_t seed = given == nullptr ? static_cast<std::uint64_t>(std::time(nullptr))
                                              : std::strtoull(given, nullptr, 10);
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  const int kill_count = UZ_UNDER_SANITIZER ? 15 : 60;
  const auto saw_enough = [&] {
    return record_->written_back.load() > 1000 && record_->brought_back.load() > 0 &&
           away_count_ > 100;
  };
  // A slow machine needs more lives for as much work.
  for (int kill = 0; kill < kill_count || (!saw_enough() && kill < 10 * kill_count); ++kill) {
    live_and_die(seed + static_cast<std::uint64_t>(kill));
    if (!HasFailure()) check_and_settle();
    ASSERT_FALSE(HasFailure()) << "after kill " << kill << " of seed " << seed;
  }
  EXPECT_GT(record_->written_back.load(), 1000U);
  EXPECT_GT(record_->brought_back.load(), 0U);
  EXPECT_GT(away_count_, 100U) << "kills must find pages away";
}

}  // namespace
}  // namespace uzram
