// SPDX-License-Identifier: Apache-2.0
// store/lanes.h: codec contexts and scratch memory, one lane for each thread at work.
//
// What:    a thread takes a write lane to compress or a read lane to decompress, and gives it back.
//          There are a few more lanes than processors, and readers have their own, so a reader
//          never queues behind a compression.
//          Stores of one process that pack alike share their lanes: what limits the threads at work
//          is the processors, not the disks. A store that serves swap has lanes of its own: it must
//          not wait for a thread that waits for memory.
// Owns:    the contexts and buffers; all are made, and every byte of them touched, before the first
//          page needs them.
// Threads: LaneHolder construction takes a free lane, waiting only when every lane is taken.
// Laws:    4, 5.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <vector>

#include "base/mutex.h"
#include "codec/codec.h"
#include "store/arena_header.h"

namespace uzram {

// Room for what a page that does not shrink packs to: compressors run faster when they need not
// watch the end.
inline constexpr std::size_t kPackedRoomBytes = kPageBytes + 256;

struct alignas(64) WriteLane {
  Mutex mutex;
  std::unique_ptr<Compressor> compressor;  // The primary algorithm's.
  alignas(64) std::array<std::byte, kPackedRoomBytes> packed{};
};

struct alignas(64) ReadLane {
  Mutex mutex;
  std::array<std::unique_ptr<Decompressor>, kAlgorithmCount>
      decompressors;  // By priority; null when there is none.
  alignas(
      64) std::array<std::byte, kPageBytes> packed{};  // A copy of an object that others use too.
  alignas(64) std::array<std::byte, kPageBytes> page{};
};

// A number that differs between threads, to start looking for a free lane or counter at different
// places.
[[nodiscard]] unsigned thread_number();

// Holds one lane of `lanes`.
template <typename Lane>
class LaneHolder {
 public:
  explicit LaneHolder(std::vector<std::unique_ptr<Lane>>& lanes) UZ_NO_THREAD_SAFETY_ANALYSIS {
    const std::size_t start = thread_number() % lanes.size();
    for (std::size_t i = 0; i < lanes.size(); ++i) {
      Lane& candidate = *lanes[(start + i) % lanes.size()];
      if (!candidate.mutex.try_lock()) continue;
      lane_ = &candidate;
      return;
    }
    lane_ = lanes[start].get();
    lane_->mutex.lock();
  }
  ~LaneHolder() UZ_NO_THREAD_SAFETY_ANALYSIS { lane_->mutex.unlock(); }
  LaneHolder(const LaneHolder&) = delete;
  LaneHolder& operator=(const LaneHolder&) = delete;

  Lane& operator*() const { return *lane_; }
  Lane* operator->() const { return lane_; }

 private:
  Lane* lane_ = nullptr;
};

struct Lanes {
  std::vector<std::unique_ptr<WriteLane>> write;
  std::vector<std::unique_ptr<ReadLane>> read;
  std::uint64_t bytes = 0;  // Contexts and buffers together.
};

enum class LaneUse : std::uint8_t {
  Own,
  Shared,  // By all stores of the process with these algorithms, parameters and number of lanes.
};

using Codecs = std::vector<std::unique_ptr<Codec>>;  // By priority; null when there is none.

// Errors: EINVAL when an algorithm refuses its parameters, ENOMEM.
[[nodiscard]] Result<Codecs> make_codecs(const StoreConfig& config);
// Errors: ENOMEM.
[[nodiscard]] Result<std::shared_ptr<Lanes>> make_lanes(const StoreConfig& config,
                                                        std::size_t lane_count,
                                                        const Codecs& codecs, LaneUse use);

// The lanes of one store.
class StoreLanes {
 public:
  StoreLanes(std::shared_ptr<Lanes> first, LaneUse use)
      : first_(std::move(first)), now_(first_.get()), has_own_(use == LaneUse::Own) {}

  [[nodiscard]] Lanes& operator*() const { return *now_.load(std::memory_order_acquire); }
  [[nodiscard]] Lanes* operator->() const { return now_.load(std::memory_order_acquire); }
  // From now on the lanes are nobody else's. Errors: ENOMEM; nothing has changed then.
  Result<void> make_own(const StoreConfig& config, const Codecs& codecs) UZ_EXCLUDES(mutex_);
  // Of lanes that others use too, this store's share.
  [[nodiscard]] std::uint64_t bytes() const UZ_EXCLUDES(mutex_);

 private:
  const std::shared_ptr<Lanes> first_;  // Stays: a thread may be in one of its lanes.
  // Release by make_own, acquire by whoever takes a lane: the lanes are complete.
  std::atomic<Lanes*> now_;
  mutable Mutex mutex_;
  bool has_own_ UZ_GUARDED_BY(mutex_);
  std::shared_ptr<Lanes> own_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
