// SPDX-License-Identifier: Apache-2.0
#include "base/mutex.h"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace uzram {
namespace {

struct Guarded {
  Mutex mutex;
  ConditionVariable changed;
  int value UZ_GUARDED_BY(mutex) = 0;

  void add(int amount) {
    MutexLock lock(mutex);
    value += amount;
    changed.notify_all();
  }
  int get() {
    MutexLock lock(mutex);
    return value;
  }
};

TEST(MutexThread, OnlyOneIsInside) {
  Guarded guarded;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int step = 0; step < 10'000; ++step) guarded.add(1);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(guarded.get(), 40'000);
}

TEST(MutexThread, TryLockFailsWhileAnotherHoldsIt) {
  Mutex mutex;
  const auto can_take = [&] {
    bool taken = false;
    std::thread([&] {
      if (!mutex.try_lock()) return;
      taken = true;
      mutex.unlock();
    }).join();
    return taken;
  };
  {
    MutexLock lock(mutex);
    EXPECT_FALSE(can_take());
  }
  EXPECT_TRUE(can_take());
}

TEST(MutexThread, AWaiterWakesAndHoldsTheMutexAgain) {
  Guarded guarded;
  std::thread waiter([&] {
    MutexLock lock(guarded.mutex);
    while (guarded.value == 0) guarded.changed.wait(guarded.mutex);
    guarded.value += 10;
  });
  guarded.add(1);
  waiter.join();
  EXPECT_EQ(guarded.get(), 11);
}

TEST(MutexThread, AWaitWithATimeEndsWithoutANotice) {
  Guarded guarded;
  MutexLock lock(guarded.mutex);
  guarded.changed.wait_for(guarded.mutex, std::chrono::milliseconds(1));
  bool is_free = false;
  std::thread([&] {
    if (!guarded.mutex.try_lock()) return;
    is_free = true;
    guarded.mutex.unlock();
  }).join();
  EXPECT_FALSE(is_free);
}

}  // namespace
}  // namespace uzram
