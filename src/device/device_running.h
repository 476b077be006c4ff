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
          std::size_t helper_count)
      : store(std::move(made)),
        cluster_writer(std::move(clusters)),
        workers(helper_count),
        maintenance(*store),
        policy_door(device, maintenance),
        policy(*store, policy_door) {}
  std::unique_ptr<Store> store;
  std::unique_ptr<ClusterWriter> cluster_writer;  // Null: none.
  WorkerPool workers;
  Maintenance maintenance;  // Its thread ends before the store does.
  PolicyDoor policy_door;
  PolicyThread policy;  // Last: it uses everything above.
};

// Requests are counted by the shard of the thread that brings them. Relaxed: counts that publish
// nothing.
struct Device::Counters {
  struct alignas(64) Shard {
    std::atomic<std::uint64_t> read_requests{0};
    std::atomic<std::uint64_t> read_bytes{0};
    std::atomic<std::uint64_t> write_requests{0};
    std::atomic<std::uint64_t> write_bytes{0};
  };
  std::array<Shard, 8> shards;
  std::atomic<std::uint64_t> discard_requests{0};
  std::atomic<std::uint64_t> discard_bytes{0};
  std::atomic<std::uint64_t> freed_pages{0};
  std::atomic<std::uint64_t> failed_reads{0};
  std::atomic<std::uint64_t> failed_writes{0};
  std::atomic<std::uint64_t> invalid_io{0};

  Shard& shard() { return shards[thread_number() % shards.size()]; }
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

}  // namespace uzram
