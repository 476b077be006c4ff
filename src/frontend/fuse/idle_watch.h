// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/idle_watch.h: one thread that watches every disk that has no thread of its own.
//
// What:    waits for the first request of any disk at rest and tells its crew (disk_crew.h); looks
//          now and then at crews at work, which send their threads home after a rest. While all
//          disks are at rest it sleeps without a time limit.
// Owns:    its thread, an epoll descriptor and an eventfd; buffers for serving threads.
// Errors:  start -> EAGAIN no thread, EMFILE, ENOMEM.
// Threads: every member from any thread. A crew may be called once more while it is removed, so the
//          watch holds it by shared_ptr.
// Proof:   fuse_attachment_test.cc, tests/e2e/idle_disks_test.py.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "base/result.h"
#include "frontend/fuse/serving_buffer.h"

namespace uzram {

class IdleWatch {
 public:
  // Someone to be told of requests. Both are called by the thread of the watch.
  class Sleeper {
   public:
    virtual ~Sleeper() = default;
    // A request waits at the descriptor, or its connection has ended. `spare`: a buffer to serve
    // with where no other is to be had.
    virtual void on_request(ServingBuffer& spare) = 0;
    // Returns: whether it has to be looked at again, as long as it is awake.
    virtual bool look(std::chrono::steady_clock::time_point now) = 0;
  };
  using Id = std::uint64_t;

  // `pause`: between two looks at those awake.
  static Result<std::unique_ptr<IdleWatch>> start(std::chrono::milliseconds pause);
  // Requires: every sleeper was removed.
  ~IdleWatch();
  IdleWatch(const IdleWatch&) = delete;
  IdleWatch& operator=(const IdleWatch&) = delete;

  [[nodiscard]] Id add(std::shared_ptr<Sleeper> sleeper) UZ_EXCLUDES(mutex_);
  void remove(Id id) UZ_EXCLUDES(mutex_);
  // From now on a request at the descriptor is told. Errors: ENOMEM, ENOSPC (epoll's limit).
  Result<void> arm(Id id, int descriptor) const;
  void disarm(int descriptor) const;
  // It is awake: look() is called until it returns false.
  void note_awake(Id id) UZ_EXCLUDES(mutex_);

  [[nodiscard]] BufferStock& buffers() { return buffers_; }

 private:
  IdleWatch(FileDescriptor events, FileDescriptor bell, ServingBuffer spare,
            std::chrono::milliseconds pause);
  void work();
  void look_at_the_awake() UZ_EXCLUDES(mutex_);
  [[nodiscard]] bool has_awake() const UZ_EXCLUDES(mutex_);
  void ring() const;

  // constant after construction
  const FileDescriptor events_;
  const FileDescriptor bell_;  // Rings when somebody wakes up, and at the end.
  const std::chrono::milliseconds pause_;
  // synchronizes itself
  BufferStock buffers_;
  // of the watch's thread
  ServingBuffer spare_;
  mutable Mutex mutex_;                   // Never held while a sleeper is called.
  Id next_id_ UZ_GUARDED_BY(mutex_) = 1;  // 0 is the bell.
  std::map<Id, std::shared_ptr<Sleeper>> sleepers_ UZ_GUARDED_BY(mutex_);
  std::vector<Id> awake_ UZ_GUARDED_BY(mutex_);
  bool is_ending_ UZ_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // Last: it uses everything above.
};

}  // namespace uzram
