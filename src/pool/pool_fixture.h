// SPDX-License-Identifier: Apache-2.0
// pool/pool_fixture.h: a pool in tests, whose every object holds bytes that only it can hold.
//
// What:    PoolUser does to a pool what the store does: puts objects in and writes them, drops
//          them, moves those that stand in the way of compaction, and comes back after a crash.
//          Every drop and verify() compares the bytes. SizeMaker draws object sizes.
// Threads: none; pool_thread_test.cc has its own.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "base/random.h"
#include "pool/arena.h"
#include "pool/pool.h"

namespace uzram {

inline constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;

inline void fill_pattern(MutableBytes bytes, std::uint64_t seed) {
  Random random(seed);
  for (std::size_t i = 0; i < bytes.size(); i += sizeof seed) {
    const std::uint64_t word = random.next();
    std::memcpy(bytes.data() + i, &word, std::min(sizeof word, bytes.size() - i));
  }
}

inline bool holds_pattern(ConstBytes bytes, std::uint64_t seed) {
  std::array<std::byte, kPageBytes> expected;
  fill_pattern(MutableBytes(expected.data(), bytes.size()), seed);
  return std::memcmp(expected.data(), bytes.data(), bytes.size()) == 0;
}

// Sizes of packed pages, drawn from measured quantiles with straight lines between them.
class SizeMaker {
 public:
  struct Quantile {
    double share;  // Of all pages that pack to at most `bytes`.
    double bytes;
  };
  // Pages of many programs' memory; what is beyond the last quantile does not pack.
  static SizeMaker lz4() {
    return SizeMaker({{{0, 60},
                       {0.10, 504},
                       {0.25, 1023},
                       {0.50, 1496},
                       {0.75, 1905},
                       {0.90, 2553},
                       {0.963, 3300}}});
  }
  static SizeMaker zstd() {
    return SizeMaker({{{0, 40},
                       {0.10, 292},
                       {0.25, 583},
                       {0.50, 926},
                       {0.75, 1297},
                       {0.90, 1757},
                       {0.985, 3000}}});
  }

  [[nodiscard]] std::size_t draw(Random& random) const {
    const double share = static_cast<double>(random.next() >> 11) * 0x1p-53;
    for (std::size_t i = 1; i < quantiles_.size(); ++i) {
      const Quantile& low = quantiles_[i - 1];
      const Quantile& high = quantiles_[i];
      if (share >= high.share) continue;
      const double step = (share - low.share) / (high.share - low.share);
      return static_cast<std::size_t>(low.bytes + step * (high.bytes - low.bytes));
    }
    return kPageBytes;
  }

 private:
  explicit SizeMaker(const std::array<Quantile, 7>& quantiles) : quantiles_(quantiles) {}
  std::array<Quantile, 7> quantiles_;
};

class PoolUser {
 public:
  struct Object {
    Handle handle;
    std::size_t bytes;
    std::uint64_t seed;
  };

  // The pool does not start where the arena starts, as in a device.
  explicit PoolUser(std::uint64_t pool_bytes, std::uint64_t offset = kSpanBytes)
      : offset_(offset), pool_bytes_(pool_bytes) {
    auto arena = Arena::create(offset + pool_bytes);
    if (!arena) throw std::bad_alloc();
    arena_ = std::move(*arena);
    make_pool();
  }

  [[nodiscard]] Arena& arena() { return *arena_; }
  [[nodiscard]] Pool& pool() { return *pool_; }
  [[nodiscard]] const std::vector<Object>& objects() const { return objects_; }
  [[nodiscard]] std::uint64_t stored_bytes() const { return stored_bytes_; }
  [[nodiscard]] std::uint64_t arena_pages() const { return arena_->resident_bytes() / kPageBytes; }
  [[nodiscard]] double overhead_percent() const {
    return 100.0 *
           (static_cast<double>(arena_->resident_bytes()) / static_cast<double>(stored_bytes_) -
            1.0);
  }

  // Returns: 0 or the error of allocate.
  [[nodiscard]] int put(std::size_t bytes, LimitRule rule = LimitRule::Obey) {
    const Result<Handle> handle = pool_->allocate(bytes, rule);
    if (!handle) return handle.error().code;
    objects_.push_back({*handle, bytes, ++last_seed_});
    stored_bytes_ += bytes;
    fill_pattern(pool_->at(*handle, bytes), last_seed_);
    return 0;
  }
  void put_many(std::size_t count, std::size_t bytes) {
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(put(bytes), 0);
  }
  void put_many(std::size_t count, const SizeMaker& sizes, Random& random) {
    for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(put(sizes.draw(random)), 0);
  }
  void drop(std::size_t index) {
    const Object object = objects_[index];
    expect_intact(object);
    pool_->free(object.handle, object.bytes);
    stored_bytes_ -= object.bytes;
    objects_[index] = objects_.back();
    objects_.pop_back();
  }
  void drop_all() {
    while (!objects_.empty()) drop(objects_.size() - 1);
  }
  void drop_random(std::size_t count, Random& random) {
    for (std::size_t i = 0; i < count; ++i) drop(random.below(objects_.size()));
  }

  void verify() {
    for (const Object& object : objects_) expect_intact(object);
    EXPECT_EQ(pool_->check_invariants(), objects_.size());
  }

  // Between begin_compaction and end_compaction. Returns: the objects moved.
  std::uint64_t move_what_must() {
    std::uint64_t moved = 0;
    for (Object& object : objects_) {
      if (!pool_->must_move(object.handle, object.bytes)) continue;
      const Result<Handle> place = pool_->allocate(object.bytes, LimitRule::Exceed);
      if (!place) {
        ADD_FAILURE() << "no place to move to: errno " << place.error().code;
        return moved;
      }
      std::memcpy(pool_->at(*place, object.bytes).data(),
                  pool_->at(object.handle, object.bytes).data(), object.bytes);
      pool_->free(object.handle, object.bytes);
      object.handle = *place;
      ++moved;
    }
    return moved;
  }
  void compact() {
    pool_->begin_compaction();
    move_what_must();
    pool_->end_compaction();
    pool_->trim(0);
  }

  // The process is gone, its arena is not.
  void lose_pool() {
    pool_.reset();
    make_pool();
  }
  // Returns: how many of the objects the pool accepts.
  [[nodiscard]] std::size_t adopt_all() {
    std::size_t adopted = 0;
    for (const Object& object : objects_) adopted += pool_->adopt(object.handle, object.bytes);
    return adopted;
  }
  void forget(std::size_t index) {
    stored_bytes_ -= objects_[index].bytes;
    objects_.erase(objects_.begin() + static_cast<std::ptrdiff_t>(index));
  }

 private:
  void make_pool() {
    auto pool = Pool::create(*arena_, offset_, pool_bytes_);
    if (!pool) throw std::bad_alloc();
    pool_ = std::move(*pool);
  }
  void expect_intact(const Object& object) {
    EXPECT_TRUE(holds_pattern(pool_->at(object.handle, object.bytes), object.seed))
        << "object of " << object.bytes << " bytes at " << object.handle.value;
  }

  const std::uint64_t offset_;
  const std::uint64_t pool_bytes_;
  std::unique_ptr<Arena> arena_;
  std::unique_ptr<Pool> pool_;
  std::vector<Object> objects_;
  std::uint64_t stored_bytes_ = 0;
  std::uint64_t last_seed_ = 0;
};

}  // namespace uzram
