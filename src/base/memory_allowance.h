// SPDX-License-Identifier: Apache-2.0
// base/memory_allowance.h: the memory that all devices of a process together may still take.
//
// What:    a count of pages, taken from before memory is touched, and measured anew now and then.
//          A disk that takes what is not there ends the process, and with it every disk; so a
//          write is refused instead. Not here: how it is measured (memory_room.h), mem_limit
//          (pool/).
// Units:   pages of 4 KiB.
// Threads: any. try_take never allocates; it may read a few files of the kernel.
// Laws:    8.
// Proof:   swap_hazards_test.cc in app/; tests/e2e/memory_limit_test.py.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "base/memory_room.h"
#include "base/mutex.h"

namespace uzram {

// Whose limits count. A disk that is swap is needed most when the machine has least, and the
// kernel frees more than it takes by writing to it.
enum class AllowanceScope { CgroupAndMachine, CgroupOnly };

class MemoryAllowance {
 public:
  using Look = std::function<MemoryRoom()>;
  // So long a measurement is believed, unless it says that nothing is left.
  static constexpr std::chrono::milliseconds kBelieved{100};
  // No measurement follows another one sooner.
  static constexpr std::chrono::milliseconds kPause{2};

  // This process's.
  MemoryAllowance();
  // For tests: `look` is called with a mutex held.
  explicit MemoryAllowance(Look look) : look_(std::move(look)) {}

  // Returns: false when so much is not left; nothing is taken then.
  [[nodiscard]] bool try_take(std::uint64_t pages, AllowanceScope scope) noexcept;
  // What has to succeed (a replacement that shrinks a page) is taken without asking.
  void take(std::uint64_t pages) noexcept;
  void give_back(std::uint64_t pages) noexcept;

  // Measures anew. Bytes that are left, and who says so: "cgroup /a/group" or "machine".
  struct Report {
    std::uint64_t left_bytes = 0;
    std::string from;
  };
  [[nodiscard]] Report report(AllowanceScope scope);

 private:
  using Clock = std::chrono::steady_clock;

  [[nodiscard]] bool is_believed() const noexcept;
  void measure(std::chrono::milliseconds pause) noexcept;
  [[nodiscard]] bool try_take_known(std::uint64_t pages, AllowanceScope scope) noexcept;

  // Relaxed: counts that publish nothing.
  std::atomic<std::int64_t> cgroup_pages_{0};
  std::atomic<std::int64_t> machine_pages_{0};
  // Ticks of Clock at the last measurement; 0 before the first one.
  std::atomic<Clock::rep> measured_at_{0};
  Mutex mutex_;
  const Look look_;
  MemoryRoom room_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
