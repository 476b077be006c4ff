// SPDX-License-Identifier: Apache-2.0
// backing/request_board.h: hands requests from those who wait for them to the threads that do them.
//
// What:    one entry for each request of a store: queued, then taken by a worker, then done. An
//          entry keeps its own copy of the request, so a worker never looks at what a waiting
//          thread owns.
// Threads: post and wait by the request's holder, the rest by workers; each may block for a moment.
// Memory:  the constructor allocates, nothing else.
// Proof:   backing_store_test.cc, backing_thread_test.cc.
#pragma once

#include <deque>
#include <optional>

#include "backing/backing_store.h"

namespace uzram {

class RequestBoard {
 public:
  using Clock = std::chrono::steady_clock;
  struct Job {
    std::size_t index = 0;
    BackingRequest::Kind kind = BackingRequest::Kind::Read;
    BlockRange range;
    MutableBytes buffer;  // Of the range's size; for a discard nothing is in it.
    Clock::time_point deadline;
  };

  explicit RequestBoard(std::size_t request_count) : entries_(request_count) {}

  void post(const BackingRequest& request);
  // Waits until the request is done, at most until `until`. Returns: whether it is.
  bool wait(BackingRequest& request, Clock::time_point until);

  // The next queued request that `index` names, or any.
  std::optional<Job> take(std::size_t index);
  std::optional<Job> take_any();
  // The same, after waiting for one. Returns: nullopt after end().
  std::optional<Job> wait_for_job(std::size_t index);
  void complete(std::size_t index, int error, bool may_still_happen);
  [[nodiscard]] bool is_idle(std::size_t index);
  // Workers that wait go home.
  void end();

 private:
  enum class State : std::uint8_t { Idle, Queued, Taken, Done };
  struct Entry {
    Mutex mutex;
    ConditionVariable queued;
    ConditionVariable done;
    State state UZ_GUARDED_BY(mutex) = State::Idle;
    Job job UZ_GUARDED_BY(mutex);
    int error UZ_GUARDED_BY(mutex) = 0;
    bool may_still_happen UZ_GUARDED_BY(mutex) = false;
    bool is_ending UZ_GUARDED_BY(mutex) = false;
  };
  std::deque<Entry> entries_;  // By request; a deque, since an entry cannot move.
};

}  // namespace uzram
