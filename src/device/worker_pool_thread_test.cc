// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "device/worker_pool.h"

namespace uzram {
namespace {

// Plain counters on purpose: a chunk done twice at once, or seen too early, is a race.
std::vector<int> run_counting(WorkerPool& pool, std::size_t chunk_count) {
  std::vector<int> done(chunk_count);
  auto work = [&done](std::size_t chunk) { ++done[chunk]; };
  pool.run(chunk_count, work);
  return done;
}

bool is_all_ones(const std::vector<int>& counts) {
  return std::all_of(counts.begin(), counts.end(), [](int count) { return count == 1; });
}

TEST(WorkerPoolThread, DoesEveryChunkOnce) {
  for (const std::size_t helper_count : {0, 1, 3}) {
    WorkerPool pool(helper_count);
    for (const std::size_t chunk_count : {0, 1, 2, 3, 7, 100, 5000})
      ASSERT_TRUE(is_all_ones(run_counting(pool, chunk_count))) << helper_count << chunk_count;
  }
}

TEST(WorkerPoolThread, DoesManyShortJobsOneAfterTheOther) {
  WorkerPool pool(3);
  for (std::size_t job = 0; job < 3000; ++job)
    ASSERT_TRUE(is_all_ones(run_counting(pool, 1 + job % 5))) << job;
}

TEST(WorkerPoolThread, ServesSeveralCallersAtOnce) {
  WorkerPool pool(2);
  std::vector<std::thread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&pool] {
      for (std::size_t job = 0; job < 500; ++job)
        ASSERT_TRUE(is_all_ones(run_counting(pool, 1 + job % 20)));
    });
  }
  for (std::thread& caller : callers) caller.join();
}

// Two chunks that wait for each other end only when two threads work on one job.
TEST(WorkerPoolThread, SharesAJobWithAHelper) {
  WorkerPool pool(1);
  std::atomic<int> arrived{0};
  std::array<std::thread::id, 2> ids;
  auto work = [&](std::size_t chunk) {
    ids[chunk] = std::this_thread::get_id();
    arrived.fetch_add(1);
    while (arrived.load() < 2) std::this_thread::yield();
  };
  pool.run(2, work);
  EXPECT_NE(ids[0], ids[1]);
}

TEST(WorkerPoolThread, ReturnsOnceTheSlowestHelperIsDone) {
  WorkerPool pool(1);
  const auto caller = std::this_thread::get_id();
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> arrived{0};
    std::atomic<int> done{0};
    auto work = [&](std::size_t) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
      if (std::this_thread::get_id() != caller)
        std::this_thread::sleep_for(std::chrono::milliseconds(3));
      done.fetch_add(1);
    };
    pool.run(2, work);
    ASSERT_EQ(done.load(), 2);
  }
}

// The helper sleeps inside the first job; others are done without it meanwhile.
TEST(WorkerPoolThread, NeverWaitsForAHelperThatHasNothing) {
  WorkerPool pool(1);
  std::atomic<int> arrived{0};
  std::atomic<bool> may_go{false};
  std::thread first([&] {
    auto work = [&](std::size_t) {
      arrived.fetch_add(1);
      while (!may_go) std::this_thread::yield();
    };
    pool.run(2, work);
  });
  while (arrived.load() < 2) std::this_thread::yield();
  EXPECT_TRUE(is_all_ones(run_counting(pool, 100)));
  may_go = true;
  first.join();
}

TEST(WorkerPoolThread, EndsWhileIdleAndRightAfterAJob) {
  for (int round = 0; round < 200; ++round) {
    auto pool = std::make_unique<WorkerPool>(2);
    if (round % 2 == 0) {
      ASSERT_TRUE(is_all_ones(run_counting(*pool, 4)));
    }
    pool.reset();
  }
}

}  // namespace
}  // namespace uzram
