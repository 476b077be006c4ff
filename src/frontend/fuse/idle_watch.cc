// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/idle_watch.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/start_thread.h"
#include "frontend/fuse/fuse_reader.h"
#include "frontend/fuse/serving_thread.h"

namespace uzram {
namespace {

constexpr int kMostEvents = 32;
constexpr IdleWatch::Id kBell = 0;

Result<void> add_to(int events, int descriptor, std::uint32_t what, IdleWatch::Id id) {
  epoll_event event{};
  event.events = what;
  event.data.u64 = id;
  if (::epoll_ctl(events, EPOLL_CTL_ADD, descriptor, &event) == 0 || errno == EEXIST) return {};
  return fail_errno();
}

// Buffers that wait for their next thread: enough for one busy disk.
std::size_t stock_size() { return std::max(2U, std::thread::hardware_concurrency()); }

}  // namespace

IdleWatch::IdleWatch(FileDescriptor events, FileDescriptor bell, ServingBuffer spare,
                     std::chrono::milliseconds pause)
    : events_(std::move(events)),
      bell_(std::move(bell)),
      pause_(pause),
      buffers_(FuseReader::kBufferBytes, stock_size()),
      spare_(std::move(spare)) {}

Result<std::unique_ptr<IdleWatch>> IdleWatch::start(std::chrono::milliseconds pause) {
  FileDescriptor events(::epoll_create1(EPOLL_CLOEXEC));
  if (!events.is_open()) return fail_errno();
  FileDescriptor bell(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!bell.is_open()) return fail_errno();
  if (const Result<void> added = add_to(events.get(), bell.get(), EPOLLIN, kBell); !added)
    return tl::unexpected(added.error());
  if (const Result<void> ready = prepare_to_be_woken(); !ready)
    return tl::unexpected(ready.error());
  auto spare = ServingBuffer::make(FuseReader::kBufferBytes);
  if (!spare) return tl::unexpected(spare.error());
  std::unique_ptr<IdleWatch> watch(
      new IdleWatch(std::move(events), std::move(bell), std::move(*spare), pause));
  auto thread = start_thread("uzram-idle", [raw = watch.get()] { raw->work(); });
  if (!thread) return tl::unexpected(thread.error());
  watch->thread_ = std::move(*thread);
  return watch;
}

IdleWatch::~IdleWatch() {
  {
    MutexLock lock(mutex_);
    is_ending_ = true;
  }
  ring();
  if (thread_.joinable()) thread_.join();
}

void IdleWatch::ring() const {
  const std::uint64_t one = 1;
  static_cast<void>(!::write(bell_.get(), &one, sizeof(one)));
}

IdleWatch::Id IdleWatch::add(std::shared_ptr<Sleeper> sleeper) {
  MutexLock lock(mutex_);
  const Id id = next_id_++;
  sleepers_.emplace(id, std::move(sleeper));
  return id;
}

void IdleWatch::remove(Id id) {
  MutexLock lock(mutex_);
  sleepers_.erase(id);
  awake_.erase(std::remove(awake_.begin(), awake_.end(), id), awake_.end());
}

Result<void> IdleWatch::arm(Id id, int descriptor) const {
  return add_to(events_.get(), descriptor, EPOLLIN, id);
}

void IdleWatch::disarm(int descriptor) const {
  static_cast<void>(::epoll_ctl(events_.get(), EPOLL_CTL_DEL, descriptor, nullptr));
}

void IdleWatch::note_awake(Id id) {
  {
    MutexLock lock(mutex_);
    if (std::find(awake_.begin(), awake_.end(), id) != awake_.end()) return;
    awake_.push_back(id);
    if (awake_.size() > 1) return;  // Somebody is being looked at already.
  }
  ring();
}

bool IdleWatch::has_awake() const {
  MutexLock lock(mutex_);
  return !awake_.empty();
}

void IdleWatch::look_at_the_awake() {
  std::vector<std::pair<Id, std::shared_ptr<Sleeper>>> awake;
  {
    MutexLock lock(mutex_);
    for (const Id id : awake_) {
      const auto found = sleepers_.find(id);
      if (found != sleepers_.end()) awake.emplace_back(id, found->second);
    }
    awake_.clear();
  }
  const auto now = std::chrono::steady_clock::now();
  for (const auto& [id, sleeper] : awake) {
    if (!sleeper->look(now)) continue;
    MutexLock lock(mutex_);
    if (std::find(awake_.begin(), awake_.end(), id) == awake_.end()) awake_.push_back(id);
  }
}

void IdleWatch::work() {
  prepare_serving_thread();
  std::array<epoll_event, kMostEvents> events{};
  auto next_look = std::chrono::steady_clock::now() + pause_;
  while (true) {
    const int pause = has_awake() ? static_cast<int>(pause_.count()) : -1;
    const int count = ::epoll_wait(events_.get(), events.data(), kMostEvents, pause);
    for (int i = 0; i < count; ++i) {
      const Id id = events[static_cast<std::size_t>(i)].data.u64;
      std::shared_ptr<Sleeper> sleeper;
      {
        MutexLock lock(mutex_);
        if (is_ending_) return;
        const auto found = sleepers_.find(id);
        if (found != sleepers_.end()) sleeper = found->second;
      }
      std::uint64_t rings = 0;
      if (id == kBell) static_cast<void>(!::read(bell_.get(), &rings, sizeof(rings)));
      if (sleeper != nullptr) sleeper->on_request(spare_);
    }
    if (std::chrono::steady_clock::now() < next_look) continue;
    look_at_the_awake();
    next_look = std::chrono::steady_clock::now() + pause_;
  }
}

}  // namespace uzram
