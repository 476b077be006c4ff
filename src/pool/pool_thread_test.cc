// SPDX-License-Identifier: Apache-2.0
// Many threads in one pool; trimming, compaction and a reserve that comes and goes beside them.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>

#include "pool/pool_fixture.h"

namespace uzram {
namespace {

class PoolThread : public ::testing::Test {
 protected:
  static constexpr int kWorkers = 3;
  static constexpr int kSteps = 20'000;
  static constexpr std::size_t kObjectsEach = 300;

  // A slot as the store has it: whoever moves or replaces an object holds its mutex.
  struct Slot {
    std::mutex mutex;
    Handle handle;
    std::size_t bytes = 0;  // 0: empty.
    std::uint64_t seed = 0;
  };

  std::unique_ptr<Arena> arena_ = std::move(*Arena::create(256 * kMiB));
  std::unique_ptr<Pool> pool_ = std::move(*Pool::create(*arena_, 0, 256 * kMiB));
  std::vector<Slot> slots_ = std::vector<Slot>(kWorkers * kObjectsEach);
  std::atomic<std::uint64_t> failures_{0};
  std::atomic<bool> is_over_{false};

  void empty(Slot& slot) {
    if (slot.bytes == 0) return;
    if (!holds_pattern(pool_->at(slot.handle, slot.bytes), slot.seed)) ++failures_;
    pool_->free(slot.handle, slot.bytes);
    slot.bytes = 0;
  }
  void replace(Slot& slot, std::size_t bytes, std::uint64_t seed) {
    const Result<Handle> handle = pool_->allocate(bytes, LimitRule::Obey);
    if (!handle) {
      if (handle.error().code != ENOSPC) ++failures_;
      empty(slot);
      return;
    }
    fill_pattern(pool_->at(*handle, bytes), seed);
    empty(slot);
    slot.handle = *handle;
    slot.bytes = bytes;
    slot.seed = seed;
  }
  // Overwrites and empties slots of all workers. Two sizes at a time, so that threads meet in a
  // class; later other ones, so that spans are emptied and go from class to class.
  void work(std::uint64_t seed) {
    Random random(seed);
    for (int step = 0; step < kSteps; ++step) {
      Slot& slot = slots_[random.below(slots_.size())];
      const std::size_t bytes = 512 * (1 + (step / 1500 + random.below(2)) % 8);
      std::lock_guard<std::mutex> lock(slot.mutex);
      if (random.below(3) == 0) {
        empty(slot);
      } else {
        replace(slot, bytes, random.next());
      }
    }
  }
  // As the store does it: asks without the slot, about a handle that may be gone by then, and
  // moves with it.
  void compact_once() {
    pool_->begin_compaction();
    std::vector<std::pair<Handle, std::size_t>> seen;
    for (Slot& slot : slots_) {
      std::lock_guard<std::mutex> lock(slot.mutex);
      seen.emplace_back(slot.handle, slot.bytes);
    }
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const auto [handle, bytes] = seen[i];
      if (bytes != 0 && pool_->must_move(handle, bytes)) move(slots_[i]);
    }
    pool_->end_compaction();
  }
  void move(Slot& slot) {
    std::lock_guard<std::mutex> lock(slot.mutex);
    if (slot.bytes == 0 || !pool_->must_move(slot.handle, slot.bytes)) return;
    const Result<Handle> place = pool_->allocate(slot.bytes, LimitRule::Exceed);
    if (!place) return;
    std::memcpy(pool_->at(*place, slot.bytes).data(), pool_->at(slot.handle, slot.bytes).data(),
                slot.bytes);
    pool_->free(slot.handle, slot.bytes);
    slot.handle = *place;
  }
  // Runs each of `beside` over and over while the workers work, then proves that nothing was lost.
  void run_beside(const std::vector<std::function<void()>>& beside) {
    std::vector<std::thread> workers;
    std::vector<std::thread> others;
    for (const auto& task : beside) {
      others.emplace_back([this, &task] {
        while (!is_over_.load()) task();
      });
    }
    for (std::uint64_t i = 0; i < kWorkers; ++i) workers.emplace_back([this, i] { work(100 + i); });
    for (std::thread& worker : workers) worker.join();
    is_over_.store(true);
    for (std::thread& other : others) other.join();
    check_all();
  }
  void check_all() {
    std::uint64_t stored = 0;
    for (const Slot& slot : slots_) {
      if (slot.bytes == 0) continue;
      ++stored;
      EXPECT_TRUE(holds_pattern(pool_->at(slot.handle, slot.bytes), slot.seed));
    }
    EXPECT_GT(stored, 0U);
    EXPECT_EQ(failures_.load(), 0U);
    EXPECT_EQ(pool_->check_invariants(), stored);
    EXPECT_EQ(pool_->reserve(0).has_value(), true);
    pool_->trim(0);
    EXPECT_EQ(arena_->resident_bytes(), pool_->resident_pages() * kPageBytes);
    for (Slot& slot : slots_) empty(slot);
    EXPECT_EQ(pool_->check_invariants(), 0U);
    pool_->trim(0);
    EXPECT_EQ(arena_->resident_bytes(), 0U);
  }
};

TEST_F(PoolThread, WorkersAlone) { run_beside({}); }

TEST_F(PoolThread, WithTrim) {
  run_beside({[this] { pool_->trim(0); }});
}

TEST_F(PoolThread, WithCompaction) {
  run_beside({[this] { compact_once(); }, [this] { pool_->trim(16); }});
}

TEST_F(PoolThread, WithAReserveThatComesAndGoes) {
  run_beside({[this] {
                if (!pool_->reserve(200)) ++failures_;
                if (!pool_->reserve(0)) ++failures_;
              },
              [this] { pool_->trim(0); }});
}

TEST_F(PoolThread, WithALimitThatIsReached) {
  pool_->set_limit_pages(150);
  std::atomic<std::uint64_t> highest{0};
  run_beside({[&] { highest = std::max(highest.load(), pool_->resident_pages()); }});
  EXPECT_LE(highest.load(), 150U);
  EXPECT_EQ(pool_->resident_pages_max(), 150U);
}

TEST_F(PoolThread, WithEverythingAtOnce) {
  std::uint64_t round = 0;
  run_beside({[this] { compact_once(); },
              [&] {
                ++round;
                pool_->set_limit_pages(round % 2 == 0 ? 200 : 0);
                if (!pool_->reserve(round % 3 == 0 ? 100 : 0)) ++failures_;
                pool_->trim(round % 5 * 10);
                pool_->reset_resident_pages_max();
                static_cast<void>(pool_->tight_pages() + pool_->metadata_bytes());
              }});
}

}  // namespace
}  // namespace uzram
