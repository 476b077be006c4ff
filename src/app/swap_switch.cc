// SPDX-License-Identifier: Apache-2.0
#include "app/swap_switch.h"

#include <fmt/format.h>
#include <sys/swap.h>

#include <fstream>

#include "app/block_use.h"
#include "app/run_program.h"
#include "control/device_json.h"
#include "control/size_text.h"
#include "device/device.h"

namespace uzram {

namespace {

// What the kernel could still hand out without swapping. Returns: nullopt when it does not say.
std::optional<std::uint64_t> available_bytes() {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    std::uint64_t kibibytes = 0;
    if (word == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
  }
  return std::nullopt;
}

int swap_flags(const SwapRequest& request) {
  // Discards tell the pool which pages the kernel has given up.
  int flags = SWAP_FLAG_DISCARD;
  if (request.priority) flags |= SWAP_FLAG_PREFER | (*request.priority & SWAP_FLAG_PRIO_MASK);
  return flags;
}

InputResult<std::string> check_disk(const Device& device) {
  const std::string name = device_name(device);
  if (!device.is_initialised()) {
    return refuse(EINVAL, fmt::format("{} has no disksize yet; set it first", name));
  }
  std::string path = device.block_path();
  if (!block_device_number(path)) {
    return refuse(EINVAL, fmt::format("{} has no block device, and the kernel swaps to nothing "
                                      "else; serve it where loop devices exist",
                                      name));
  }
  if (is_swap_now(path)) return refuse(EBUSY, fmt::format("{} is swap already", name));
  return path;
}

}  // namespace

InputResult<std::uint64_t> settle_reserve(std::uint64_t mem_limit_bytes,
                                          const SwapRequest& request) {
  const std::uint64_t wanted = request.reserve_bytes.value_or(mem_limit_bytes);
  if (wanted != 0) return wanted;
  return refuse(EINVAL,
                "swap needs memory set aside, or the machine can hang when it is short of it: set "
                "mem_limit (uzram set zram0 mem_limit 512M) or give --reserve 512M");
}

InputResult<std::vector<std::string>> SwapSwitch::prepare(Device& device,
                                                          std::uint64_t reserve_bytes) {
  const std::optional<std::uint64_t> available = available_bytes();
  const std::uint64_t held = device.stats().mem_used_bytes + device.stats().reserved_bytes;
  if (available && reserve_bytes > held && reserve_bytes - held > *available) {
    return refuse(ENOMEM, fmt::format("a reserve of {} is more than the {} that are free; ask for "
                                      "less",
                                      short_size(reserve_bytes), short_size(*available)));
  }
  // Before the lock, which touches the stacks and buffers of threads that are there.
  if (const Result<void> awake = device.keep_awake(true); !awake) {
    return refuse(awake.error().code, "no threads or memory for a disk that serves swap");
  }
  InputResult<std::vector<std::string>> remarks = memory_lock_.lock();
  if (!remarks) {
    static_cast<void>(device.keep_awake(false));
    return remarks;
  }
  if (const Result<void> reserved = device.reserve(reserve_bytes); !reserved) {
    release(device);
    return refuse(reserved.error().code, fmt::format("no memory for a reserve of {}; ask for less",
                                                     short_size(reserve_bytes)));
  }
  if (!is_io_flusher_) {
    remarks->emplace_back(
        "PR_SET_IO_FLUSHER was refused (it needs CAP_SYS_RESOURCE): the daemon may wait for itself "
        "when memory is very short");
  }
  return remarks;
}

void SwapSwitch::release(Device& device) {
  swapping_ids_.erase(device.id());
  static_cast<void>(device.reserve(0));  // Giving back fails only when there is nothing to give.
  static_cast<void>(device.keep_awake(false));
  if (swapping_ids_.empty()) memory_lock_.unlock();
}

InputResult<void> SwapSwitch::make_swap(const std::string& path, int flags) {
  // mkswap would only warn before it wipes what is there.
  const ProgramOutcome found = run_program({"blkid", "-p", "-o", "value", "-s", "TYPE", path});
  if (found.exit_code == 0 && !found.last_line.empty() && found.last_line != "swap") {
    return refuse(
        EBUSY, fmt::format("{} holds {}; wipe it first (wipefs -a {}), or reset the device", path,
                           quote(found.last_line), path));
  }
  const ProgramOutcome made = run_program({"mkswap", path});
  if (made.exit_code != 0) {
    return refuse(EIO, fmt::format("mkswap {} failed: {}", path, made.last_line));
  }
  if (::swapon(path.c_str(), flags) == 0) return {};
  const int code = errno;
  return refuse(code,
                fmt::format("swapon {} failed ({}); it needs root and a disk that nobody else "
                            "uses",
                            path, errno_name(code)));
}

InputResult<std::vector<std::string>> SwapSwitch::swap_on(Device& device,
                                                          const SwapRequest& request) {
  MutexLock lock(mutex_);
  if (request.priority && (*request.priority < 0 || *request.priority > SWAP_FLAG_PRIO_MASK)) {
    return refuse(EINVAL, fmt::format("the priority {} is not from 0 to {}", *request.priority,
                                      SWAP_FLAG_PRIO_MASK));
  }
  const InputResult<std::string> path = check_disk(device);
  if (!path) return tl::unexpected<InputError>(path.error());
  const std::uint64_t limit = device.stats().mem_limit_bytes;
  const InputResult<std::uint64_t> reserve_bytes = settle_reserve(limit, request);
  if (!reserve_bytes) return tl::unexpected<InputError>(reserve_bytes.error());
  InputResult<std::vector<std::string>> remarks = prepare(device, *reserve_bytes);
  if (!remarks) return remarks;
  if (const InputResult<void> made = make_swap(*path, swap_flags(request)); !made) {
    release(device);
    return tl::unexpected<InputError>(made.error());
  }
  swapping_ids_.insert(device.id());
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
  const std::string path = device.block_path();
  if (!is_swap_now(path)) {
    // Somebody may have used swapoff(8): what was set aside for it is given back all the same.
    const bool was_swap = swapping_ids_.count(device.id()) != 0;
    if (was_swap) release(device);
    if (was_swap) return {};
    return refuse(EINVAL, fmt::format("{} is not swap", device_name(device)));
  }
  if (::swapoff(path.c_str()) != 0) {
    const int code = errno;
    return refuse(code,
                  fmt::format("swapoff {} failed ({}); it stays swap{}", path, errno_name(code),
                              code == ENOMEM ? ": free some memory first" : ""));
  }
  release(device);
  return {};
}

void SwapSwitch::forget(int id) {
  MutexLock lock(mutex_);
  swapping_ids_.erase(id);
  if (swapping_ids_.empty()) memory_lock_.unlock();
}

}  // namespace uzram
