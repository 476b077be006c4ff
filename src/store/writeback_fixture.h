// SPDX-License-Identifier: Apache-2.0
// store/writeback_fixture.h: a store with a backing store that fails and stalls when a test says
// so.
//
// What:    BackgroundTest over a FakeDisk: writing back, opening again with the disk or without it,
//          and the law that the blocks in use are exactly those that slot words name.
// Threads: none of its own.
#pragma once

#include <memory>
#include <vector>

#include "backing/fake_disk.h"
#include "store/background_fixture.h"
#include "store/page_ages.h"
#include "store/writeback.h"

namespace uzram {

inline BackingOptions backing_options() {
  BackingOptions options;
  options.time_limit = std::chrono::milliseconds(10'000);
  options.reader_count = 2;
  options.writer_count = 4;
  return options;
}

inline void choose_fake_disk(StoreConfig& config, const FakeDisk& disk) {
  config.backing.where = "a disk in memory";
  config.backing.block_count = disk.block_count();
  for (std::size_t i = 0; i < config.backing.key.size(); ++i)
    config.backing.key[i] = static_cast<std::byte>(i * 37 + 5);
}

// What the words say is on the backing store, checks included.
inline std::uint64_t bytes_away(const Store& store) {
  std::uint64_t sum = 0;
  for_each_stored_slot(store, [&](PageIndex, SlotWord word) {
    if (word.state() == SlotState::WrittenBack) sum += stored_bytes(bytes_written_back(word));
    if (word.state() == SlotState::ClusterWrittenBack) sum += stored_bytes(word.written_bytes());
  });
  return sum;
}

class WritebackTest : public BackgroundTest {
 protected:
  static constexpr std::uint64_t kBlocks = 2048;

  void TearDown() override {
    if (store_ != nullptr && !HasFatalFailure()) expect_sound();
    store_.reset();  // Before the disk that it uses.
  }

  void make_backed(StoreConfig config, std::size_t lane_count = 4) {
    mirror_.clear();
    store_.reset();
    choose_fake_disk(config, *disk_);
    auto made = Store::create(config, lane_count, std::make_unique<FakeStore>(*disk_, options_));
    ASSERT_TRUE(made.has_value()) << made.error().code;
    store_ = std::move(*made);
  }
  void make_backed(std::uint64_t disk_pages = 600) {
    make_backed(config_of("lz4", "zstd", disk_pages));
  }
  // As after a crash, with the disk.
  void reopen_with(FakeDisk& disk) {
    FileDescriptor memfd = duplicate(store_->arena_descriptor());
    store_.reset();
    open_with(std::move(memfd), std::make_unique<FakeStore>(disk, options_));
  }
  void reopen_backed() { reopen_with(*disk_); }
  // The same, and the disk is not to be found.
  void reopen_alone() {
    FileDescriptor memfd = duplicate(store_->arena_descriptor());
    store_.reset();
    open_with(std::move(memfd), nullptr);
  }
  void open_with(FileDescriptor memfd, std::unique_ptr<BackingStore> backing) {
    auto opened = Store::open(std::move(memfd), 4, std::move(backing));
    ASSERT_TRUE(opened.has_value()) << opened.error().code;
    store_ = std::move(*opened);
  }

  WritebackOutcome write_back_pages(const WritebackRequest& request) {
    const WritebackOutcome outcome = write_back(*store_, request, stop_);
    EXPECT_LE(outcome.written_pages, outcome.tried_pages);
    expect_sound();
    return outcome;
  }
  WritebackOutcome write_back_all() { return write_back_pages({}); }
  WritebackOutcome write_back_type(PageType type) {
    WritebackRequest request;
    request.pages.type = type;
    return write_back_pages(request);
  }
  WritebackOutcome write_back_range(std::uint64_t first, std::uint64_t last) {
    WritebackRequest request;
    request.ranges = {{{first}, {last}}};
    return write_back_pages(request);
  }
  // No marks are left, the blocks are those of the words, sums and objects are right.
  void expect_sound() {
    for_each_stored_slot(*store_, [](PageIndex slot, SlotWord word) {
      EXPECT_FALSE(word.is_marked()) << "slot " << slot.value;
    });
    if (store_->backing() != nullptr) {
      EXPECT_EQ(store_->backing()->counters().live_bytes, bytes_away(*store_));
    }
    store_->check_invariants();
  }

  [[nodiscard]] bool is_away(std::uint64_t page) const {
    const std::optional<PageState> state = state_of(*store_, {page});
    return state && state->is_written_back;
  }
  [[nodiscard]] std::vector<std::uint64_t> pages_away() const {
    std::vector<std::uint64_t> pages;
    for (std::uint64_t page = 0; page < store_->config().disk_pages; ++page)
      if (is_away(page)) pages.push_back(page);
    return pages;
  }
  [[nodiscard]] BackingCounters counters() const { return store_->backing()->counters(); }

  std::unique_ptr<FakeDisk> disk_ = std::make_unique<FakeDisk>(kBlocks);
  BackingOptions options_ = backing_options();
};

}  // namespace uzram
