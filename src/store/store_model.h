// SPDX-License-Identifier: Apache-2.0
// store/store_model.h: a store and a std::map side by side, driven by commands that can be printed.
//
// What: a Command is made from a few bytes, so any byte string is a run: of store_model_test.cc
//       from a seed, of store_fuzz.cc from a file. After each command the laws hold and what it
//       touched reads as in the map. The first difference is returned as a sentence. Pages are
//       written back to a small disk in memory, whose writes fail now and then, and come back when
//       they are read.
#pragma once

#include <fmt/format.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backing/fake_disk.h"
#include "base/file_descriptor.h"
#include "codec/page_kinds.h"
#include "store/cluster_maker.h"
#include "store/page_ages.h"
#include "store/recompressor.h"
#include "store/store.h"
#include "store/writeback.h"

namespace uzram {

enum class Verb : std::uint8_t {
  Write,
  WritePart,
  ReadPart,
  Free,
  FreeMany,
  WritePattern,
  Compact,
  Maintain,
  Reopen,
  Limit,
  Reserve,
  MarkIdle,
  Recompress,
  Cluster,
  WriteBack,
  SweepAges,
};
inline constexpr int kVerbCount = 16;

struct Command {
  Verb verb = Verb::Write;
  std::uint64_t page = 0;
  std::uint64_t page_count = 0;
  PageKind kind = PageKind::Zeros;
  std::uint64_t seed = 0;
  std::size_t offset = 0;
  std::size_t bytes = 0;
};

inline constexpr std::size_t kCommandBytes = 8;
inline constexpr std::uint64_t kModelPages = 1500;  // Three pages of slot table, the last in part.

// Requires: 8 bytes at `raw`.
inline Command command_from(const std::uint8_t* raw) {
  Command command;
  // Mostly writes and frees; the rare ones cost more.
  constexpr std::array<Verb, 24> kVerbs = {
      Verb::Write,     Verb::Write,     Verb::Write,        Verb::Write,    Verb::WritePart,
      Verb::ReadPart,  Verb::WritePart, Verb::Free,         Verb::FreeMany, Verb::WritePattern,
      Verb::Compact,   Verb::Maintain,  Verb::WritePattern, Verb::Reopen,   Verb::Limit,
      Verb::Reserve,   Verb::MarkIdle,  Verb::Recompress,   Verb::Cluster,  Verb::Cluster,
      Verb::WriteBack, Verb::WriteBack, Verb::WriteBack,    Verb::SweepAges};
  command.verb = kVerbs[raw[0] % kVerbs.size()];
  command.page = (raw[1] | raw[2] << 8) % kModelPages;
  // Often the same few pages, so that they are overwritten.
  if ((raw[2] & 0x80) != 0) command.page %= 32;
  command.page_count = std::min<std::uint64_t>(1 + raw[3] % 8, kModelPages - command.page);
  command.kind = kPageKinds[raw[4] % kPageKinds.size()];
  command.seed = raw[5];
  command.offset = (raw[6] * 17U + raw[4]) % kPageBytes;
  command.bytes = std::min<std::size_t>(raw[7] * 19U, kPageBytes - command.offset);
  return command;
}

inline std::string to_text(const Command& c) {
  constexpr std::array<const char*, kVerbCount> kNames = {
      "write",      "write_part", "read_part",  "free",      "free_many", "write_pattern",
      "compact",    "maintain",   "reopen",     "limit",     "reserve",   "mark_idle",
      "recompress", "cluster",    "write_back", "sweep_ages"};
  return fmt::format("{} page {} count {} kind {} seed {} offset {} bytes {}",
                     kNames[static_cast<std::size_t>(c.verb)], c.page, c.page_count,
                     static_cast<int>(c.kind), c.seed, c.offset, c.bytes);
}

class StoreModel {
 public:
  using Page = std::array<std::byte, kPageBytes>;

  // With a backing store if the configuration names one, of kDiskBlocks.
  explicit StoreModel(const StoreConfig& config)
      : store_(std::move(Store::create(config, kLanes, make_backing(config)).value())) {}
  static void choose_disk(StoreConfig& config) {
    config.backing.where = "a disk in memory";
    config.backing.block_count = kDiskBlocks;
    for (std::size_t i = 0; i < config.backing.key.size(); ++i)
      config.backing.key[i] = static_cast<std::byte>(i + 1);
  }

  // Returns: an empty string when the store and the map agree.
  std::string run(const Command& command) {
    std::string difference = apply(command);
    if (!difference.empty()) return difference;
    store_->check_invariants();
    if (bytes_away() !=
        (store_->backing() == nullptr ? 0 : store_->backing()->counters().live_bytes))
      return "other blocks are in use than words name";
    return compare(command.page, command.page_count);
  }

  // All pages.
  std::string compare_all() { return compare(0, kModelPages); }
  // Pages that work in the background has packed anew.
  [[nodiscard]] std::uint64_t changed_in_background() const { return changed_in_background_; }
  [[nodiscard]] std::uint64_t written_back() const { return written_back_; }
  [[nodiscard]] std::uint64_t brought_back() const {
    return brought_back_ + store_->pages_brought_back();
  }

 private:
  static constexpr std::size_t kLanes = 2;
  static constexpr std::uint64_t kDiskBlocks = 500;  // Less than all pages may need.

  std::unique_ptr<BackingStore> make_backing(const StoreConfig& config) {
    if (config.backing.where.empty()) return nullptr;
    BackingOptions options;
    options.reader_count = 1;
    options.writer_count = 3;
    return std::make_unique<FakeStore>(disk_, options);
  }

  std::string apply(const Command& c) {
    switch (c.verb) {
      case Verb::Write:
        return write(c);
      case Verb::WritePattern:
        return write_pattern(c);
      case Verb::WritePart:
        return write_part(c);
      case Verb::ReadPart:
        return read_part(c);
      case Verb::Free:
        return free_pages(c.page, c.page_count);
      case Verb::FreeMany:
        return free_pages(c.page, std::min<std::uint64_t>(c.page_count * 64, kModelPages - c.page));
      case Verb::Compact:
        store_->compact();
        return store_->pool().resident_pages() <= store_->pool().tight_pages() + reserve_slack()
                   ? std::string()
                   : "compaction left more pages than the objects need";
      case Verb::Maintain:
        store_->maintain();
        return {};
      case Verb::Reopen:
        return reopen();
      case Verb::Limit:
        store_->pool().set_limit_pages(c.seed % 2 == 0 ? 0 : c.seed * 2);
        limit_pages_ = store_->pool().limit_pages();
        return {};
      case Verb::Reserve: {
        const bool done = store_->pool().reserve(c.seed % 3 == 0 ? c.seed : 0).has_value();
        has_reserved_ = has_reserved_ || c.seed % 3 == 0;
        return done ? std::string() : "reserve failed";
      }
      case Verb::MarkIdle:
        return mark_idle(c);
      case Verb::Recompress:
        return recompress_pages(c);
      case Verb::Cluster:
        return make_some_clusters(c);
      case Verb::WriteBack:
        return write_back_pages(c);
      case Verb::SweepAges:
        return sweep(c);
    }
    return "no such command";
  }

  // Reserved spans are never compacted away; which objects stand in them is not the model's
  // business.
  [[nodiscard]] std::uint64_t reserve_slack() const { return has_reserved_ ? ~0ULL >> 1 : 0; }

  std::string write(const Command& c) {
    std::vector<std::byte> pages(c.page_count * kPageBytes);
    std::vector<Page> expected(c.page_count);
    for (std::uint64_t i = 0; i < c.page_count; ++i) {
      PageMaker(c.seed + i).fill(c.kind, expected[i]);
      std::copy(expected[i].begin(), expected[i].end(), pages.begin() + i * kPageBytes);
    }
    const Result<void> done = store_->write({c.page}, pages);
    if (!done && !is_excused(done.error())) return failure("write", done.error());
    // A failed write has written pages from the start up to the one that did not fit.
    for (std::uint64_t i = 0; i < c.page_count; ++i) {
      if (!done && read(c.page + i) != expected[i]) break;
      pages_[c.page + i] = expected[i];
    }
    return {};
  }

  std::string write_pattern(const Command& c) {
    const std::uint64_t pattern = Random(c.seed % 8).next() >> (c.seed % 2 * 17);
    Page page;
    for (std::size_t i = 0; i < kPageBytes; i += 8) std::memcpy(&page[i], &pattern, 8);
    const Result<void> done = store_->write({c.page}, page);
    if (!done) return is_excused(done.error()) ? std::string() : failure("write", done.error());
    pages_[c.page] = page;
    return {};
  }

  std::string write_part(const Command& c) {
    Page content;
    PageMaker(c.seed).fill(c.kind, content);
    const ConstBytes part = ConstBytes(content).first(c.bytes);
    const Result<void> done = store_->write_part({c.page}, c.offset, part);
    if (!done) return is_excused(done.error()) ? std::string() : failure("part", done.error());
    std::copy(part.begin(), part.end(), pages_[c.page].begin() + c.offset);
    return {};
  }

  std::string read_part(const Command& c) {
    std::vector<std::byte> out(c.bytes);
    const Result<void> done = store_->read_part({c.page}, c.offset, out);
    if (!done) return failure("read_part", done.error());
    const Page expected = expected_page(c.page);
    return std::equal(out.begin(), out.end(), expected.begin() + c.offset)
               ? std::string()
               : fmt::format("part of page {} reads differently", c.page);
  }

  std::string free_pages(std::uint64_t first, std::uint64_t count) {
    store_->free({first}, count);
    for (std::uint64_t i = 0; i < count; ++i) pages_.erase(first + i);
    return {};
  }

  // Pages of the command's and behind; their ages are the seed's.
  std::string mark_idle(const Command& c) {
    const std::uint64_t end = std::min(c.page + c.page_count * 64, kModelPages);
    for (std::uint64_t page = store_->next_touched({c.page}).value; page < end;
         page = store_->next_touched({page + 1}).value) {
      store_->change_flags({page}, [&c](SlotWord word) {
        const bool is_stored = word.state() == SlotState::Packed ||
                               word.state() == SlotState::Raw || word.state() == SlotState::Member;
        return is_stored ? word.with_age(static_cast<int>(c.seed % 8)).with(SlotWord::kIdle) : word;
      });
    }
    return {};
  }

  static PageFilter filter_of(const Command& c) {
    constexpr std::array kTypes = {PageType::Idle, PageType::All,      PageType::Idle,
                                   PageType::Huge, PageType::HugeIdle, PageType::Incompressible};
    PageFilter filter;
    filter.type = kTypes[c.offset % kTypes.size()];
    filter.least_age = c.seed % 3 == 0 ? static_cast<int>(c.seed % 8) : 0;
    return filter;
  }
  static std::optional<std::uint64_t> most_pages_of(const Command& c) {
    return c.page % 4 == 0 ? std::optional(c.page_count * 8) : std::nullopt;
  }
  // Work in the background may be refused memory, whatever the limit: it changes nothing then.
  std::string outcome_of(const char* what, const Result<BackgroundOutcome>& outcome) {
    if (outcome) changed_in_background_ += outcome->changed_pages;
    if (!outcome)
      return outcome.error().code == ENOSPC ? std::string() : failure(what, outcome.error());
    return outcome->changed_pages <= outcome->tried_pages ? std::string()
                                                          : "more pages were changed than tried";
  }
  std::string recompress_pages(const Command& c) {
    RecompressRequest request;
    request.pages = filter_of(c);
    request.most_pages = most_pages_of(c);
    request.threshold_bytes = c.page % 3 == 0 ? c.bytes % kPageBytes : 0;
    return outcome_of("recompress", recompress(*store_, request, stop_));
  }
  std::string make_some_clusters(const Command& c) {
    constexpr std::array kLevels = {1, 3, -5, 9};
    ClusterRequest request;
    request.pages = filter_of(c);
    request.most_pages = most_pages_of(c);
    request.cluster_pages = 2 + c.bytes % (kMostClusterPages - 1);
    request.level = kLevels[c.page % kLevels.size()];
    request.only_mostly_dead = c.page_count == 8;
    return outcome_of("cluster", make_clusters(*store_, request, stop_));
  }

  std::string write_back_pages(const Command& c) {
    WritebackRequest request;
    request.pages = filter_of(c);
    request.most_pages = most_pages_of(c);
    request.keep_packed = c.bytes % 2 == 0;
    if (c.page % 5 == 0) request.most_blocks = c.seed % 40;
    if (c.page % 7 == 0) request.ranges = {{{c.page}, {kModelPages - 1}}, {{c.page / 2}, {c.page}}};
    const bool fails = c.seed % 8 == 0;
    if (fails) disk_.fail(FakeDisk::Kind::Write, EIO, c.page_count % 3, 1);
    const WritebackOutcome outcome = uzram::write_back(*store_, request, stop_);
    disk_.work_again();
    written_back_ += outcome.written_pages;
    if (store_->backing() == nullptr)
      return outcome.error == ENODEV ? std::string() : "there is no backing store";
    const bool is_excused =
        outcome.error == 0 || outcome.error == ENOSPC || (fails && outcome.error == EIO);
    if (!is_excused) return failure("write_back", Error{outcome.error});
    if (outcome.written_pages > outcome.tried_pages) return "more pages were written than tried";
    return !request.most_blocks || outcome.written_blocks <= *request.most_blocks
               ? std::string()
               : "more blocks were written than allowed";
  }
  std::string sweep(const Command& c) {
    AgeSweep sweep;
    sweep.advancing = static_cast<std::uint8_t>(c.seed);
    sweep.idle_age = 1 + static_cast<int>(c.page_count);
    sweep.is_restart = c.page % 8 == 0;
    if (c.page % 3 == 0) mark_all_idle(*store_);
    std::uint64_t counted = 0;
    for (const auto& row : sweep_ages(*store_, sweep))
      for (const std::uint64_t count : row) counted += count;
    // What stands in a shared slot counts once, the pages that share it do not.
    const StoreSums sums = store_->sums();
    const std::int64_t expected =
        sums.stored_pages - sums.same_pages - sums.shared_pages + sums.shared_slots;
    return static_cast<std::int64_t>(counted) == expected ? std::string()
                                                          : "the census has other contents";
  }
  [[nodiscard]] std::uint64_t bytes_away() const {
    std::uint64_t sum = 0;
    const std::uint64_t end = store_->regions().cluster_end;
    for (std::uint64_t slot = store_->next_touched_slot(0, end); slot < end;
         slot = store_->next_touched_slot(slot + 1, end)) {
      const SlotWord word = store_->word_of_slot({slot});
      if (word.state() == SlotState::WrittenBack) sum += stored_bytes(bytes_written_back(word));
      if (word.state() == SlotState::ClusterWrittenBack) sum += stored_bytes(word.written_bytes());
    }
    return sum;
  }

  std::string reopen() {
    const StoreSums sums = store_->sums();
    const StoreConfig config = store_->config();
    FileDescriptor memfd(::dup(store_->arena_descriptor()));
    brought_back_ = brought_back();
    store_.reset();
    auto opened = Store::open(std::move(memfd), kLanes, make_backing(config));
    if (!opened) std::abort();  // There is nothing to go on with.
    store_ = std::move(*opened);
    if (store_->needs_dedup_index()) store_->rebuild_dedup_index(stop_);
    store_->pool().set_limit_pages(limit_pages_);
    has_reserved_ = false;
    return store_->sums() == sums ? std::string() : "sums differ after recovery";
  }

  std::string compare(std::uint64_t first, std::uint64_t count) {
    for (std::uint64_t page = first; page < first + count; ++page)
      if (read(page) != expected_page(page)) return fmt::format("page {} reads differently", page);
    return {};
  }

  Page read(std::uint64_t page) {
    Page out;
    out.fill(std::byte{0xee});
    if (!store_->read({page}, out)) out.fill(std::byte{0xdd});
    return out;
  }
  [[nodiscard]] Page expected_page(std::uint64_t page) const {
    const auto found = pages_.find(page);
    return found == pages_.end() ? Page{} : found->second;
  }
  [[nodiscard]] bool is_excused(Error error) const {
    return error.code == ENOSPC && limit_pages_ != 0;
  }
  static std::string failure(const char* what, Error error) {
    return fmt::format("{} failed with errno {}", what, error.code);
  }

  FakeDisk disk_{kDiskBlocks};
  std::unique_ptr<Store> store_;  // Before the disk it ends.
  std::map<std::uint64_t, Page> pages_;
  std::uint64_t limit_pages_ = 0;
  bool has_reserved_ = false;
  StopSignal stop_{false};
  std::uint64_t changed_in_background_ = 0;
  std::uint64_t written_back_ = 0;
  std::uint64_t brought_back_ = 0;
};

}  // namespace uzram
