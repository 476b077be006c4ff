// SPDX-License-Identifier: Apache-2.0
// pager/fault_threads.h: threads that serve the faults of all others, and those of the kernel.
//
// What:    FaultThreads: reads userfaultfd's messages and takes each to the same path as a fault
//          that is handled where it happens (PagerCore::handle_fault); then whoever waits for the
//          page tries again. Not here: the descriptor, and what is done to pages (uffd_backend.h).
// Why:     several threads, because a fault that has to wait for room must not hold up others. One
//          is woken a message, and no more.
// Owns:    the threads. Their turn is like any other's: the program waits for them.
// Errors:  start -> EAGAIN no more threads; those of eventfd and epoll. A message that is none of
//          ours means that the program has moved a region: it ends with a line that says so.
// Threads: nothing here touches memory of a region: a thread would wait for itself. All signals of
//          the program are blocked in them.
// Laws:    5.
// Proof:   fault_threads_test.cc, and every test of the room with PagerBackend::Strict.
// Source:  userfaultfd(2).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

class MemoryBackend;
class PagerCore;

class FaultThreads {
 public:
  // Requires: `messages` does not block, and outlives the threads, as the others do.
  static Result<std::unique_ptr<FaultThreads>> start(int messages, PagerCore& core,
                                                     MemoryBackend& memory);
  ~FaultThreads();
  FaultThreads(const FaultThreads&) = delete;
  FaultThreads& operator=(const FaultThreads&) = delete;
  // The last of two that serve the same page may come to its end when both have their page already.
  // Requires: nobody touches a region meanwhile.
  void wait_until_idle() const;
  // Until each message that is being served now has been: whoever serves one later finds the
  // regions as they are now.
  void wait_until_passed();

 private:
  static constexpr unsigned kMostThreads = 4;
  FaultThreads(int messages, PagerCore& core, MemoryBackend& memory)
      : messages_(messages), core_(core), memory_(memory) {}
  Result<void> prepare();
  void work(std::atomic<std::uint32_t>& rounds);
  void read_messages(std::atomic<std::uint32_t>& rounds);
  void serve(std::uint64_t address, bool is_write);

  // constant after construction
  const int messages_;
  PagerCore& core_;
  MemoryBackend& memory_;
  FileDescriptor ending_;  // Readable: the threads must end.
  FileDescriptor waiting_;
  std::vector<std::thread> threads_;
  // synchronizes itself
  // Of each thread: odd while it serves a message. Acquire and release, as wait_until_passed says.
  std::array<std::atomic<std::uint32_t>, kMostThreads> rounds_{};
  std::atomic<std::uint32_t> busy_count_{0};  // Acquire and release: what they did is seen.
};

}  // namespace uzram
