// SPDX-License-Identifier: Apache-2.0
// device/device_running.h: what a device consists of while it is initialised, and what it counts.
// For device*.cc only.
#pragma once

#include <array>
#include <atomic>
#include <memory>

#include "device/device.h"
#include "device/maintenance.h"
#include "device/policy_thread.h"
#include "device/worker_pool.h"
#include "store/store.h"

namespace uzram {

class Device::PolicyDoor final : public PolicyHost {
 public:
  PolicyDoor(Device& device, Maintenance& maintenance)
      : device_(device), maintenance_(maintenance) {}
  [[nodiscard]] std::uint64_t foreground_requests() const override;
  [[nodiscard]] std::optional<std::uint64_t> writeback_allowance() const override;
  WritebackOutcome write_back(const WritebackRequest& request, const StopSignal& stop) override;
  void note_changes() override { maintenance_.poke(); }

 private:
  Device& device_;
  Maintenance& maintenance_;
};

struct Device::Running {
  Running(Device& device, std::unique_ptr<Store> made, std::unique_ptr<ClusterWriter> clusters,
          std::shared_ptr<WorkerPool> helpers)
      : store(std::move(made)),
        cluster_writer(std::move(clusters)),
        workers(std::move(helpers)),
        maintenance(*store),
        policy_door(device, maintenance),
        policy(*store, policy_door) {}
  std::unique_ptr<Store> store;
  std::unique_ptr<ClusterWriter> cluster_writer;  // Null: none.
  const std::shared_ptr<WorkerPool> workers;
  Maintenance maintenance;  // Its thread ends before the store does.
  PolicyDoor policy_door;
  PolicyThread policy;  // Last: it uses everything above.
};

enum class RequestKind : std::uint8_t { Read, Write, Discard, Flush };

// Requests are counted by the shard of the thread that brings them. Relaxed: counts that publish
// nothing.
struct Device::Counters {
  struct KindCounts {
    std::atomic<std::uint64_t> begun{0};
    std::atomic<std::uint64_t> ended{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> milliseconds{0};
  };
  struct alignas(64) Shard {
    std::array<KindCounts, 4> kinds;  // By RequestKind.
  };
  std::array<Shard, 8> shards;
  // When busy_milliseconds was right last.
  std::atomic<std::uint64_t> busy_until{0};
  std::atomic<std::uint64_t> busy_milliseconds{0};
  std::atomic<std::uint64_t> freed_pages{0};
  std::atomic<std::uint64_t> failed_reads{0};
  std::atomic<std::uint64_t> failed_writes{0};
  std::atomic<std::uint64_t> invalid_io{0};

  Shard& shard() { return shards[thread_number() % shards.size()]; }
  // Counts the time since busy_until, if somebody was at work in it. Seldom: once a tick.
  void note_busy(std::uint64_t now, bool is_end);
  [[nodiscard]] std::uint64_t in_flight() const;
  void clear();
  void add_to(DeviceStats& stats) const;
};

template <typename Change>
Result<void> Device::configure(Change change) {
  MutexLock lifecycle_lock(lifecycle_mutex_);
  MutexLock lock(settings_mutex_);
  if (is_initialised()) return fail(EBUSY);
  change(settings_);
  return {};
}

// A request from its beginning to its end. The clock is the kernel's tick, as the block layer has
// it for drivers like zram: to read it costs a few instructions, and what is shorter than a tick
// counts as one as often as it should.
class Device::CountedRequest {
 public:
  CountedRequest(Counters& counters, RequestKind kind, std::uint64_t bytes);
  ~CountedRequest();
  CountedRequest(const CountedRequest&) = delete;
  CountedRequest& operator=(const CountedRequest&) = delete;

 private:
  Counters& counters_;
  Counters::KindCounts& counts_;
  const std::uint64_t bytes_;
  const std::uint64_t begin_;
};

}  // namespace uzram
