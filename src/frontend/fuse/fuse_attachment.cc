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

#include "frontend/fuse/disk_leftovers.h"
#include "frontend/fuse/disk_links.h"
#include "frontend/fuse/fuse_disk.h"
#include "frontend/fuse/loop_device.h"
#include "frontend/fuse/loop_queue.h"
#include "frontend/fuse/release_watch.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kReleasePause{10};
// A file that was closed may still count as open for a moment: the kernel tells us later.
bool close_to_others(FuseDisk& file, long own_opens, milliseconds patience) {
  const auto deadline = steady_clock::now() + patience;
  while (!file.requests().try_close(own_opens) && !file.has_ended()->load()) {
    if (steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(kReleasePause);
  }
  return true;
}

// Waits for the file's server: it answers, and with the right size, or something is broken.
Result<FileDescriptor> open_served(const DiskView& view, std::uint64_t bytes) {
  auto descriptor = view.open_file(O_RDWR);
  struct stat status {};
  if (!descriptor) return descriptor;
  if (::fstat(descriptor->get(), &status) != 0) return fail_errno();
  if (static_cast<std::uint64_t>(status.st_size) != bytes) return fail(EIO);
  return descriptor;
}

// Nobody will ever serve the file again. Want of a resource is not that.
bool is_file_gone(const Error& error) {
  return error.code == ENODEV || error.code == ENOENT || error.code == ENOTCONN ||
         error.code == ECONNABORTED || error.code == EIO;
}

bool is_no_loop_here(const Error& error) {
  return error.code == ENOENT || error.code == ENODEV || error.code == ENXIO ||
         error.code == EACCES || error.code == EPERM;
}

InputResult<void> check_machine(const FuseAttachmentOptions& options) {
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
  return {};
}

}  // namespace

// The file first, the loop device over it last: they are taken away the other way round. Touched
// by attach, detach and attach_again only, so by one thread at a time.
struct FuseAttachment::Disk {
  std::unique_ptr<FuseDisk> file;
  std::unique_ptr<LoopDevice> loop;  // Null: the file is the disk.
};

// While it lives the device's disk is in change: not there, but nobody took it away either.
class FuseAttachment::Change {
 public:
  Change(FuseAttachment& owner, int id) : owner_(owner), id_(id) {
    MutexLock lock(owner_.mutex_);
    owner_.changing_ids_.insert(id_);
  }
  ~Change() {
    MutexLock lock(owner_.mutex_);
    owner_.changing_ids_.erase(id_);
  }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  FuseAttachment& owner_;
  const int id_;
};

FuseAttachment::FuseAttachment(FuseAttachmentOptions options) : options_(std::move(options)) {}

InputResult<std::unique_ptr<FuseAttachment>> FuseAttachment::create(FuseAttachmentOptions options) {
  if (InputResult<void> checked = check_machine(options); !checked) {
    return tl::unexpected<InputError>(checked.error());
  }
  std::error_code error;
  fs::create_directories(options.state_dir + "/disk", error);
  // As the kernel names it: mounts and files of loop devices are found by that.
  if (!error) options.state_dir = fs::canonical(options.state_dir, error).string();
  if (error) {
    return refuse(error.value(),
                  fmt::format("cannot make {}/disk: {}", options.state_dir, error.message()));
  }
  std::unique_ptr<FuseAttachment> attachment(new FuseAttachment(std::move(options)));
  const FuseAttachmentOptions& settled = attachment->options_;
  clear_disk_leftovers(settled.state_dir + "/disk");
  settle_linked_numbers(settled.state_dir + "/dev");
  auto links = DiskLinks::make(settled.state_dir + "/dev", settled.link_folder);
  if (!links) {
    return refuse(links.error().code,
                  fmt::format("cannot make links in {}/dev {}({})", settled.state_dir,
                              settled.link_folder.empty() ? "" : "and " + settled.link_folder + " ",
                              errno_name(links.error().code)));
  }
  attachment->links_ = std::move(*links);
  auto watch = ReleaseWatch::start([raw = attachment.get()] { raw->look_for_losses(); });
  if (!watch) {
    return refuse(watch.error().code, fmt::format("no thread can be had for the disks ({})",
                                                  errno_name(watch.error().code)));
  }
  attachment->watch_ = std::move(*watch);
  return attachment;
}

FuseAttachment::~FuseAttachment() {
  watch_.reset();
  std::map<int, std::shared_ptr<Disk>> disks;
  {
    MutexLock lock(mutex_);
    disks.swap(disks_);
  }
  disks.clear();
  std::error_code not_empty;
  fs::remove(options_.state_dir + "/disk", not_empty);
}

std::string FuseAttachment::file_path(int id) const {
  return fmt::format("{}/disk/zram{}", options_.state_dir, id);
}

std::optional<DiskView> FuseAttachment::find_view(const Device& device) const {
  MutexLock lock(mutex_);
  const auto found = views_.find(device.id());
  if (found == views_.end()) return std::nullopt;
  return found->second;
}

std::shared_ptr<FuseAttachment::Disk> FuseAttachment::find_disk(int id) const {
  MutexLock lock(mutex_);
  const auto found = disks_.find(id);
  return found == disks_.end() ? nullptr : found->second;
}

// --- attach ------------------------------------------------------------------------------------

Result<std::unique_ptr<FuseDisk>> FuseAttachment::make_file(Device& device) {
  FuseDisk::Settings settings;
  const unsigned processors = std::max(std::thread::hardware_concurrency(), 2U);
  settings.thread_count = options_.thread_count == 0 ? processors : options_.thread_count;
  settings.wants_uring = options_.io_uring != UringUse::Off;
  settings.release_bell = watch_->bell();
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

Result<void> FuseAttachment::attach_loop(int id, Disk& disk, int file, DiskView& view) {
  if (options_.has_loop) {
    const int former_index = view.binding ? view.binding->index : -1;
    view.binding.reset();
    auto loop = LoopDevice::attach(file, view.file_path, former_index);
    if (!loop && !is_no_loop_here(loop.error())) return tl::unexpected(loop.error());
    if (loop) {
      disk.loop = std::move(*loop);
      view.binding = disk.loop->binding();
    }
  }
  return links_->point(id, view.block_path());
}

Result<void> FuseAttachment::attach_parts(Device& device) {
  const int id = device.id();
  const std::string path = file_path(id);
  if (const Result<void> free = clear_dead_mount(path); !free) return free;
  auto file = options_.io_uring == UringUse::On ? make_file_over_uring(device) : make_file(device);
  if (!file) return tl::unexpected(file.error());
  auto disk = std::make_shared<Disk>();
  disk->file = std::move(*file);
  DiskView view;
  view.uses_uring = disk->file->uses_uring();
  view.file_path = path;
  view.file_device = disk->file->file_device();
  view.has_ended = disk->file->has_ended();
  {
    const auto descriptor = open_served(view, device.disksize());
    if (!descriptor) return tl::unexpected(descriptor.error());
    const Result<void> done = attach_loop(id, *disk, descriptor->get(), view);
    if (!done) return done;
  }
  MutexLock lock(mutex_);
  disks_[id] = std::move(disk);
  views_[id] = std::move(view);
  return {};
}

Result<void> FuseAttachment::attach(Device& device) {
  const Change change(*this, device.id());
  return attach_parts(device);
}

Result<void> FuseAttachment::attach_again(Device& device) {
  const int id = device.id();
  std::optional<DiskView> view = find_view(device);
  if (view && view->is_there()) return {};
  const Change change(*this, id);
  settle_unknown_loss(device);
  if (view) {
    const auto disk = find_disk(id);
    if (disk != nullptr) disk->loop.reset();  // It is gone, or it would be there.
    const auto file = open_served(*view, device.disksize());
    if (disk != nullptr && file) {
      if (Result<void> done = attach_loop(id, *disk, file->get(), *view); !done) {
        disk->loop.reset();
        return done;
      }
      view->is_loss_known = false;
      MutexLock lock(mutex_);
      views_[id] = *view;
      return {};
    }
    if (disk != nullptr && !is_file_gone(file.error())) return tl::unexpected(file.error());
    take_apart(id);  // The file is gone as well.
  }
  Result<void> done = attach_parts(device);
  if (done || !view) return done;
  MutexLock lock(mutex_);
  views_[id] = *view;  // So that it counts as missing.
  return done;
}

// --- detach ------------------------------------------------------------------------------------

Result<void> FuseAttachment::detach(Device& device) {
  const int id = device.id();
  const Change change(*this, id);
  const std::shared_ptr<Disk> disk = find_disk(id);
  if (disk == nullptr) {
    take_apart(id);
    return {};
  }
  settle_unknown_loss(device);
  const bool has_loop = disk->loop != nullptr && disk->loop->binding().is_current();
  // The loop device has the file open, and nobody else may.
  if (!close_to_others(*disk->file, has_loop ? 1 : 0, options_.lookers_patience)) {
    return fail(EBUSY);
  }
  if (has_loop) {
    const auto unlink = [this, id] { links_->remove(id); };
    if (const auto detached = disk->loop->detach(options_.lookers_patience, unlink); !detached) {
      disk->file->requests().reopen();
      return detached;
    }
    // Had somebody else taken the loop device away meanwhile, one open would be a stranger's.
    if (!close_to_others(*disk->file, 0, options_.lookers_patience)) {
      disk->file->requests().reopen();
      return fail(EBUSY);
    }
  }
  take_apart(id);
  return {};
}

void FuseAttachment::take_apart(int id) {
  links_->remove(id);
  std::shared_ptr<Disk> disk;
  {
    MutexLock lock(mutex_);
    const auto node = disks_.extract(id);
    if (!node.empty()) disk = node.mapped();
    views_.erase(id);
  }
  if (disk == nullptr) return;
  disk->loop.reset();
  disk->file.reset();
}

void FuseAttachment::abandon(Device& device) {
  const Change change(*this, device.id());
  settle_unknown_loss(device);
  take_apart(device.id());
}

// The name and the settings that the number had from us.
void FuseAttachment::settle_loss(int id, const DiskView& view) {
  links_->remove(id);
  if (view.binding && !view.binding->is_current()) leave_lost_loop_queue(view.binding->index);
}

// What the watch has not seen yet, and does not see while the disk is in change.
void FuseAttachment::settle_unknown_loss(const Device& device) {
  const std::optional<DiskView> view = find_view(device);
  if (!view || view->is_loss_known || view->is_there()) return;
  settle_loss(device.id(), *view);
  MutexLock lock(mutex_);
  const auto now = views_.find(device.id());
  if (now != views_.end()) now->second.is_loss_known = true;
}

void FuseAttachment::look_for_losses() {
  std::map<int, DiskView> views;
  {
    MutexLock lock(mutex_);
    views = views_;
    for (const int id : changing_ids_) views.erase(id);
  }
  for (auto& [id, view] : views) {
    if (view.is_loss_known || view.is_there()) continue;
    {
      MutexLock lock(mutex_);
      const auto now = views_.find(id);
      const bool is_same = changing_ids_.count(id) == 0 && now != views_.end() &&
                           now->second.binding == view.binding;
      if (!is_same) continue;
      now->second.is_loss_known = true;
    }
    settle_loss(id, view);
    if (options_.on_loss) {
      options_.on_loss(
          fmt::format("somebody detached {} from zram{}; its pages are safe, and "
                      "'uzram attach zram{}' gives it a disk again",
                      view.block_path(), id, id));
    }
  }
}

// --- what others ask ---------------------------------------------------------------------------

std::string FuseAttachment::block_path(const Device& device) const {
  const std::optional<DiskView> view = find_view(device);
  return view && view->is_there() ? view->block_path() : std::string();
}

Result<FileDescriptor> FuseAttachment::open_disk(const Device& device) const {
  const std::optional<DiskView> view = find_view(device);
  if (!view) return fail(ENODEV);
  return view->open();
}

bool FuseAttachment::is_disk_missing(const Device& device) const {
  {
    MutexLock lock(mutex_);
    if (changing_ids_.count(device.id()) != 0) return false;
  }
  const std::optional<DiskView> view = find_view(device);
  return view && !view->is_there();
}

bool FuseAttachment::is_claimed(const Device& device) const {
  const std::optional<DiskView> view = find_view(device);
  if (!view || !view->binding || !view->is_there()) return false;
  const auto claim = view->binding->open(O_RDONLY | O_EXCL);
  return !claim && claim.error().code == EBUSY && view->is_there();
}

bool FuseAttachment::uses_uring(const Device& device) const {
  const std::optional<DiskView> view = find_view(device);
  return view && view->uses_uring;
}

std::vector<std::string> FuseAttachment::users(const Device& device) const {
  const std::optional<DiskView> view = find_view(device);
  return view ? find_block_users(view->numbers()) : std::vector<std::string>();
}

}  // namespace uzram
