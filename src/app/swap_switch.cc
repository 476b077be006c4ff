// SPDX-License-Identifier: Apache-2.0
#include "app/swap_switch.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <fstream>

#include "app/disk_content.h"
#include "app/run_program.h"
#include "app/swap_hazards.h"
#include "control/device_json.h"
#include "control/size_text.h"
#include "device/device.h"

namespace uzram {

namespace {

int swap_flags(const SwapRequest& request) {
  // Discards tell the pool which pages the kernel has given up.
  int flags = SWAP_FLAG_DISCARD;
  if (request.priority) flags |= SWAP_FLAG_PREFER | (*request.priority & SWAP_FLAG_PRIO_MASK);
  return flags;
}

std::string descriptor_path(const FileDescriptor& descriptor) {
  return fmt::format("/proc/self/fd/{}", descriptor.get());
}

std::string throttle_path(DeviceNumber disk) {
  return fmt::format("/sys/dev/block/{}:{}/queue/wbt_lat_usec", disk.major, disk.minor);
}

// One swap's share of the memory lock.
class LockShare {
 public:
  explicit LockShare(std::shared_ptr<MemoryLock> lock) : lock_(std::move(lock)) {}
  ~LockShare() { lock_->unlock(); }
  LockShare(const LockShare&) = delete;
  LockShare& operator=(const LockShare&) = delete;

 private:
  const std::shared_ptr<MemoryLock> lock_;
};

}  // namespace

std::string switch_off_throttle(DeviceNumber disk) {
  std::string former;
  std::ifstream(throttle_path(disk)) >> former;
  if (former.empty() || former == "0") return {};
  std::ofstream(throttle_path(disk)) << "0\n" << std::flush;
  return former;
}

void restore_throttle(DeviceNumber disk, const std::string& former) {
  if (!former.empty()) std::ofstream(throttle_path(disk)) << former << '\n' << std::flush;
}

InputResult<std::uint64_t> settle_reserve(std::uint64_t mem_limit_bytes,
                                          const SwapRequest& request) {
  const std::uint64_t wanted = request.reserve_bytes.value_or(mem_limit_bytes);
  if (wanted != 0) return wanted;
  return refuse(EINVAL,
                "swap needs memory set aside, or the machine can hang when it is short of it: set "
                "mem_limit (uzram set zram0 mem_limit 512M) or give --reserve 512M");
}

InputResult<SwapSwitch::Disk> SwapSwitch::open_disk(const Device& device) {
  const std::string name = device_name(device);
  if (!device.is_initialised()) {
    return refuse(EINVAL, fmt::format("{} has no disksize yet; set it first", name));
  }
  auto descriptor = device.open_disk();
  if (!descriptor && device.is_disk_missing()) {
    return refuse(ENODEV, fmt::format("{} has lost its block device, which was detached by hand "
                                      "(losetup -d); make it again: uzram attach {}",
                                      name, name));
  }
  struct stat status {};
  if (!descriptor || ::fstat(descriptor->get(), &status) != 0 || !S_ISBLK(status.st_mode)) {
    return refuse(EINVAL, fmt::format("{} has no block device, and the kernel swaps to nothing "
                                      "else; serve it where loop devices exist",
                                      name));
  }
  return Disk{std::move(*descriptor), {major(status.st_rdev), minor(status.st_rdev)}};
}

InputResult<SwapSwitch::Remarks> SwapSwitch::check_hazards(std::uint64_t reserve_bytes,
                                                           bool is_forced) {
  SwapSurroundings surroundings;
  surroundings.is_io_flusher = is_io_flusher_;
  surroundings.reserve_bytes = reserve_bytes;
  Remarks hazards = find_swap_hazards(surroundings, cgroups_);
  if (hazards.empty() || is_forced) return hazards;
  return refuse(EPERM, fmt::format("{} (--force does it all the same)", fmt::join(hazards, "; ")));
}

InputResult<SwapSwitch::Remarks> SwapSwitch::prepare(Device& device, std::uint64_t reserve_bytes) {
  InputResult<Remarks> remarks = memory_lock_->lock();
  if (!remarks) return remarks;
  const Result<void> reserved =
      device.begin_swap(reserve_bytes, std::make_shared<LockShare>(memory_lock_));
  if (!reserved) {
    return refuse(reserved.error().code, fmt::format("no memory for a reserve of {}; ask for less",
                                                     short_size(reserve_bytes)));
  }
  return remarks;
}

InputResult<void> SwapSwitch::make_swap(const Device& device, const Disk& disk, int flags) {
  const std::string path = device.block_path();
  const Result<FoundContent> found = probe_disk(disk.descriptor.get());
  if (!found) {
    return refuse(EIO,
                  fmt::format("{} cannot be read to see what it holds; nothing was written", path));
  }
  if (found->kind == DiskContent::Other) {
    return refuse(EBUSY, fmt::format("{} holds {}; wipe it first (wipefs -a {}), or reset the "
                                     "device",
                                     path, quote(found->name), path));
  }
  // While the descriptor is open, the path leads to this disk and to no other.
  if (block_device_number(path) != disk.number) {
    return refuse(ENODEV, fmt::format("{} is another disk than {}'s now; reset the device", path,
                                      device_name(device)));
  }
  const ProgramOutcome made = run_program({"mkswap", path});
  if (made.exit_code != 0) {
    return refuse(EIO, fmt::format("mkswap {} failed: {}", path, quote(made.last_line)));
  }
  if (::swapon(descriptor_path(disk.descriptor).c_str(), flags) == 0) return {};
  const int code = errno;
  return refuse(code,
                fmt::format("swapon {} failed ({}); it needs root and a disk that nobody else "
                            "uses",
                            path, errno_name(code)));
}

InputResult<std::vector<std::string>> SwapSwitch::swap_on(const std::shared_ptr<Device>& device,
                                                          const SwapRequest& request) {
  MutexLock lock(mutex_);
  end_stale();
  if (request.priority && (*request.priority < 0 || *request.priority > SWAP_FLAG_PRIO_MASK)) {
    return refuse(EINVAL, fmt::format("the priority {} is not from 0 to {}", *request.priority,
                                      SWAP_FLAG_PRIO_MASK));
  }
  const InputResult<Disk> disk = open_disk(*device);
  if (!disk) return tl::unexpected<InputError>(disk.error());
  if (is_swap_now(disk->number)) {
    return refuse(EBUSY, fmt::format("{} is swap already", device_name(*device)));
  }
  const std::uint64_t limit = device->stats().mem_limit_bytes;
  const InputResult<std::uint64_t> reserve_bytes = settle_reserve(limit, request);
  if (!reserve_bytes) return tl::unexpected<InputError>(reserve_bytes.error());
  InputResult<Remarks> remarks = check_hazards(*reserve_bytes, request.is_forced);
  if (!remarks) return remarks;
  InputResult<Remarks> prepared = prepare(*device, *reserve_bytes);
  if (!prepared) return prepared;
  remarks->insert(remarks->end(), prepared->begin(), prepared->end());
  swaps_.push_back({device, switch_off_throttle(disk->number)});
  if (const InputResult<void> made = make_swap(*device, *disk, swap_flags(request)); !made) {
    end(*device, &*disk);
    return tl::unexpected<InputError>(made.error());
  }
  watch();
  if (limit == 0 || limit > *reserve_bytes) {
    remarks->push_back(
        fmt::format("the pool may grow beyond its reserve of {}; set mem_limit to "
                    "that to be safe",
                    short_size(*reserve_bytes)));
  }
  remarks->emplace_back(
      "the kernel's FUSE and loop allocate for each request: a machine with no free memory at all "
      "can still stall");
  return remarks;
}

InputResult<void> SwapSwitch::swap_off(Device& device) {
  MutexLock lock(mutex_);
  const bool was_prepared = device.is_prepared_for_swap();
  const InputResult<Disk> disk = open_disk(device);
  if (!disk || !is_swap_now(disk->number)) {
    // Somebody may have used swapoff(8): what was set aside for it is given back all the same.
    end(device, disk ? &*disk : nullptr);
    if (was_prepared) return {};
    return refuse(EINVAL, fmt::format("{} is not swap", device_name(device)));
  }
  if (::swapoff(descriptor_path(disk->descriptor).c_str()) != 0) {
    const int code = errno;
    return refuse(code,
                  fmt::format("swapoff {} failed ({}); it stays swap{}", device.block_path(),
                              errno_name(code), code == ENOMEM ? ": free some memory first" : ""));
  }
  end(device, &*disk);
  return {};
}

void SwapSwitch::end(Device& device, const Disk* disk) {
  const auto is_this = [&](const Swap& swap) { return swap.device.lock().get() == &device; };
  const auto found = std::find_if(swaps_.begin(), swaps_.end(), is_this);
  if (found != swaps_.end()) {
    if (disk != nullptr) restore_throttle(disk->number, found->former_throttle);
    swaps_.erase(found);
  }
  device.end_swap();
}

void SwapSwitch::end_stale() {
  const std::vector<Swap> all = swaps_;
  for (const Swap& swap : all) {
    const std::shared_ptr<Device> device = swap.device.lock();
    if (device == nullptr) continue;
    const InputResult<Disk> disk = open_disk(*device);
    if (disk && is_swap_now(disk->number)) continue;
    end(*device, disk ? &*disk : nullptr);
  }
  std::erase_if(swaps_, [](const Swap& swap) { return swap.device.expired(); });
}

void SwapSwitch::watch() {
  if (watch_ != nullptr) return;
  auto made = SwapWatch::start([this] {
    MutexLock lock(mutex_);
    end_stale();
  });
  // Without it a swapoff by others is noticed at the next switch, or at the reset.
  if (made) watch_ = std::move(*made);
}

}  // namespace uzram
