// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/loop_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/units.h"
#include "frontend/fuse/block_users.h"

namespace uzram {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kMostTries = 64;  // Somebody else may take the free device that we were told of.
constexpr milliseconds kPause{5};
constexpr milliseconds kSizePatience{2000};
constexpr milliseconds kDetachPatience{2000};
constexpr milliseconds kLookersPatience{500};
constexpr unsigned kLoopMajor = 7;

// Calls until it is true or the time is over. Returns: whether it became true.
template <typename Condition>
bool wait_until(milliseconds patience, Condition condition) {
  const auto deadline = steady_clock::now() + patience;
  while (!condition()) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

std::string backing_file_attribute(const std::string& name) {
  return "/sys/block/" + name + "/loop/backing_file";
}

Result<void> configure(int loop, int file, const std::string& name) {
  loop_config config{};
  config.fd = static_cast<std::uint32_t>(file);
  config.block_size = kPageBytes;
  config.info.lo_flags = LO_FLAGS_DIRECT_IO;
  const std::size_t count = std::min(name.size(), sizeof(config.info.lo_file_name) - 1);
  std::memcpy(config.info.lo_file_name, name.data(), count);
  if (::ioctl(loop, LOOP_CONFIGURE, &config) != 0) return fail_errno();
  return {};
}

bool has_size(const FileDescriptor& node, std::uint64_t bytes) {
  std::uint64_t size = 0;
  return ::ioctl(node.get(), BLKGETSIZE64, &size) == 0 && size == bytes;
}

}  // namespace

// Where /dev is not the kernel's own (containers), a device above the first few has no node.
Result<void> LoopDevice::ensure_node() {
  const auto exists = [this] { return ::access(path_.c_str(), F_OK) == 0; };
  if (exists()) return {};
  const dev_t number = makedev(kLoopMajor, static_cast<unsigned>(index_));
  if (wait_until(milliseconds(100), exists)) return {};
  if (::mknod(path_.c_str(), S_IFBLK | 0660, number) == 0) {
    has_own_node_ = true;
  } else if (errno != EEXIST) {
    return fail_errno();
  }
  return {};
}

Result<std::unique_ptr<LoopDevice>> LoopDevice::attach(int file, const std::string& name) {
  const FileDescriptor control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  if (!control.is_open()) return fail_errno();
  struct stat status {};
  if (::fstat(file, &status) != 0) return fail_errno();
  for (int i = 0; i < kMostTries; ++i) {
    const int index = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (index < 0) return fail_errno();
    std::unique_ptr<LoopDevice> loop(new LoopDevice(index, "/dev/loop" + std::to_string(index)));
    if (const Result<void> there = loop->ensure_node(); !there) {
      return tl::unexpected(there.error());
    }
    const FileDescriptor node(::open(loop->path_.c_str(), O_RDWR | O_CLOEXEC));
    if (!node.is_open()) return fail_errno();
    const Result<void> done = configure(node.get(), file, name);
    if (!done && done.error().code == EBUSY) continue;
    if (!done) return tl::unexpected(done.error());
    loop->is_attached_ = true;
    loop->file_device_ = status.st_dev;
    const auto bytes = static_cast<std::uint64_t>(status.st_size);
    if (!wait_until(kSizePatience, [&] { return has_size(node, bytes); })) return fail(EIO);
    return loop;
  }
  return fail(EBUSY);
}

LoopDevice::~LoopDevice() {
  detach_by_force();
  remove_own_node();
}

void LoopDevice::remove_own_node() {
  if (has_own_node_) ::unlink(path_.c_str());
  has_own_node_ = false;
}

bool LoopDevice::wait_until_gone() const {
  // First by looking from outside: to open it would keep it.
  const std::string attribute = backing_file_attribute("loop" + std::to_string(index_));
  const auto is_hidden = [&] { return ::access(attribute.c_str(), F_OK) != 0; };
  if (!wait_until(kLookersPatience, is_hidden)) return false;
  return wait_until(kDetachPatience, [this] {
    const FileDescriptor node(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!node.is_open()) return errno != ENXIO && errno != EBUSY;
    loop_info64 info{};
    if (::ioctl(node.get(), LOOP_GET_STATUS64, &info) != 0) return errno == ENXIO;
    return info.lo_device != file_device_;  // Free, and taken by somebody else already.
  });
}

// Somebody whom we cannot see has it open: takes back that it goes with the last one who closes it.
void LoopDevice::stay_attached() const {
  const FileDescriptor node(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  loop_info64 info{};
  if (!node.is_open() || ::ioctl(node.get(), LOOP_GET_STATUS64, &info) != 0) return;
  if (info.lo_device != file_device_) return;
  info.lo_flags &= ~std::uint32_t{LO_FLAGS_AUTOCLEAR};
  static_cast<void>(::ioctl(node.get(), LOOP_SET_STATUS64, &info));
}

Result<void> LoopDevice::try_detach() {
  {
    // A mounted device and one used for swap refuse this, and nobody can start either meanwhile.
    const FileDescriptor claim(::open(path_.c_str(), O_RDONLY | O_EXCL | O_CLOEXEC));
    if (!claim.is_open()) return fail_errno();
    if (!find_block_users(path_, claim.get()).empty()) return fail(EBUSY);
    if (::ioctl(claim.get(), LOOP_CLR_FD) != 0) return fail_errno();
  }
  if (wait_until_gone()) return {};
  stay_attached();
  return fail(EBUSY);
}

Result<void> LoopDevice::detach() {
  if (!is_attached_) return {};
  const auto deadline = steady_clock::now() + kLookersPatience;
  Result<void> done = try_detach();
  while (!done && done.error().code == EBUSY && steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kPause * 10);
    done = try_detach();
  }
  if (!done) return done;
  is_attached_ = false;
  remove_own_node();
  return {};
}

Result<void> LoopDevice::refresh_size() const {
  const FileDescriptor node(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
  loop_info64 info{};
  if (!node.is_open() || ::ioctl(node.get(), LOOP_GET_STATUS64, &info) != 0) return fail_errno();
  if (info.lo_device != file_device_) return fail(ENXIO);
  if (::ioctl(node.get(), LOOP_SET_CAPACITY, 0) != 0) return fail_errno();
  return {};
}

void LoopDevice::detach_by_force() {
  if (!is_attached_) return;
  is_attached_ = false;
  {
    const FileDescriptor node(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!node.is_open() || ::ioctl(node.get(), LOOP_CLR_FD) != 0) return;
  }
  static_cast<void>(wait_until_gone());
}

void detach_leftover_loops(const std::string& file_path) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/block", ignored)) {
    const std::string name = entry.path().filename().string();
    std::ifstream attribute(backing_file_attribute(name));
    std::string backing;
    if (!std::getline(attribute, backing) || backing != file_path) continue;
    const FileDescriptor node(::open(("/dev/" + name).c_str(), O_RDONLY | O_CLOEXEC));
    if (node.is_open()) static_cast<void>(::ioctl(node.get(), LOOP_CLR_FD));
  }
}

}  // namespace uzram
