// SPDX-License-Identifier: Apache-2.0
// store/background_fixture.h: a store whose pages are worked on in the background, in tests.
//
// What:    a store with two algorithms and a mirror of what was written; marks, requests and what
//          they must have done: the content is the mirror's, the sums are right, and nothing costs
//          more than before unless a case says so.
// Threads: none of its own.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <vector>

#include "store/cluster_maker.h"
#include "store/recompressor.h"
#include "store/store.h"
#include "store/store_fixture.h"

namespace uzram {

inline StoreConfig config_of(std::string_view first, std::string_view second,
                             std::uint64_t disk_pages) {
  StoreConfig config = config_of(first, disk_pages);
  config.codecs[1].info = find_codec(second);
  EXPECT_NE(config.codecs[1].info, nullptr) << second;
  return config;
}

// Calls work(slot, word) for every slot of the table that holds something.
template <typename Work>
void for_each_stored_slot(const Store& store, Work work) {
  const std::uint64_t end = store.regions().cluster_end;
  for (std::uint64_t slot = store.next_touched_slot(0, end); slot < end;
       slot = store.next_touched_slot(slot + 1, end)) {
    const SlotWord word = store.word_of_slot({slot});
    if (!word.is_empty()) work(PageIndex{slot}, word);
  }
}

// What all objects together take from the pool.
inline std::uint64_t pool_bytes_of_all(const Store& store) {
  std::uint64_t sum = 0;
  for_each_stored_slot(store, [&](PageIndex, SlotWord word) { sum += store.pool_bytes_of(word); });
  return sum;
}

inline bool can_be_idle(SlotWord word) {
  return word.state() == SlotState::Packed || word.state() == SlotState::Raw ||
         word.state() == SlotState::Member;
}

class BackgroundTest : public testing::Test {
 protected:
  void TearDown() override {
    if (store_ != nullptr && !HasFatalFailure()) store_->check_invariants();
  }

  void make(const StoreConfig& config) { store_ = make_store(config); }
  void make(std::uint64_t disk_pages = 1024) { make(config_of("lz4", "zstd", disk_pages)); }
  void reopen_store() { store_ = reopen(*store_); }

  // --- pages
  void write(std::uint64_t page, const Page& content) {
    ASSERT_EQ(code_of(store_->write({page}, content)), 0) << "page " << page;
    mirror_[page] = content;
  }
  void write_pages(std::uint64_t first, std::uint64_t count, PageKind kind) {
    for (std::uint64_t page = first; page < first + count; ++page)
      write(page, page_of(kind, page + 1));
  }
  void write_part(std::uint64_t page, std::size_t offset, ConstBytes part) {
    ASSERT_EQ(code_of(store_->write_part({page}, offset, part)), 0) << "page " << page;
    std::copy(part.begin(), part.end(),
              mirror_[page].begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void free_page(std::uint64_t page) {
    store_->free({page}, 1);
    mirror_.erase(page);
  }
  void touch(std::uint64_t page) { ASSERT_EQ(read_page_of(*store_, page), mirror_[page]); }
  [[nodiscard]] int read_error(std::uint64_t page) {
    Page out;
    return code_of(store_->read({page}, out));
  }
  [[nodiscard]] SlotWord word(std::uint64_t page) const { return store_->word_of({page}); }
  [[nodiscard]] SlotState state(std::uint64_t page) const { return word(page).state(); }
  [[nodiscard]] PageIndex cluster_of(std::uint64_t page) const {
    EXPECT_EQ(state(page), SlotState::Member) << "page " << page;
    return word(page).slot();
  }
  // Every page of the device reads as it was written.
  void expect_content() {
    for (std::uint64_t page = 0; page < store_->config().disk_pages; ++page) {
      const auto written = mirror_.find(page);
      ASSERT_EQ(read_page_of(*store_, page), written == mirror_.end() ? Page{} : written->second)
          << "page " << page;
    }
  }

  // --- marks
  void mark_idle(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t page = first; page < first + count; ++page) {
      store_->change_flags({page}, [](SlotWord word) {
        return can_be_idle(word) ? word.with(SlotWord::kIdle) : word;
      });
    }
  }
  void set_age(std::uint64_t page, int age) {
    store_->change_flags({page}, [age](SlotWord word) { return word.with_age(age); });
  }

  // --- work
  BackgroundOutcome recompress_pages(const RecompressRequest& request = {}) {
    return checked([&] { return recompress(*store_, request, stop_); });
  }
  BackgroundOutcome cluster_pages(const ClusterRequest& request) {
    return checked([&] { return make_clusters(*store_, request, stop_); });
  }
  BackgroundOutcome cluster_pages(std::size_t size) {
    ClusterRequest request;
    request.cluster_pages = size;
    return cluster_pages(request);
  }

  std::unique_ptr<Store> store_;
  std::map<std::uint64_t, Page> mirror_;
  StopSignal stop_{false};

 private:
  // Work that succeeds, costs nothing, leaves no marks, and says what it has saved.
  template <typename Work>
  BackgroundOutcome checked(Work work) {
    const std::uint64_t before = pool_bytes_of_all(*store_);
    const Result<BackgroundOutcome> outcome = work();
    EXPECT_EQ(code_of(outcome), 0);
    if (!outcome) return {};
    const std::uint64_t after = pool_bytes_of_all(*store_);
    EXPECT_LE(after, before) << "it costs more than before";
    if (after <= before) {
      EXPECT_LE(outcome->saved_bytes, before - after) << "it says that it has saved more";
    }
    EXPECT_LE(outcome->changed_pages, outcome->tried_pages);
    for_each_stored_slot(*store_, [](PageIndex slot, SlotWord word) {
      EXPECT_FALSE(word.is_marked()) << "slot " << slot.value;
    });
    store_->check_invariants();
    return *outcome;
  }
};

}  // namespace uzram
