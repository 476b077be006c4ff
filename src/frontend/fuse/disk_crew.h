// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/disk_crew.h: the threads that serve one disk: as many as it needs now.
//
// What:    a disk at rest has none; the watch (idle_watch.h) sees its first request and the crew
//          starts one thread, which calls the others when there is much to do. Each blocks in a
//          read of a descriptor of its own: nothing is cheaper for a busy disk. After a rest all go
//          home. Not here: what a thread does with a request (fuse_reader.h).
// Errors:  none of want of threads, descriptors or memory while a disk serves: with fewer threads
//          it is slower, and without any the watch's own thread serves. keep_awake -> EAGAIN or
//          ENOMEM when not a single thread is to be had.
// Owns:    threads, cloned descriptors, buffers while they are in use.
// Threads: every member from any thread.
// Laws:    5: a crew that is kept awake starts nothing and allocates nothing while it serves.
// Proof:   fuse_attachment_test.cc, tests/e2e/idle_disks_test.py.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "frontend/fuse/fuse_reader.h"
#include "frontend/fuse/idle_watch.h"

namespace uzram {

class DiskCrew : public IdleWatch::Sleeper, public std::enable_shared_from_this<DiskCrew> {
 public:
  struct Settings {
    unsigned most_threads = 2;  // At least 1.
    // Without a request for so long, threads go home. Less for a disk that had few requests.
    std::chrono::milliseconds rest_after{3000};
  };

  // The connection is borrowed; its INIT was answered. All must outlive the crew's end.
  static std::shared_ptr<DiskCrew> make(IdleWatch& watch, int connection, DiskRequests& requests,
                                        const Settings& settings);
  ~DiskCrew() override;
  // Begins to serve. Errors: of epoll.
  Result<void> start() UZ_EXCLUDES(mutex_);
  // True: all threads are there from now on, until false. Errors: no thread at all.
  Result<void> keep_awake(bool is_kept) UZ_EXCLUDES(mutex_);
  // Requires: the connection has ended. Waits for the threads.
  void end() UZ_EXCLUDES(mutex_);

  // Whether somebody ended the connection. The value outlives the crew.
  [[nodiscard]] std::shared_ptr<const std::atomic<bool>> has_ended() const { return has_ended_; }
  [[nodiscard]] unsigned thread_count() const UZ_EXCLUDES(mutex_);

  void on_request(ServingBuffer& spare) override UZ_EXCLUDES(mutex_);
  bool look(std::chrono::steady_clock::time_point now) override UZ_EXCLUDES(mutex_);

 private:
  struct Member;

  DiskCrew(IdleWatch& watch, int connection, DiskRequests& requests, const Settings& settings);
  void serve(Member& member);
  // How many read requests, or will in a moment.
  [[nodiscard]] std::size_t active_count() const UZ_REQUIRES(mutex_);
  Result<void> start_one() UZ_REQUIRES(mutex_);
  Result<void> start_all() UZ_REQUIRES(mutex_);
  void join_those_who_left() UZ_REQUIRES(mutex_);
  // Whether nobody is in the middle of a request and none came for long enough.
  [[nodiscard]] bool is_at_rest(std::chrono::steady_clock::time_point now) UZ_REQUIRES(mutex_);
  void send_home() UZ_REQUIRES(mutex_);
  void serve_without_thread(ServingBuffer& spare) UZ_REQUIRES(mutex_);

  // constant after construction
  IdleWatch& watch_;
  const int connection_;
  DiskRequests& requests_;
  const Settings settings_;
  // Relaxed: it publishes nothing.
  const std::shared_ptr<std::atomic<bool>> has_ended_ = std::make_shared<std::atomic<bool>>(false);
  mutable Mutex mutex_;
  IdleWatch::Id id_ UZ_GUARDED_BY(mutex_) = 0;
  std::vector<std::unique_ptr<Member>> members_ UZ_GUARDED_BY(mutex_);
  bool is_kept_ UZ_GUARDED_BY(mutex_) = false;
  bool is_over_ UZ_GUARDED_BY(mutex_) = false;  // end() was called.
  // What the last look saw.
  std::uint64_t seen_served_ UZ_GUARDED_BY(mutex_) = 0;
  std::uint64_t served_since_start_ UZ_GUARDED_BY(mutex_) = 0;
  std::chrono::steady_clock::time_point busy_until_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
