// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/loop_binding.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <thread>

namespace uzram {
namespace {

// Absent from the headers of older kernels; see linux/fs.h of a new one.
constexpr unsigned long kGetDiskSequence = _IOR(0x12, 128, std::uint64_t);

constexpr unsigned kLoopMajor = 7;

std::string node_path(int index) { return "/dev/loop" + std::to_string(index); }

}  // namespace

Result<LoopBinding> LoopBinding::read(int node) {
  loop_info64 info{};
  if (::ioctl(node, LOOP_GET_STATUS64, &info) != 0) {
    // Free, or not even a loop device.
    if (errno == ENXIO || errno == ENOTTY || errno == EINVAL) return fail(ENODEV);
    return fail_errno();
  }
  LoopBinding binding{static_cast<int>(info.lo_number), info.lo_device, info.lo_inode, 0};
  std::uint64_t sequence = 0;
  if (::ioctl(node, kGetDiskSequence, &sequence) == 0) binding.disk_sequence = sequence;
  return binding;
}

std::string LoopBinding::path() const { return node_path(index); }

std::string LoopBinding::sysfs() const { return "/sys/block/loop" + std::to_string(index); }

Result<FileDescriptor> LoopBinding::open(int flags) const {
  FileDescriptor node(::open(path().c_str(), flags | O_CLOEXEC | O_NOCTTY));
  if (!node.is_open()) {
    // ENXIO: it is being detached at this moment.
    if (errno == ENOENT || errno == ENXIO) return fail(ENODEV);
    return fail_errno();
  }
  const Result<LoopBinding> now = read(node.get());
  if (!now) return tl::unexpected(now.error());
  if (*now != *this) return fail(ENODEV);
  return node;
}

bool LoopBinding::is_current() const {
  // There only while it is bound to something.
  if (::access((sysfs() + "/loop").c_str(), F_OK) != 0 && errno == ENOENT) return false;
  const FileDescriptor attribute(::open((sysfs() + "/diskseq").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text{};
  const bool is_read = disk_sequence != 0 && attribute.is_open() &&
                       ::read(attribute.get(), text.data(), text.size() - 1) > 0;
  if (is_read) return std::strtoull(text.data(), nullptr, 10) == disk_sequence;
  // Not to be able to look (no descriptor to be had) is no proof that it is gone.
  const Result<FileDescriptor> node = open(O_RDONLY);
  return node || node.error().code != ENODEV;
}

Result<bool> ensure_loop_node(int index) {
  const std::string path = node_path(index);
  constexpr int kLooks = 20;  // The kernel makes a new device's node a moment later.
  for (int look = 0; look < kLooks; ++look) {
    if (::access(path.c_str(), F_OK) == 0) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const dev_t number = makedev(kLoopMajor, static_cast<unsigned>(index));
  if (::mknod(path.c_str(), S_IFBLK | 0660, number) == 0) return true;
  if (errno == EEXIST) return false;
  return fail_errno();
}

}  // namespace uzram
