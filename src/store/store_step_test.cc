// SPDX-License-Identifier: Apache-2.0
// One change of a store, stopped after every machine instruction: whenever the arena's bytes differ
// from before, a copy of them is opened as after a crash, and must hold the old page or the new
// one.
//
// A child makes the change under ptrace; the parent steps it and compares the arena, so that no
// instruction between the first and the last of a write, a free or a move is left out. What a
// change is made of (packed bytes, say) may be prepared before.
#include <gtest/gtest.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>

#include "store/background_fixture.h"
#include "store/store.h"
#include "store/store_fixture.h"

namespace uzram {
namespace {

constexpr std::uint64_t kPages = 64;
using Pages = std::vector<Page>;

// The resident parts of an arena, and a second arena with the same bytes.
class Snapshot {
 public:
  explicit Snapshot(const ArenaView& view, int memfd) : view_(view), memfd_(memfd) {}

  // Whether the arena has changed since the last call.
  bool take() {
    bool has_changed = false;
    std::size_t count = 0;
    for (std::uint64_t offset = 0; next_resident(offset); offset += kPageBytes, ++count) {
      if (count == offsets_.size()) {
        offsets_.push_back(~std::uint64_t{0});
        pages_.emplace_back();
      }
      const std::byte* live = view_.base() + offset;
      if (offsets_[count] == offset && std::memcmp(pages_[count].data(), live, kPageBytes) == 0)
        continue;
      offsets_[count] = offset;
      std::memcpy(pages_[count].data(), live, kPageBytes);
      has_changed = true;
    }
    has_changed = has_changed || count != offsets_.size();
    offsets_.resize(count);
    pages_.resize(count);
    return has_changed;
  }

  [[nodiscard]] FileDescriptor copy() const {
    FileDescriptor memfd(::memfd_create("copy", MFD_CLOEXEC));
    EXPECT_EQ(::ftruncate(memfd.get(), static_cast<off_t>(view_.layout().arena_bytes)), 0);
    for (std::size_t i = 0; i < offsets_.size(); ++i) {
      EXPECT_EQ(
          ::pwrite(memfd.get(), pages_[i].data(), kPageBytes, static_cast<off_t>(offsets_[i])),
          static_cast<ssize_t>(kPageBytes));
    }
    return memfd;
  }

 private:
  bool next_resident(std::uint64_t& offset) const {
    const off_t found = ::lseek(memfd_, static_cast<off_t>(offset), SEEK_DATA);
    offset = static_cast<std::uint64_t>(found);
    return found >= 0;
  }

  const ArenaView& view_;
  const int memfd_;
  std::vector<std::uint64_t> offsets_;
  std::vector<Page> pages_;
};

class StoreStep : public testing::Test {
 protected:
  using Change = std::function<void(Store&)>;
  // Gets ready for a change, and returns it.
  using Preparation = std::function<std::function<void()>(Store&)>;

  void SetUp() override {
    if (UZ_UNDER_SANITIZER) GTEST_SKIP() << "a sanitizer multiplies the instructions";
    StoreConfig config = config_of("lz4", "zstd", kPages);
    config.uses_dedup = uses_dedup_;
    store_ = make_store(config, 1);
    before_.resize(kPages);
    for (std::uint64_t page = 0; page < 12; ++page)
      put(page, page_of(page % 3 == 0 ? PageKind::Random : PageKind::Text, page));
    put(12, filled_page(5));
    put(13, filled_page(0x0123456789abcdef));
  }
  void put(std::uint64_t page, const Page& content) {
    ASSERT_EQ(code_of(store_->write({page}, content)), 0);
    before_[page] = content;
  }

  // The child opens the arena, stops, makes the change, and stops again.
  [[noreturn]] void change_under_ptrace(const Preparation& prepare) {
    auto store = Store::open(duplicate(store_->arena_descriptor()), 1);
    UZ_CHECK(store.has_value());
    const std::function<void()> change = prepare(**store);
    UZ_CHECK(::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0);
    ::raise(SIGSTOP);
    change();
    ::raise(SIGUSR1);
    ::_exit(0);
  }

  void step_through(std::uint64_t page, const Page& after, const Change& change) {
    step_through_prepared(page, after,
                          [&change](Store& store) { return [&change, &store] { change(store); }; });
  }
  // Work in the background: no page changes.
  void step_through_work(const Preparation& prepare) {
    step_through_prepared(0, before_[0], prepare);
  }
  // Makes the change one instruction at a time; `page` is the only one that it changes.
  void step_through_prepared(std::uint64_t page, const Page& after, const Preparation& prepare) {
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) change_under_ptrace(prepare);
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    if (WIFEXITED(status) || WIFSIGNALED(status)) GTEST_SKIP() << "ptrace is not permitted here";
    const ArenaView view(*store_);
    Snapshot snapshot(view, store_->arena_descriptor());
    snapshot.take();
    std::uint64_t step_count = 0;
    while (is_stopped_by(status, step_count == 0 ? SIGSTOP : SIGTRAP)) {
      ASSERT_EQ(::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr), 0);
      ASSERT_EQ(::waitpid(child, &status, 0), child);
      ++step_count;
      if (!snapshot.take()) continue;
      ++state_count_;
      check(snapshot.copy(), page, after);
      if (HasFailure()) break;
    }
    EXPECT_TRUE(HasFailure() || is_stopped_by(status, SIGUSR1)) << "the change failed";
    ::kill(child, SIGKILL);
    ::waitpid(child, &status, 0);
    EXPECT_GT(step_count, 100U);
    EXPECT_GE(state_count_, 1);
    EXPECT_EQ(switch_count_, before_[page] == after ? 0 : 1) << "once new, never old again";
  }

  static bool is_stopped_by(int status, int signal) {
    return WIFSTOPPED(status) && WSTOPSIG(status) == signal;
  }

  void check(FileDescriptor copy, std::uint64_t page, const Page& after) {
    auto store = Store::open(std::move(copy), 1);
    ASSERT_TRUE(store.has_value());
    (*store)->check_invariants();
    for (std::uint64_t other = 0; other < kPages; ++other) {
      if (other == page) continue;
      ASSERT_EQ(read_page_of(**store, other), before_[other]) << "page " << other;
    }
    const Page now = read_page_of(**store, page);
    ASSERT_TRUE(now == before_[page] || now == after) << "neither old nor new";
    const bool is_new = now == after && after != before_[page];
    if (is_new != was_new_) ++switch_count_;
    was_new_ = is_new;
  }

  bool uses_dedup_ = false;
  std::unique_ptr<Store> store_;
  Pages before_;
  int state_count_ = 0;
  int switch_count_ = 0;
  bool was_new_ = false;
};

TEST_F(StoreStep, WritesAPageForTheFirstTime) {
  const Page page = page_of(PageKind::Text, 50);
  step_through(40, page, [&](Store& store) { UZ_CHECK(store.write({40}, page).has_value()); });
}

TEST_F(StoreStep, OverwritesAPackedPage) {
  const Page page = page_of(PageKind::SparseIntegers, 51);
  step_through(4, page, [&](Store& store) { UZ_CHECK(store.write({4}, page).has_value()); });
}

TEST_F(StoreStep, OverwritesARawPageByAPattern) {
  const Page page = filled_page(0xfedcba9876543210);
  step_through(3, page, [&](Store& store) { UZ_CHECK(store.write({3}, page).has_value()); });
}

TEST_F(StoreStep, OverwritesAPatternByRandomBytes) {
  const Page page = page_of(PageKind::Random, 52);
  step_through(13, page, [&](Store& store) { UZ_CHECK(store.write({13}, page).has_value()); });
}

TEST_F(StoreStep, ChangesAPartOfAPage) {
  Page page = before_[7];
  std::fill(page.begin() + 100, page.begin() + 900, std::byte{'x'});
  step_through(7, page, [&](Store& store) {
    UZ_CHECK(store.write_part({7}, 100, ConstBytes(page).subspan(100, 800)).has_value());
  });
}

TEST_F(StoreStep, FreesAPage) {
  step_through(8, Page{}, [](Store& store) { store.free({8}, 1); });
}

TEST_F(StoreStep, ReadsAPage) {
  Page out;
  step_through(9, before_[9], [&](Store& store) { UZ_CHECK(store.read({9}, out).has_value()); });
}

TEST_F(StoreStep, MovesAPageNextToAnother) {
  for (std::uint64_t page = 30; page < 35; ++page) {
    Page content = page_with_random_bytes(2500, 30);
    content[9] = static_cast<std::byte>(page);  // Of one size; the last straddles two pages.
    put(page, content);
  }
  for (std::uint64_t page = 30; page < 34; ++page) {
    store_->free({page}, 1);
    before_[page] = Page{};
  }
  step_through(34, before_[34], [](Store& store) {
    const Handle before = store.word_of({34}).handle();
    store.compact();
    UZ_CHECK(store.word_of({34}).handle() != before);
  });
}

// --- work in the background ----------------------------------------------------------------------

class StoreStepBackground : public StoreStep {
 protected:
  // What is packed for one cluster, and who was marked for it.
  struct Group {
    std::vector<std::byte> pages;
    std::vector<std::byte> stream;
    std::size_t packed_bytes = 0;
    std::vector<PageIndex> slots;
  };
  static std::shared_ptr<Group> read_group(Store& store, const std::vector<std::uint64_t>& pages) {
    auto group = std::make_shared<Group>();
    group->pages.resize(pages.size() * kPageBytes);
    group->stream.resize(cluster_stream_room(pages.size()) + kPageBytes);
    for (const std::uint64_t page : pages) {
      const PageBuffer out(group->pages.data() + group->slots.size() * kPageBytes, kPageBytes);
      UZ_CHECK(store.read_and_mark({page}, store.word_of({page}), out).value());
      group->slots.push_back({page});
    }
    const auto compressor = ClusterCompressor::make(3, kMostClusterPages).value();
    const MutableBytes packed = MutableBytes(group->stream).subspan(kClusterCheckBytes);
    group->packed_bytes = compressor->compress(group->pages, packed).value();
    return group;
  }
  static void put_together(Store& store, Group& group) {
    const auto cluster = store.add_cluster(group.stream, group.packed_bytes, group.slots.size());
    UZ_CHECK(cluster.has_value());
    for (std::size_t i = 0; i < group.slots.size(); ++i)
      UZ_CHECK(store.replace_marked(group.slots[i], SlotWord::member(*cluster, i)));
    store.drop_cluster_user(*cluster);
  }
  // As pages of the device lie in clusters when the change begins.
  void put_together_before(const std::vector<std::uint64_t>& pages) {
    const auto group = read_group(*store_, pages);
    put_together(*store_, *group);
    ASSERT_EQ(store_->word_of({pages[0]}).state(), SlotState::Member);
  }
  void put_text(std::uint64_t first, std::uint64_t end) {
    for (std::uint64_t page = first; page < end; ++page) put(page, page_of(PageKind::Text, page));
  }
};

TEST_F(StoreStepBackground, PacksAPageAgain) {
  step_through_work([](Store& store) {
    auto packed = std::make_shared<std::array<std::byte, kPackedRoomBytes>>();
    Page page;
    UZ_CHECK(store.read_and_mark({4}, store.word_of({4}), page).value());
    const auto compressor = store.codec_at(1)->make_compressor().value();
    const std::size_t packed_bytes = compressor->compress(page, *packed).value();
    return [&store, packed, packed_bytes] {
      const auto fresh = store.build_packed(*packed, packed_bytes, 1, store.word_of({4}));
      UZ_CHECK(fresh.has_value() && store.replace_marked({4}, *fresh));
    };
  });
}

TEST_F(StoreStepBackground, MarksAPageAndLeavesIt) {
  step_through_work([](Store& store) {
    return [&store] {
      Page page;
      UZ_CHECK(store.read_and_mark({4}, store.word_of({4}), page).value());
      store.unmark({4}, SlotWord::kIncompressible);
    };
  });
}

TEST_F(StoreStepBackground, PutsPagesIntoACluster) {
  step_through_work([](Store& store) {
    // One of them is random bytes: the cluster is more than one object.
    const auto group = read_group(store, {1, 2, 3, 4});
    return [&store, group] { put_together(store, *group); };
  });
}

TEST_F(StoreStepBackground, PutsTwoClustersIntoOne) {
  put_text(20, 24);
  put_together_before({20, 21});
  put_together_before({22, 23});
  step_through_work([](Store& store) {
    const auto group = read_group(store, {20, 21, 22, 23});
    return [&store, group] { put_together(store, *group); };
  });
}

TEST_F(StoreStepBackground, GivesUpAClusterWhosePagesWereUsed) {
  step_through_work([](Store& store) {
    const auto group = read_group(store, {4, 5});
    Page page;
    for (const PageIndex slot : group->slots) UZ_CHECK(store.read(slot, page).has_value());
    return [&store, group] {
      const auto cluster = store.add_cluster(group->stream, group->packed_bytes, 2);
      UZ_CHECK(cluster.has_value());
      for (std::size_t i = 0; i < 2; ++i) {
        UZ_CHECK(!store.replace_marked(group->slots[i], SlotWord::member(*cluster, i)));
        store.drop_cluster_user(*cluster);
      }
      store.drop_cluster_user(*cluster);
    };
  });
}

TEST_F(StoreStepBackground, TakesAPageOutOfItsCluster) {
  put_together_before({1, 2, 3, 4});
  const Page page = page_of(PageKind::SparseIntegers, 51);
  step_through(2, page, [&](Store& store) { UZ_CHECK(store.write({2}, page).has_value()); });
}

TEST_F(StoreStepBackground, TakesTheLastPageOutOfItsCluster) {
  put_together_before({1, 2, 3, 4});
  for (const std::uint64_t page : {1, 3, 4}) {
    store_->free({page}, 1);
    before_[page] = Page{};
  }
  step_through(2, Page{}, [](Store& store) { store.free({2}, 1); });
}

TEST_F(StoreStepBackground, MovesAClusterNextToAnother) {
  // Five heads of one size, four of which go; the last straddles two pages.
  for (std::uint64_t page = 30; page < 40; page += 2) {
    for (std::uint64_t i = 0; i < 2; ++i) {
      Page content = page_with_random_bytes(1250, 30 + i);
      content[9] = static_cast<std::byte>(page);
      put(page + i, content);
    }
    put_together_before({page, page + 1});
  }
  store_->free({30}, 8);
  for (std::uint64_t page = 30; page < 38; ++page) before_[page] = Page{};
  const PageIndex cluster = store_->word_of({38}).slot();
  step_through_work([cluster](Store& store) {
    return [&store, cluster] {
      const Handle before = store.word_of_slot(cluster).handle();
      store.compact();
      UZ_CHECK(store.word_of_slot(cluster).handle() != before);
    };
  });
}

// --- deduplication -------------------------------------------------------------------------------

class StoreStepDedup : public StoreStepBackground {
 protected:
  StoreStepDedup() { uses_dedup_ = true; }
  // Writes it to the page; the index knows what there is.
  void step_through_write(std::uint64_t page, const Page& content, SlotState expected) {
    step_through_prepared(page, content, [&](Store& store) {
      const StopSignal stop{false};
      store.rebuild_dedup_index(stop);
      return [&store, &content, page, expected] {
        UZ_CHECK(store.write({page}, content).has_value());
        UZ_CHECK(store.word_of({page}).state() == expected);
      };
    });
  }
};

TEST_F(StoreStepDedup, SharesAPackedPage) { step_through_write(40, before_[4], SlotState::Shared); }

TEST_F(StoreStepDedup, SharesARawPageInPlaceOfAnother) {
  step_through_write(8, before_[3], SlotState::Shared);
}

TEST_F(StoreStepDedup, SharesAMemberOfACluster) {
  put_text(30, 34);
  put_together_before({30, 31, 32, 33});
  step_through_write(7, before_[32], SlotState::Shared);
}

TEST_F(StoreStepDedup, JoinsSharedContent) {
  put(41, before_[3]);
  ASSERT_EQ(store_->sums().shared_pages, 2);
  step_through_write(40, before_[3], SlotState::Shared);
}

TEST_F(StoreStepDedup, WritesSharedContentAgain) {
  put(41, before_[3]);
  step_through_write(41, before_[3], SlotState::Shared);
}

TEST_F(StoreStepDedup, GoesFromOneSharedContentToAnother) {
  put(41, before_[4]);
  put(42, before_[3]);
  step_through_write(41, before_[3], SlotState::Shared);
}

TEST_F(StoreStepDedup, LeavesSharedContent) {
  put(41, before_[4]);
  step_through_write(41, filled_page(77), SlotState::Same);
}

TEST_F(StoreStepDedup, EndsSharedContent) {
  put(41, before_[4]);
  store_->free({4}, 1);
  before_[4] = Page{};
  ASSERT_EQ(store_->sums().shared_slots, 1);
  step_through(41, Page{}, [](Store& store) { store.free({41}, 1); });
}

}  // namespace
}  // namespace uzram
