// SPDX-License-Identifier: Apache-2.0
// pool/pool_model.h: a pool and a std::map of what it should hold, given the same commands.
//
// What:    commands are four bytes each, of pool_model_test.cc from a seed, of pool_fuzz.cc from a
//          file. After each command the pool's descriptions agree with one another, its counts
//          with the map, and what the command touched still holds its bytes. check_all compares
//          the rest.
// Errors:  a difference is a failed UZ_CHECK, so that a fuzzer sees it too.
#pragma once

#include <algorithm>
#include <cstring>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "base/check.h"
#include "base/random.h"
#include "pool/arena.h"
#include "pool/pool.h"

namespace uzram {

class PoolModel {
 public:
  enum class Kind : std::uint8_t {
    Put,
    PutSmall,
    Overwrite,
    Drop,
    DropRun,
    Trim,
    Limit,
    Reserve,
    Compact,
    Crash,
    kCount
  };
  struct Command {
    Kind kind;
    bool exceeds;  // The limit, where it allocates.
    std::size_t bytes;
    std::uint64_t pick;
  };
  static constexpr std::size_t kCommandBytes = 4;

  // Any four bytes are a command.
  static Command decode(const std::uint8_t* raw) {
    static constexpr Kind kKinds[] = {
        // As often as they stand here.
        Kind::Put,       Kind::Put,       Kind::Put,     Kind::PutSmall,
        Kind::Overwrite, Kind::Overwrite, Kind::Drop,    Kind::Drop,
        Kind::Drop,      Kind::DropRun,   Kind::Trim,    Kind::Limit,
        Kind::Reserve,   Kind::Compact,   Kind::Compact, Kind::Crash};
    Command command{};
    command.kind = kKinds[raw[0] % std::size(kKinds)];
    command.exceeds = raw[0] >= 224;
    // Few sizes, so that some classes get many spans; both ends are among them.
    command.bytes = 1 + raw[1] % 16 * 273 % kPageBytes;
    command.pick = raw[2] + 256U * raw[3];
    return command;
  }
  static std::string text_of(const Command& command) {
    static constexpr const char* kNames[] = {"put",      "put small", "overwrite", "drop",
                                             "drop run", "trim",      "limit",     "reserve",
                                             "compact",  "crash"};
    static_assert(std::size(kNames) == static_cast<std::size_t>(Kind::kCount));
    return std::string(kNames[static_cast<std::size_t>(command.kind)]) + " bytes " +
           std::to_string(command.bytes) + " pick " + std::to_string(command.pick) +
           (command.exceeds ? " exceeding" : "");
  }

  PoolModel() {
    auto arena = Arena::create(kArenaBytes);
    UZ_CHECK(arena.has_value());
    arena_ = std::move(*arena);
    make_pool();
  }

  void run(const Command& command) {
    switch (command.kind) {
      case Kind::Put:
        put_run(command, 1 + command.pick % 32);
        break;
      case Kind::PutSmall:
        put(1 + command.pick % 64, command.exceeds);
        break;
      case Kind::Overwrite:
        overwrite(command);
        break;
      case Kind::Drop:
        drop(command.pick);
        break;
      case Kind::DropRun:
        drop_run(command.pick);
        break;
      case Kind::Trim:
        trim(command.pick % 256);
        break;
      case Kind::Limit:
        pool_->set_limit_pages(command.pick % 3 == 0 ? command.pick % 2048 : 0);
        break;
      case Kind::Reserve:
        if (command.pick % 3 == 1) {
          restock(command.pick % 2 == 0 ? Pool::Grip::Soft : Pool::Grip::Hard);
        } else {
          reserve(command.pick % 3 == 0 ? 0 : command.pick % 1024);
        }
        break;
      case Kind::Compact:
        compact(command);
        break;
      case Kind::Crash:
        crash();
        break;
      case Kind::kCount:
        UZ_CHECK(false);
    }
    check_counts();
  }

  void check_all() const {
    for (const auto& [unit, object] : objects_) check_content(unit, object);
  }
  [[nodiscard]] std::size_t object_count() const { return objects_.size(); }
  [[nodiscard]] std::uint64_t refused_count() const { return refused_count_; }
  // Spoils one stored byte, as a broken pool would.
  void spoil() { at(objects_.begin()->first, objects_.begin()->second)[0] ^= std::byte{1}; }

 private:
  static constexpr std::uint64_t kArenaBytes = 41 * kSpanBytes;
  static constexpr std::uint64_t kOffset = kSpanBytes;
  struct Object {
    std::size_t bytes;
    std::uint64_t seed;
  };
  using Objects = std::map<std::uint64_t, Object>;  // By Handle::value.

  void make_pool() {
    auto pool = Pool::create(*arena_, kOffset, kArenaBytes - kOffset);
    UZ_CHECK(pool.has_value());
    pool_ = std::move(*pool);
    has_reserve_ = false;
  }
  [[nodiscard]] MutableBytes at(std::uint64_t unit, const Object& object) const {
    return pool_->at({unit}, object.bytes);
  }

  // --- content
  static std::uint64_t word_of(const Object& object, std::size_t i) {
    return Random(object.seed + i).next();
  }
  void fill(std::uint64_t unit, const Object& object) {
    const MutableBytes bytes = at(unit, object);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      const std::uint64_t word = word_of(object, i);
      std::memcpy(&bytes[i], &word, std::min<std::size_t>(8, bytes.size() - i));
    }
  }
  void check_content(std::uint64_t unit, const Object& object) const {
    const MutableBytes bytes = at(unit, object);
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      const std::uint64_t word = word_of(object, i);
      UZ_CHECK(std::memcmp(&bytes[i], &word, std::min<std::size_t>(8, bytes.size() - i)) == 0);
    }
  }

  // --- commands
  void put_run(const Command& command, std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) put(command.bytes, command.exceeds);
  }
  bool put(std::size_t bytes, bool exceeds) {
    const std::uint64_t resident = pool_->resident_pages();
    const Result<Handle> handle =
        pool_->allocate(bytes, exceeds ? LimitRule::Exceed : LimitRule::Obey);
    if (!handle) {
      ++refused_count_;
      check_refusal(handle.error().code, exceeds);
      return false;
    }
    const std::uint64_t limit = pool_->limit_pages();
    UZ_CHECK(exceeds || limit == 0 || pool_->resident_pages() <= std::max(limit, resident));
    add(handle->value, {bytes, ++last_seed_});
    return true;
  }
  void check_refusal(int code, bool exceeds) const {
    if (code == ENOSPC) {
      UZ_CHECK(!exceeds);
      UZ_CHECK(pool_->resident_pages() + 2 > pool_->limit_pages());
    } else {
      UZ_CHECK(code == ENOMEM);
      UZ_CHECK(pool_->metadata_bytes() == (kArenaBytes - kOffset) / kSpanBytes * sizeof(Span));
    }
  }
  void add(std::uint64_t unit, const Object& object) {
    const auto [place, is_new] = objects_.emplace(unit, object);
    UZ_CHECK(is_new);
    if (place != objects_.begin()) check_order(std::prev(place), place);
    if (std::next(place) != objects_.end()) check_order(place, std::next(place));
    UZ_CHECK(unit * kClassStepBytes + object.bytes <= kArenaBytes - kOffset);
    count_pages(unit, object, 1);
    fill(unit, object);
  }
  static void check_order(Objects::const_iterator before, Objects::const_iterator after) {
    UZ_CHECK(before->first * kClassStepBytes + before->second.bytes <=
             after->first * kClassStepBytes);
  }
  void remove(Objects::iterator place) {
    check_content(place->first, place->second);
    pool_->free({place->first}, place->second.bytes);
    count_pages(place->first, place->second, -1);
    objects_.erase(place);
  }
  [[nodiscard]] Objects::iterator picked(std::uint64_t pick) {
    const auto place = objects_.lower_bound(pick * 47 % (kArenaBytes / kClassStepBytes));
    return place == objects_.end() ? objects_.begin() : place;
  }
  void drop(std::uint64_t pick) {
    if (!objects_.empty()) remove(picked(pick));
  }
  void drop_run(std::uint64_t pick) {
    for (std::uint64_t i = 0; i < pick % 128; ++i) drop(pick + i * 1009);
  }
  void overwrite(const Command& command) {
    if (objects_.empty()) return;
    const std::uint64_t old_unit = picked(command.pick)->first;
    if (put(command.bytes, command.exceeds)) remove(objects_.find(old_unit));
  }
  void trim(std::uint64_t keep_pages) {
    const std::uint64_t empty = pool_->empty_pages();
    const std::uint64_t given = pool_->trim(keep_pages);
    UZ_CHECK(given == (empty > keep_pages ? empty - keep_pages : 0));
    UZ_CHECK(pool_->empty_pages() == empty - given);
  }
  void reserve(std::uint64_t pages) {
    has_reserve_ = pool_->reserve(pages, pages / 8).has_value() && pages != 0;
    UZ_CHECK(!has_reserve_ || pool_->reserved_pages() >= pages + pages / 8);
    UZ_CHECK(!has_reserve_ || pool_->reserve_left() == pages);
    UZ_CHECK(has_reserve_ || pool_->reserved_pages() == 0);
  }
  // Pages change their places, and no fewer are left.
  void restock(Pool::Grip grip) {
    const std::uint64_t left = pool_->reserve_left();
    pool_->restock(grip);
    UZ_CHECK(!has_reserve_ || pool_->reserve_left() >= left);
  }

  // Moves what stands in the way, with other commands' work in between; sometimes breaks off.
  void compact(const Command& command) {
    const std::uint64_t announced = pool_->begin_compaction();
    if (command.pick % 4 == 0) put(command.bytes, command.exceeds);
    if (command.pick % 4 == 1) drop_run(command.pick);
    check_counts();
    const bool is_undisturbed = command.pick % 4 >= 2;
    const std::uint64_t most = command.pick % 8 == 7 ? announced / 2 : ~std::uint64_t{0};
    std::uint64_t moves = 0;
    const Objects before = objects_;
    for (auto it = before.begin(); it != before.end() && moves < most; ++it) {
      if (!pool_->must_move({it->first}, it->second.bytes)) continue;
      if (!move(it->first)) break;
      ++moves;
    }
    if (is_undisturbed) UZ_CHECK(moves == std::min(announced, most));
    pool_->end_compaction();
    // A span that was squeezed ends a little before its last page.
    const std::uint64_t ends = has_reserve_ ? kArenaBytes / kSpanBytes : 0;
    if (is_undisturbed && moves == announced)
      UZ_CHECK(pool_->resident_pages() - pool_->empty_pages() <= pool_->tight_pages() + ends);
  }
  bool move(std::uint64_t unit) {
    const auto from = objects_.find(unit);
    const Object object = from->second;
    const Result<Handle> place = pool_->allocate(object.bytes, LimitRule::Exceed);
    if (!place) return false;
    add(place->value, object);
    remove(objects_.find(unit));
    UZ_CHECK(!pool_->must_move(*place, object.bytes));
    return true;
  }
  void crash() {
    pool_.reset();
    make_pool();
    for (const auto& [unit, object] : objects_) pool_->survey({unit}, object.bytes);
    for (const auto& [unit, object] : objects_) UZ_CHECK(pool_->adopt({unit}, object.bytes));
    UZ_CHECK(pool_->finish_adoption().has_value());
    UZ_CHECK(pool_->empty_pages() == 0);
    UZ_CHECK(arena_->resident_bytes() == touched_pages_.size() * kPageBytes);
    check_all();
  }

  // --- counts
  void count_pages(std::uint64_t unit, const Object& object, int change) {
    const std::uint64_t first = unit * kClassStepBytes / kPageBytes;
    // A page belongs to an object if its class's size reaches it.
    const std::uint64_t end = unit * kClassStepBytes + round_up(object.bytes, kClassStepBytes);
    for (std::uint64_t page = first; page <= (end - 1) / kPageBytes; ++page) {
      const int count = touched_pages_[page] += change;
      if (count == 0) touched_pages_.erase(page);
    }
  }
  void check_counts() const {
    UZ_CHECK(pool_->check_invariants() == objects_.size());
    UZ_CHECK(pool_->resident_pages() - pool_->empty_pages() == touched_pages_.size());
    UZ_CHECK(arena_->resident_bytes() / kPageBytes ==
             pool_->resident_pages() + pool_->reserved_pages());
  }

  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Pool> pool_;
  Objects objects_;
  std::map<std::uint64_t, int> touched_pages_;  // How many objects touch each.
  std::uint64_t last_seed_ = 0;
  std::uint64_t refused_count_ = 0;
  bool has_reserve_ = false;
};

}  // namespace uzram
