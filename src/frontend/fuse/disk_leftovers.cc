// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/disk_leftovers.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>
#include <vector>

#include "base/file_descriptor.h"
#include "frontend/fuse/fuse_mount.h"
#include "frontend/fuse/loop_binding.h"
#include "frontend/fuse/loop_queue.h"
#include "frontend/fuse/mount_table.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

// The kernel ends the connection of a killed daemon a moment after the process, with io_uring
// several moments.
bool dies_soon(const std::string& path) {
  constexpr int kMostLooks = 20;
  for (int look = 0; look < kMostLooks; ++look) {
    if (is_dead_mount(path)) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(25));
  }
  return false;
}

// Mounts may be stacked: each has a number of its own.
std::vector<std::uint64_t> mounts_at(const std::string& path) {
  std::vector<std::uint64_t> devices;
  for (const MountEntry& entry : read_mount_table()) {
    if (entry.mount_point != path) continue;
    unsigned first = 0;
    unsigned second = 0;
    char colon = 0;
    std::istringstream number(entry.device_number);
    if (number >> first >> colon >> second) devices.push_back(makedev(first, second));
  }
  return devices;
}

bool is_over(const Result<LoopBinding>& binding, const std::vector<std::uint64_t>& devices) {
  if (binding) {
    return std::find(devices.begin(), devices.end(), binding->file_device) != devices.end();
  }
  // The kernel has forgotten the file's number, and its server does not answer: a dead disk.
  return binding.error().code == ENOTCONN || binding.error().code == ECONNABORTED;
}

}  // namespace

void detach_loops_over(const std::string& mount_point) {
  const std::vector<std::uint64_t> devices = mounts_at(mount_point);
  if (devices.empty()) return;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/sys/block", ignored)) {
    // The path alone proves nothing. It keeps us from opening the devices of others.
    std::ifstream attribute(entry.path() / "loop" / "backing_file");
    std::string backing;
    if (!std::getline(attribute, backing) || backing != mount_point) continue;
    const std::string name = entry.path().filename().string();
    const auto is_made = ensure_loop_node(std::atoi(name.c_str() + std::strlen("loop")));
    const FileDescriptor node(::open(("/dev/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (is_made && *is_made) ::unlink(("/dev/" + name).c_str());
    if (!node.is_open() || !is_over(LoopBinding::read(node.get()), devices)) continue;
    leave_loop_queue(node.get());
    static_cast<void>(::ioctl(node.get(), LOOP_CLR_FD));
  }
}

void settle_linked_numbers(const std::string& folder) {
  constexpr std::string_view kPrefix = "/dev/loop";
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    const std::string target = fs::read_symlink(entry.path(), ignored).string();
    if (target.rfind(kPrefix, 0) != 0) continue;
    const std::string_view digits = std::string_view(target).substr(kPrefix.size());
    int index = -1;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), index);
    if (parsed.ec == std::errc() && index >= 0) leave_lost_loop_queue(index);
  }
}

void clear_disk_leftovers(const std::string& folder) {
  std::error_code ignored;
  // Names only: the files themselves may be dead mounts.
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    paths.push_back(entry.path().string());
  }
  for (const std::string& path : paths) {
    if (fs::path(path).filename().string().rfind("zram", 0) != 0) continue;
    if (is_mount_point(path) && !dies_soon(path)) continue;  // attach will say that it is busy.
    detach_loops_over(path);
    if (clear_dead_mount(path)) ::unlink(path.c_str());
  }
}

}  // namespace uzram
