// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/disk_crew.h"

#include <fcntl.h>

#include <algorithm>
#include <new>

#include "base/start_thread.h"
#include "frontend/fuse/fuse_mount.h"
#include "frontend/fuse/serving_thread.h"

namespace uzram {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// So many requests, and a disk is busy: somebody who has a look at it (udev, blkid) asks less.
constexpr std::uint64_t kRequestsOfABusyDisk = 64;
constexpr milliseconds kLightRest{200};
// How long a thread that was called home may take before the disk is watched all the same.
constexpr int kMostCalls = 50;
constexpr milliseconds kCallPause{1};

}  // namespace

struct DiskCrew::Member {
  Member(int descriptor, FileDescriptor own, DiskRequests& requests, ServingBuffer buffer)
      : clone(std::move(own)), reader(descriptor, requests, std::move(buffer)) {}

  const FileDescriptor clone;  // Closed when the member reads the connection itself.
  FuseReader reader;
  // Relaxed: a hint, asked again before each read.
  std::atomic<bool> must_leave{false};
  // Release by the thread with its last deed, acquire by whoever joins it.
  std::atomic<bool> has_left{false};
  std::thread thread;
};

DiskCrew::DiskCrew(IdleWatch& watch, int connection, DiskRequests& requests,
                   const Settings& settings)
    : watch_(watch), connection_(connection), requests_(requests), settings_(settings) {}

DiskCrew::~DiskCrew() = default;

std::shared_ptr<DiskCrew> DiskCrew::make(IdleWatch& watch, int connection, DiskRequests& requests,
                                         const Settings& settings) {
  return std::shared_ptr<DiskCrew>(new DiskCrew(watch, connection, requests, settings));
}

Result<void> DiskCrew::start() {
  MutexLock lock(mutex_);
  id_ = watch_.add(shared_from_this());
  return watch_.arm(id_, connection_);
}

Result<void> DiskCrew::keep_awake(bool is_kept) {
  MutexLock lock(mutex_);
  is_kept_ = is_kept;
  busy_until_ = steady_clock::now() + settings_.rest_after;
  if (!is_kept) {
    watch_.note_awake(id_);
    return {};
  }
  join_those_who_left();
  if (active_count() < settings_.most_threads) {
    const Result<void> started = start_all();
    if (!started && active_count() == 0) {
      is_kept_ = false;
      return started;
    }
  }
  return {};
}

void DiskCrew::end() {
  std::vector<std::unique_ptr<Member>> members;
  IdleWatch::Id id = 0;
  {
    MutexLock lock(mutex_);
    is_over_ = true;
    watch_.disarm(connection_);
    members.swap(members_);
    id = id_;
  }
  watch_.remove(id);
  for (const auto& member : members) member->thread.join();
  has_ended_->store(true, std::memory_order_relaxed);
}

unsigned DiskCrew::thread_count() const {
  MutexLock lock(mutex_);
  return static_cast<unsigned>(members_.size());
}

// --- a member's thread

void DiskCrew::serve(Member& member) {
  prepare_serving_thread();
  while (!member.must_leave.load(std::memory_order_relaxed)) {
    if (!member.reader.serve_one()) {
      has_ended_->store(true, std::memory_order_relaxed);
      break;
    }
    if (member.reader.served() % kRequestsOfABusyDisk != 0) continue;
    // Whoever has the mutex may be waiting for this thread.
    if (!mutex_.try_lock()) continue;
    if (!is_over_ && active_count() < settings_.most_threads) static_cast<void>(start_all());
    mutex_.unlock();
  }
  member.has_left.store(true, std::memory_order_release);
}

std::size_t DiskCrew::active_count() const {
  return static_cast<std::size_t>(
      std::count_if(members_.begin(), members_.end(), [](const std::unique_ptr<Member>& member) {
        return !member->must_leave.load(std::memory_order_relaxed) &&
               !member->has_left.load(std::memory_order_acquire);
      }));
}

Result<void> DiskCrew::start_one() try {
  auto buffer = watch_.buffers().take();
  if (!buffer) return tl::unexpected(buffer.error());
  FileDescriptor own;
  int descriptor = connection_;
  if (active_count() != 0) {
    // Without a descriptor of its own it shares the connection's, which is slower.
    if (auto clone = clone_fuse_connection(connection_)) own = std::move(*clone);
    if (own.is_open()) descriptor = own.get();
  }
  members_.reserve(members_.size() + 1);
  auto member = std::make_unique<Member>(descriptor, std::move(own), requests_, std::move(*buffer));
  auto thread = start_thread("uzram-disk", [this, raw = member.get()] { serve(*raw); });
  if (!thread) {
    watch_.buffers().give_back(member->reader.take_buffer());
    return tl::unexpected(thread.error());
  }
  member->thread = std::move(*thread);
  members_.push_back(std::move(member));
  return {};
} catch (const std::bad_alloc&) {
  return fail(ENOMEM);
}

Result<void> DiskCrew::start_all() {
  Result<void> started;
  while (started && active_count() < settings_.most_threads) started = start_one();
  if (active_count() == 0) return started;
  watch_.disarm(connection_);
  watch_.note_awake(id_);
  return started;
}

// --- the watch's thread

void DiskCrew::on_request(ServingBuffer& spare) {
  MutexLock lock(mutex_);
  if (is_over_ || active_count() != 0) return;
  join_those_who_left();
  if (has_ended_->load(std::memory_order_relaxed)) {
    watch_.disarm(connection_);
    return;
  }
  if (!start_one()) {
    serve_without_thread(spare);
    return;
  }
  watch_.disarm(connection_);
  served_since_start_ = seen_served_ = 0;
  busy_until_ = steady_clock::now() + std::min(kLightRest, settings_.rest_after);
  watch_.note_awake(id_);
}

void DiskCrew::serve_without_thread(ServingBuffer& spare) {
  // A request may be taken back before it is read, and nobody may wait here.
  const int flags = ::fcntl(connection_, F_GETFL);
  if (flags < 0 || ::fcntl(connection_, F_SETFL, flags | O_NONBLOCK) != 0) return;
  FuseReader reader(connection_, requests_, std::move(spare));
  if (!reader.serve_one()) {
    has_ended_->store(true, std::memory_order_relaxed);
    watch_.disarm(connection_);
  }
  spare = reader.take_buffer();
  static_cast<void>(::fcntl(connection_, F_SETFL, flags));
}

void DiskCrew::join_those_who_left() {
  for (auto& member : members_) {
    if (!member->has_left.load(std::memory_order_acquire)) continue;
    member->thread.join();
    watch_.buffers().give_back(member->reader.take_buffer());
    member.reset();
  }
  members_.erase(std::remove(members_.begin(), members_.end(), nullptr), members_.end());
}

bool DiskCrew::is_at_rest(steady_clock::time_point now) {
  std::uint64_t served = 0;
  bool is_busy = false;
  for (const auto& member : members_) {
    served += member->reader.served();
    is_busy = is_busy || member->reader.is_busy();
  }
  if (served != seen_served_ || is_busy) {
    served_since_start_ += served > seen_served_ ? served - seen_served_ : 0;
    seen_served_ = served;
    const bool is_light = served_since_start_ < kRequestsOfABusyDisk;
    const milliseconds rest =
        is_light ? std::min(kLightRest, settings_.rest_after) : settings_.rest_after;
    busy_until_ = now + rest;
  }
  return now >= busy_until_;
}

void DiskCrew::send_home() {
  for (const auto& member : members_) member->must_leave.store(true, std::memory_order_relaxed);
  for (int call = 0; call < kMostCalls && !members_.empty(); ++call) {
    for (const auto& member : members_) {
      if (!member->has_left.load(std::memory_order_acquire)) call_out_of_read(member->thread);
    }
    std::this_thread::sleep_for(kCallPause);
    join_those_who_left();
  }
}

bool DiskCrew::look(steady_clock::time_point now) {
  MutexLock lock(mutex_);
  if (is_over_) return false;
  join_those_who_left();
  if (has_ended_->load(std::memory_order_relaxed)) return !members_.empty();
  if (is_kept_) return false;
  if (active_count() != 0) {
    if (!is_at_rest(now)) return true;
    send_home();
  }
  // One who is late (a request that takes long came in the last moment) leaves after it; meanwhile
  // the next request finds others.
  if (!watch_.arm(id_, connection_)) static_cast<void>(start_all());
  return !members_.empty();
}

}  // namespace uzram
