// SPDX-License-Identifier: Apache-2.0
#include "backing/backing_store.h"

#include <sys/mman.h>

#include <algorithm>
#include <new>
#include <thread>

#include "base/check.h"

namespace uzram {
namespace {

// How long a waiting thread sleeps before it looks whether the store was shut down.
constexpr std::chrono::milliseconds kLook{50};

}  // namespace

// --- leases

BackingLease& BackingLease::operator=(BackingLease&& other) noexcept {
  if (this != &other) {
    end();
    store_ = other.store_;
    request_ = std::exchange(other.request_, nullptr);
  }
  return *this;
}

void BackingLease::start(BackingRequest::Kind kind, BlockRange range) {
  store_->start(*request_, kind, range);
}

Result<void> BackingLease::finish() { return store_->finish(*request_); }

void BackingLease::end() {
  if (request_ != nullptr) store_->give_back(*std::exchange(request_, nullptr));
}

// --- life

BackingStore::BackingStore(std::uint64_t block_count, const BackingOptions& options)
    : block_count_(block_count), options_(options) {
  UZ_CHECK(block_count > 0 && options.reader_count > 0 && options.writer_count > 0);
  buffer_bytes_ =
      (options.reader_count * kReadBlocks + options.writer_count * kRunBlocks) * kBlockBytes;
  // Resident from the start: a read that brings a page back must not need memory.
  void* place = ::mmap(nullptr, buffer_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (place == MAP_FAILED) throw std::bad_alloc();
  buffers_ = static_cast<std::byte*>(place);
  ::madvise(buffers_, buffer_bytes_, MADV_DONTDUMP);
  ::madvise(buffers_, buffer_bytes_, MADV_DONTFORK);
  std::byte* next = buffers_;
  for (std::size_t i = 0; i < options.reader_count + options.writer_count; ++i) {
    auto request = std::make_unique<BackingRequest>();
    const bool reads = i < options.reader_count;
    request->index = i;
    request->use = reads ? BackingUse::Read : BackingUse::Write;
    request->buffer = {next, (reads ? kReadBlocks : kRunBlocks) * kBlockBytes};
    next += request->buffer.size();
    requests_.push_back(std::move(request));
  }
}

bool BackingStore::say_farewell() {
  const auto last = Clock::now() + kFarewell;
  for (;;) {
    {
      MutexLock lock(mutex_);
      poll_strays();
      if (stray_count_ == 0) return true;
      if (Clock::now() >= last) {
        must_leak_buffers_ = true;
        return false;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

BackingStore::~BackingStore() {
  MutexLock lock(mutex_);
  const auto is_taken = [](const auto& request) { return request->is_taken; };
  UZ_CHECK(must_leak_buffers_ || std::none_of(requests_.begin(), requests_.end(), is_taken));
  if (!must_leak_buffers_) ::munmap(buffers_, buffer_bytes_);
}

// --- taking and giving back

BackingRequest* BackingStore::find_free(BackingUse use) const {
  for (const auto& request : requests_) {
    if (request->use == use && !request->is_taken) return request.get();
  }
  return nullptr;
}

void BackingStore::poll_strays() {
  if (stray_count_ == 0) return;
  for (const auto& request : requests_) {
    if (!request->is_stray || !poll(*request, Clock::now())) continue;
    if (request->error == 0) ran_out_of_time_.store(false, std::memory_order_relaxed);
    request->is_stray = false;
    request->is_in_flight = false;
    request->is_taken = false;
    --stray_count_;
    freed_of(request->use).notify_one();
  }
}

BackingLease BackingStore::try_take(BackingUse use) {
  if (is_shut_down_.load(std::memory_order_acquire)) return {};
  MutexLock lock(mutex_);
  poll_strays();
  BackingRequest* request = find_free(use);
  if (request == nullptr) return {};
  request->is_taken = true;
  return {*this, *request};
}

Result<BackingLease> BackingStore::take(BackingUse use) {
  const auto last = Clock::now() + options_.time_limit;
  MutexLock lock(mutex_);
  for (;;) {
    if (is_shut_down_.load(std::memory_order_acquire)) return fail(EIO);
    BackingRequest* request = find_free(use);
    if (request != nullptr) {
      request->is_taken = true;
      return BackingLease(*this, *request);
    }
    if (Clock::now() >= last) return fail(EIO);
    freed_of(use).wait_for(mutex_, kLook);
    poll_strays();
  }
}

void BackingStore::give_back(BackingRequest& request) {
  MutexLock lock(mutex_);
  if (request.is_in_flight) {
    request.is_stray = true;
    ++stray_count_;
    return;
  }
  request.is_taken = false;
  freed_of(request.use).notify_one();
}

// --- requests

void BackingStore::start(BackingRequest& request, BackingRequest::Kind kind, BlockRange range) {
  UZ_CHECK(!request.is_in_flight);
  UZ_CHECK(range.count > 0 && range.end() <= block_count_);
  UZ_CHECK(kind == BackingRequest::Kind::Discard ||
           range.count * kBlockBytes <= request.buffer.size());
  request.kind = kind;
  request.range = range;
  request.error = 0;
  request.may_still_happen = false;
  request.deadline = Clock::now() + options_.time_limit;
  request.is_in_flight = true;
  submit(request);
}

Result<void> BackingStore::finish(BackingRequest& request) {
  UZ_CHECK(request.is_in_flight);
  for (;;) {
    const bool is_shut_down = is_shut_down_.load(std::memory_order_acquire);
    const auto now = Clock::now();
    const auto until = is_shut_down ? now : std::min(request.deadline, now + kLook);
    if (poll(request, until)) break;
    if (is_shut_down) return fail(EIO);
    if (Clock::now() < request.deadline) continue;
    ran_out_of_time_.store(true, std::memory_order_relaxed);
    return fail(EIO);
  }
  request.is_in_flight = false;
  if (request.error != 0) return fail(request.error);
  ran_out_of_time_.store(false, std::memory_order_relaxed);
  return {};
}

bool BackingStore::is_stalled() {
  MutexLock lock(mutex_);
  poll_strays();
  return stray_count_ > 0 || ran_out_of_time_.load(std::memory_order_relaxed);
}

}  // namespace uzram
