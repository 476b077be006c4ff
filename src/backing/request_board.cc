// SPDX-License-Identifier: Apache-2.0
#include "backing/request_board.h"

#include "base/check.h"

namespace uzram {

void RequestBoard::post(const BackingRequest& request) {
  Entry& entry = entries_[request.index];
  MutexLock lock(entry.mutex);
  UZ_CHECK(entry.state == State::Idle);
  const bool has_data = request.kind != BackingRequest::Kind::Discard;
  entry.job = {request.index, request.kind, request.range,
               request.buffer.first(has_data ? request.bytes() : 0), request.deadline};
  entry.state = State::Queued;
  entry.queued.notify_one();
}

bool RequestBoard::wait(BackingRequest& request, Clock::time_point until) {
  Entry& entry = entries_[request.index];
  MutexLock lock(entry.mutex);
  while (entry.state != State::Done) {
    const auto left = until - Clock::now();
    if (left <= Clock::duration::zero()) return false;
    entry.done.wait_for(entry.mutex, left);
  }
  request.error = entry.error;
  request.may_still_happen = entry.may_still_happen;
  entry.state = State::Idle;
  return true;
}

std::optional<RequestBoard::Job> RequestBoard::take(std::size_t index) {
  Entry& entry = entries_[index];
  MutexLock lock(entry.mutex);
  if (entry.state != State::Queued) return std::nullopt;
  entry.state = State::Taken;
  return entry.job;
}

std::optional<RequestBoard::Job> RequestBoard::take_any() {
  for (std::size_t index = 0; index < entries_.size(); ++index) {
    if (std::optional<Job> job = take(index)) return job;
  }
  return std::nullopt;
}

std::optional<RequestBoard::Job> RequestBoard::wait_for_job(std::size_t index) {
  Entry& entry = entries_[index];
  MutexLock lock(entry.mutex);
  while (entry.state != State::Queued) {
    if (entry.is_ending) return std::nullopt;
    entry.queued.wait(entry.mutex);
  }
  entry.state = State::Taken;
  return entry.job;
}

void RequestBoard::complete(std::size_t index, int error, bool may_still_happen) {
  Entry& entry = entries_[index];
  MutexLock lock(entry.mutex);
  UZ_CHECK(entry.state == State::Taken);
  entry.error = error;
  entry.may_still_happen = may_still_happen;
  entry.state = State::Done;
  entry.done.notify_one();
}

bool RequestBoard::is_idle(std::size_t index) {
  Entry& entry = entries_[index];
  MutexLock lock(entry.mutex);
  return entry.state == State::Idle;
}

void RequestBoard::end() {
  for (Entry& entry : entries_) {
    MutexLock lock(entry.mutex);
    entry.is_ending = true;
    entry.queued.notify_all();
  }
}

}  // namespace uzram
