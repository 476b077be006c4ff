// SPDX-License-Identifier: Apache-2.0
// backing/backing_store.h: blocks on a file, a block device or an NBD server; requests that end in
// bounded time.
//
// What:    a fixed set of requests, each with its own buffer. A thread takes one, starts it, and
//          waits for it; several can be in flight together. Not here: what the blocks hold, which
//          are in use (backing_space.h), how a store is found (open_backing_store.h).
// Shapes:  blocks of kBlockBytes; a read takes at most kReadBlocks, a write at most kRunBlocks.
// Owns:    the buffers. A request that does not come back within the time limit is away: its buffer
//          is not used again until it does, and is never freed before.
// Errors:  EIO when a request ran out of time, the store was shut down or the data is not there;
//          otherwise what the system or the server said. A write that failed may have happened in
//          part.
// Threads: every member from any thread; a lease belongs to one thread at a time. take and finish
//          block, for the time limit at most. The destructor needs that all leases are gone, and
//          ends within kFarewell even when requests are away (their buffers are leaked then).
// Memory:  everything is made, and touched, in the constructor; nothing here allocates later.
//          (libnbd does: one small record for each request.)
// Laws:    5.
// Proof:   backing_store_test.cc runs every kind of store; nbd_store_test.cc, frozen_file_test.cc,
//          backing_fault_test.cc, backing_thread_test.cc, backing_allocation_test.cc.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "base/result.h"
#include "base/units.h"

namespace uzram {

inline constexpr std::size_t kBlockBytes = kPageBytes;
inline constexpr std::size_t kRunBlocks = 64;   // 256 KiB: enough for a device's full speed.
inline constexpr std::size_t kReadBlocks = 40;  // The largest object and some neighbours.

struct BlockRange {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
  [[nodiscard]] std::uint64_t end() const { return first + count; }
  friend bool operator==(const BlockRange&, const BlockRange&) = default;
};

struct BackingOptions {
  std::chrono::milliseconds time_limit{30'000};  // For one request.
  std::size_t reader_count = 8;                  // Reads in flight together; more of them wait.
  std::size_t writer_count = 8;                  // Writes in flight together.
};

// Reads and writes have requests of their own: a read never waits for a batch of writes.
enum class BackingUse : std::uint8_t { Read, Write };

class BackingStore;

// A request and its buffer, as an implementation of BackingStore sees it.
struct BackingRequest {
  enum class Kind : std::uint8_t { Read, Write, Discard };

  // constant after construction
  std::size_t index = 0;
  BackingUse use = BackingUse::Read;
  MutableBytes buffer;  // Aligned to kBlockBytes.

  // belongs to whoever took it; once nobody waits any more, to whoever holds BackingStore::mutex_
  Kind kind = Kind::Read;
  BlockRange range;
  int error = 0;  // 0 or an errno value, once it has come back.
  // The store cannot tell whether the write happened or still will (a lost connection).
  bool may_still_happen = false;
  std::chrono::steady_clock::time_point deadline;

  bool is_in_flight = false;

  // guarded by BackingStore::mutex_
  bool is_taken = false;
  bool is_stray = false;  // In flight, and nobody waits any more.

  [[nodiscard]] std::uint64_t bytes() const { return range.count * kBlockBytes; }
};

// Holds one request. Ends it on destruction: one that is in flight is left to itself.
class BackingLease {
 public:
  BackingLease() = default;
  BackingLease(BackingStore& store, BackingRequest& request) : store_(&store), request_(&request) {}
  BackingLease(BackingLease&& other) noexcept
      : store_(other.store_), request_(std::exchange(other.request_, nullptr)) {}
  BackingLease& operator=(BackingLease&& other) noexcept;
  ~BackingLease() { end(); }

  [[nodiscard]] bool is_held() const { return request_ != nullptr; }
  [[nodiscard]] std::size_t index() const { return request_->index; }
  // Not to be touched between start and finish.
  [[nodiscard]] MutableBytes buffer() const { return request_->buffer; }

  // Requires: no request in flight; the range lies in the store and fits the buffer.
  void start(BackingRequest::Kind kind, BlockRange range);
  // Waits for the request. After EIO it may still be in flight: is_in_flight() tells, and then this
  // lease can only be ended.
  Result<void> finish();
  [[nodiscard]] bool is_in_flight() const { return request_ != nullptr && request_->is_in_flight; }
  [[nodiscard]] bool may_still_happen() const { return request_->may_still_happen; }
  void end();

 private:
  BackingStore* store_ = nullptr;
  BackingRequest* request_ = nullptr;
};

class BackingStore {
 public:
  static constexpr std::chrono::milliseconds kFarewell{2'000};

  virtual ~BackingStore();
  BackingStore(const BackingStore&) = delete;
  BackingStore& operator=(const BackingStore&) = delete;

  [[nodiscard]] std::uint64_t block_count() const { return block_count_; }
  // How it does its work, for reports: "io_uring", "threads", "nbd".
  [[nodiscard]] virtual const char* kind() const = 0;
  // The open file, for a process that takes over; -1 when there is none.
  [[nodiscard]] virtual int descriptor() const { return -1; }

  // Takes a request; waits while all of this use are taken. Errors: EIO when none came free within
  // the time limit, or after shut_down.
  Result<BackingLease> take(BackingUse use) UZ_EXCLUDES(mutex_);
  // The same, without waiting. Returns: a lease that holds nothing when all are taken.
  BackingLease try_take(BackingUse use) UZ_EXCLUDES(mutex_);

  // The last request to end ran out of time, or such a one is still away.
  [[nodiscard]] bool is_stalled() UZ_EXCLUDES(mutex_);
  // From now on nobody waits: what is in flight or comes later fails with EIO within a moment.
  void shut_down() { is_shut_down_.store(true, std::memory_order_release); }
  [[nodiscard]] std::uint64_t memory_bytes() const { return buffer_bytes_; }
  [[nodiscard]] const BackingOptions& options() const { return options_; }
  // Requests have the indices below this.
  [[nodiscard]] std::size_t request_count() const { return requests_.size(); }

 protected:
  using Clock = std::chrono::steady_clock;

  // Errors: ENOMEM as std::bad_alloc, caught by the factories.
  BackingStore(std::uint64_t block_count, const BackingOptions& options);

  // Starts a request, without waiting; an error that shows at once is reported by poll.
  virtual void submit(BackingRequest& request) = 0;
  // Waits until the request has come back, at most until `until`. Returns: whether it has; `error`
  // is set then. Called by one thread at a time for each request.
  virtual bool poll(BackingRequest& request, Clock::time_point until) = 0;

  [[nodiscard]] const std::vector<std::unique_ptr<BackingRequest>>& requests() const {
    return requests_;
  }
  // For destructors of implementations: waits for requests that are away, up to kFarewell. Those
  // that stay away keep their buffers for ever. Returns: whether all came back.
  bool say_farewell() UZ_EXCLUDES(mutex_);

 private:
  friend class BackingLease;
  [[nodiscard]] BackingRequest* find_free(BackingUse use) const UZ_REQUIRES(mutex_);
  [[nodiscard]] ConditionVariable& freed_of(BackingUse use) {
    return use == BackingUse::Read ? read_freed_ : write_freed_;
  }
  void poll_strays() UZ_REQUIRES(mutex_);
  void start(BackingRequest& request, BackingRequest::Kind kind, BlockRange range);
  Result<void> finish(BackingRequest& request);
  void give_back(BackingRequest& request) UZ_EXCLUDES(mutex_);

  // constant after construction
  const std::uint64_t block_count_;
  const BackingOptions options_;
  std::byte* buffers_ = nullptr;
  std::uint64_t buffer_bytes_ = 0;
  std::vector<std::unique_ptr<BackingRequest>> requests_;

  // synchronizes itself
  std::atomic<bool> is_shut_down_{false};
  std::atomic<bool> ran_out_of_time_{false};  // Relaxed: a report, it publishes nothing.

  // guarded by mutex_
  Mutex mutex_;
  ConditionVariable read_freed_;
  ConditionVariable write_freed_;
  std::size_t stray_count_ UZ_GUARDED_BY(mutex_) = 0;  // In flight, with nobody waiting.
  bool must_leak_buffers_ UZ_GUARDED_BY(mutex_) = false;
};

}  // namespace uzram
