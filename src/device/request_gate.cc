// SPDX-License-Identifier: Apache-2.0
#include "device/request_gate.h"

#include "store/lanes.h"
#include "store/slot_table.h"

namespace uzram {

RequestGate::Ticket::Ticket(RequestGate& gate)
    : inside_(&gate.shards_[thread_number() % kShardCount].inside) {
  inside_->fetch_add(1, std::memory_order_seq_cst);
  if (gate.is_open_.load(std::memory_order_seq_cst)) return;
  inside_->fetch_sub(1, std::memory_order_release);
  inside_ = nullptr;
}

RequestGate::Ticket::~Ticket() {
  // Release: what was done inside comes before what the closing thread does.
  if (inside_ != nullptr) inside_->fetch_sub(1, std::memory_order_release);
}

void RequestGate::open() { is_open_.store(true, std::memory_order_seq_cst); }

void RequestGate::close() {
  is_open_.store(false, std::memory_order_seq_cst);
  for (Shard& shard : shards_) {
    Backoff backoff;
    while (shard.inside.load(std::memory_order_seq_cst) != 0) backoff.wait();
  }
}

}  // namespace uzram
