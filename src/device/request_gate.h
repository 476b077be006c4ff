// SPDX-License-Identifier: Apache-2.0
// device/request_gate.h: lets many requests through at once, and lets a lifecycle change wait until
// none is inside.
//
// What:    a reader-writer lock whose readers touch no cache line that another core's readers
//          write.
// Threads: enter and leave from any thread, on the same Ticket; close and open from one thread at a
//          time.
// Proof:   request_gate_thread_test.cc.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>

namespace uzram {

class RequestGate {
 public:
  // Proof of being inside; leaving is its destruction. False when the gate was closed.
  class Ticket {
   public:
    explicit Ticket(RequestGate& gate);
    ~Ticket();
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;
    explicit operator bool() const { return inside_ != nullptr; }

   private:
    std::atomic<long>* inside_;
  };

  // A new gate is closed. Publishes what was set up before to everyone who enters.
  void open();
  // No one enters from now on; returns when everyone inside has left.
  void close();

 private:
  static constexpr std::size_t kShardCount = 16;
  struct alignas(64) Shard {
    std::atomic<long> inside{0};
  };
  // seq_cst with Shard::inside: either the entering thread sees closed, or the closing one sees it
  // inside.
  std::atomic<bool> is_open_{false};
  std::array<Shard, kShardCount> shards_;
};

}  // namespace uzram
