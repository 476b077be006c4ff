// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/fuse_disk.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "frontend/fuse/fuse_reader.h"

namespace uzram {
namespace {

Result<void> make_mount_point(const std::string& path) {
  const FileDescriptor file(
      ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600));
  if (!file.is_open()) return fail_errno();
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno();
  if (!S_ISREG(status.st_mode)) return fail(EEXIST);
  return {};
}

}  // namespace

Result<std::unique_ptr<FuseDisk>> FuseDisk::make(Device& device, std::string path,
                                                 const Settings& settings, IdleWatch& watch) {
  if (const Result<void> made = make_mount_point(path); !made) return tl::unexpected(made.error());
  std::unique_ptr<FuseDisk> disk(new FuseDisk(device, std::move(path), settings.wants_uring));
  auto descriptors = mount_fuse_file(disk->path_, 0);
  if (!descriptors) {
    ::unlink(disk->path_.c_str());
    return tl::unexpected(descriptors.error());
  }
  disk->descriptors_ = std::move(*descriptors);
  disk->connection_number_ = find_connection_number(disk->path_);
  if (const Result<void> done = disk->answer_init(watch); !done)
    return tl::unexpected(done.error());
  if (const Result<void> done = disk->start_serving(watch, settings); !done)
    return tl::unexpected(done.error());
  return disk;
}

FuseDisk::~FuseDisk() {
  if (!descriptors_.connection.is_open()) return;
  const bool is_unmounted = unmount_by_force(path_);
  // Somebody else was faster; what they left of it elsewhere must not keep the threads waiting.
  if (!is_unmounted && connection_number_) abort_connection(*connection_number_);
  if (crew_ != nullptr) crew_->end();
  uring_.reset();
  ::unlink(path_.c_str());
}

Result<void> FuseDisk::answer_init(IdleWatch& watch) {
  auto buffer = watch.buffers().take();
  if (!buffer) return tl::unexpected(buffer.error());
  FuseReader reader(descriptors_.connection.get(), requests_, std::move(*buffer));
  const bool is_agreed = reader.serve_init();
  watch.buffers().give_back(reader.take_buffer());
  if (!is_agreed) return fail(EPROTO);
  return {};
}

Result<void> FuseDisk::start_serving(IdleWatch& watch, const Settings& settings) {
  const bool is_over_uring = (requests_.agreed_flags() & kInitOverIoUring) != 0;
  DiskCrew::Settings crew;
  crew.most_threads = is_over_uring ? 1 : settings.thread_count;
  crew.rest_after = settings.rest_after;
  crew_ = DiskCrew::make(watch, descriptors_.connection.get(), requests_, crew);
  if (is_over_uring) {
    // Until every queue is there the kernel holds all requests back.
    auto uring = FuseUring::make(descriptors_.connection.get(), requests_);
    if (!uring) return tl::unexpected(uring.error());
    uring_ = std::move(*uring);
    if (const Result<void> started = uring_->start(); !started) return started;
  }
  return crew_->start();
}

}  // namespace uzram
