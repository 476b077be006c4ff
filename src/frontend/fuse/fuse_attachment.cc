// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/fuse_attachment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <thread>

#include "frontend/fuse/block_users.h"
#include "frontend/fuse/fuse_disk.h"
#include "frontend/fuse/loop_device.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds kReleasePause{10};
// How long a file that was closed may still count as open: the kernel tells us later.
constexpr int kReleasePauses = 20;

bool close_to_others(FuseDisk& file, long own_opens) {
  for (int i = 0; i < kReleasePauses; ++i) {
    if (file.requests().try_close(own_opens)) return true;
    std::this_thread::sleep_for(kReleasePause);
  }
  return false;
}

// Waits for the file's server: it answers, and with the right size, or something is broken.
Result<FileDescriptor> open_served(const FuseDisk& file, std::uint64_t bytes) {
  FileDescriptor descriptor(::open(file.path().c_str(), O_RDWR | O_CLOEXEC));
  struct stat status {};
  if (!descriptor.is_open() || ::fstat(descriptor.get(), &status) != 0) return fail_errno();
  if (static_cast<std::uint64_t>(status.st_size) != bytes) return fail(EIO);
  return descriptor;
}

bool is_no_loop_here(const Error& error) {
  return error.code == ENOENT || error.code == ENODEV || error.code == ENXIO ||
         error.code == EACCES || error.code == EPERM;
}

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

}  // namespace

// The file first, the loop device over it last: they are taken away the other way round.
struct FuseAttachment::Disk {
  std::unique_ptr<FuseDisk> file;
  std::unique_ptr<LoopDevice> loop;  // Null: the file is the disk.
  std::string file_path;
  std::string block_path;
  bool uses_uring = false;
};

InputResult<std::unique_ptr<FuseAttachment>> FuseAttachment::create(FuseAttachmentOptions options) {
  if (options.state_dir.empty() || options.state_dir.front() != '/') {
    return refuse(EINVAL, fmt::format("the state folder {} must be an absolute path",
                                      quote(options.state_dir)));
  }
  if (::access("/dev/fuse", R_OK | W_OK) != 0) {
    return refuse(errno, errno == ENOENT
                             ? "there is no /dev/fuse here; load the kernel's fuse module"
                             : "/dev/fuse may not be opened by this user");
  }
  if (::geteuid() != 0) return refuse(EPERM, "mounting a disk needs root");
  if (options.io_uring == UringUse::On && !fs::exists("/sys/module/fuse/parameters/enable_uring")) {
    return refuse(EOPNOTSUPP,
                  "this kernel has no FUSE over io_uring (Linux 6.14); use auto or off");
  }
  std::unique_ptr<FuseAttachment> attachment(new FuseAttachment(std::move(options)));
  const std::string folder = attachment->options_.state_dir + "/disk";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) {
    return refuse(error.value(), fmt::format("cannot make {}: {}", folder, error.message()));
  }
  attachment->clear_leftovers();
  return attachment;
}

FuseAttachment::~FuseAttachment() {
  std::map<int, std::shared_ptr<Disk>> disks;
  {
    MutexLock lock(mutex_);
    disks.swap(disks_);
  }
  disks.clear();
  std::error_code not_empty;
  fs::remove(options_.state_dir + "/disk", not_empty);
}

void FuseAttachment::clear_leftovers() const {
  std::error_code ignored;
  // Names only: the files themselves may be dead mounts.
  std::vector<std::string> paths;
  for (const auto& entry : fs::directory_iterator(options_.state_dir + "/disk", ignored)) {
    paths.push_back(entry.path().string());
  }
  for (const std::string& path : paths) {
    if (fs::path(path).filename().string().rfind("zram", 0) != 0) continue;
    if (is_mount_point(path) && !dies_soon(path)) continue;  // attach will say that it is busy.
    detach_leftover_loops(path);
    if (clear_dead_mount(path)) ::unlink(path.c_str());
  }
}

std::string FuseAttachment::file_path(int id) const {
  return fmt::format("{}/disk/zram{}", options_.state_dir, id);
}

std::shared_ptr<FuseAttachment::Disk> FuseAttachment::find(const Device& device) const {
  MutexLock lock(mutex_);
  const auto found = disks_.find(device.id());
  return found == disks_.end() ? nullptr : found->second;
}

std::shared_ptr<FuseAttachment::Disk> FuseAttachment::take(int id) {
  MutexLock lock(mutex_);
  const auto node = disks_.extract(id);
  return node.empty() ? nullptr : node.mapped();
}

// --- attach ------------------------------------------------------------------------------------

Result<std::unique_ptr<FuseDisk>> FuseAttachment::make_file(Device& device) {
  FuseDisk::Settings settings;
  const unsigned processors = std::max(std::thread::hardware_concurrency(), 2U);
  settings.thread_count = options_.thread_count == 0 ? processors : options_.thread_count;
  settings.wants_uring = options_.io_uring != UringUse::Off;
  auto file = FuseDisk::make(device, file_path(device.id()), settings);
  if (file || options_.io_uring != UringUse::Auto || !is_fuse_uring_enabled()) return file;
  settings.wants_uring = false;  // What was refused over io_uring may do without.
  return FuseDisk::make(device, file_path(device.id()), settings);
}

// The kernel looks at its parameter when it mounts, so it is on for that moment only.
Result<std::unique_ptr<FuseDisk>> FuseAttachment::make_file_over_uring(Device& device) {
  MutexLock lock(uring_switch_mutex_);
  const auto is_on = UringSwitch::turn_on();
  if (!is_on) return tl::unexpected(is_on.error());
  return make_file(device);
}

Result<void> FuseAttachment::attach(Device& device) {
  const std::string path = file_path(device.id());
  if (const Result<void> free = clear_dead_mount(path); !free) return free;
  auto file = options_.io_uring == UringUse::On ? make_file_over_uring(device) : make_file(device);
  if (!file) return tl::unexpected(file.error());
  auto disk = std::make_shared<Disk>();
  disk->file = std::move(*file);
  disk->uses_uring = disk->file->uses_uring();
  disk->file_path = disk->block_path = path;
  {
    const auto descriptor = open_served(*disk->file, device.disksize());
    if (!descriptor) return tl::unexpected(descriptor.error());
    if (options_.has_loop) {
      auto loop = LoopDevice::attach(descriptor->get(), path);
      if (!loop && !is_no_loop_here(loop.error())) return tl::unexpected(loop.error());
      if (loop) {
        disk->loop = std::move(*loop);
        disk->block_path = disk->loop->path();
      }
    }
  }
  MutexLock lock(mutex_);
  disks_[device.id()] = std::move(disk);
  return {};
}

// --- detach ------------------------------------------------------------------------------------

Result<void> FuseAttachment::detach(Device& device) {
  const std::shared_ptr<Disk> disk = find(device);
  if (disk == nullptr) return {};
  const long own_opens = disk->loop ? 1 : 0;
  if (!close_to_others(*disk->file, own_opens)) return fail(EBUSY);
  if (disk->loop) {
    if (const Result<void> detached = disk->loop->detach(); !detached) {
      disk->file->requests().reopen();
      return detached;
    }
  }
  // Whoever asks for a path meanwhile may hold the object, so its parts end here.
  take(device.id());
  disk->loop.reset();
  disk->file.reset();
  return {};
}

Result<void> FuseAttachment::grow(Device& device) {
  const std::shared_ptr<Disk> disk = find(device);
  if (disk == nullptr) return fail(ENODEV);
  const FileDescriptor file(::open(disk->file_path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.is_open()) return fail_errno();
  // The kernel remembers the size until it is made to ask.
  struct statx status {};
  if (::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_FORCE_SYNC, STATX_SIZE, &status) != 0)
    return fail_errno();
  if (status.stx_size != device.disksize()) return fail(EIO);
  return disk->loop ? disk->loop->refresh_size() : Result<void>();
}

void FuseAttachment::abandon(Device& device) {
  const std::shared_ptr<Disk> disk = take(device.id());
  if (disk == nullptr) return;
  disk->loop.reset();
  disk->file.reset();
}

std::string FuseAttachment::block_path(const Device& device) const {
  const std::shared_ptr<Disk> disk = find(device);
  return disk == nullptr ? std::string() : disk->block_path;
}

bool FuseAttachment::uses_uring(const Device& device) const {
  const std::shared_ptr<Disk> disk = find(device);
  return disk != nullptr && disk->uses_uring;
}

std::vector<std::string> FuseAttachment::users(const Device& device) const {
  const std::shared_ptr<Disk> disk = find(device);
  if (disk == nullptr) return {};
  std::vector<std::string> users = find_block_users(disk->block_path);
  if (disk->block_path == disk->file_path) return users;
  const std::vector<std::string> file_users = find_block_users(disk->file_path);
  users.insert(users.end(), file_users.begin(), file_users.end());
  return users;
}

}  // namespace uzram
