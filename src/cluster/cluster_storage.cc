// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_storage.h"

#include <fcntl.h>
#include <sys/stat.h>

namespace uzram {
namespace {

class FileStorage final : public ClusterStorage {
 public:
  explicit FileStorage(FileDescriptor file) : file_(std::move(file)) {}

  Result<std::uint64_t> size_bytes() const override {
    struct stat status {};
    if (::fstat(file_.get(), &status) != 0) return fail_errno();
    return static_cast<std::uint64_t>(status.st_size);
  }

  Result<void> read(std::uint64_t offset, MutableBytes out) const override {
    while (!out.empty()) {
      const ssize_t got = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(offset));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return fail_errno();
      if (got == 0) return fail(EIO);
      out = out.subspan(static_cast<std::size_t>(got));
      offset += static_cast<std::uint64_t>(got);
    }
    return {};
  }

  Result<void> write(std::uint64_t offset, ConstBytes bytes) override {
    while (!bytes.empty()) {
      const ssize_t written =
          ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail_errno();
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
    }
    return {};
  }

  Result<void> sync() override {
    if (::fdatasync(file_.get()) != 0) return fail_errno();
    return {};
  }

  Result<void> set_size(std::uint64_t bytes) override {
    if (::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0) return fail_errno();
    return {};
  }

  Result<void> punch(std::uint64_t offset, std::uint64_t bytes) override {
    constexpr int kMode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    return allocate(kMode, offset, bytes, true);
  }

  Result<void> set_aside(std::uint64_t offset, std::uint64_t bytes) override {
    return allocate(0, offset, bytes, false);
  }

 private:
  Result<void> allocate(int mode, std::uint64_t offset, std::uint64_t bytes, bool may_lack) {
    while (::fallocate(file_.get(), mode, static_cast<off_t>(offset), static_cast<off_t>(bytes)) !=
           0) {
      if (errno == EINTR) continue;
      if (may_lack && (errno == EOPNOTSUPP || errno == ENOSYS)) return {};
      return fail_errno();
    }
    return {};
  }

  const FileDescriptor file_;
};

int flags_of(StorageMode mode) {
  switch (mode) {
    case StorageMode::Read:
      return O_RDONLY;
    case StorageMode::Write:
      return O_RDWR;
    case StorageMode::Create:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  return O_RDONLY;
}

// A lock of an open file (F_OFD_SETLK). One for writing takes a descriptor that can write, so who
// may only read the file keeps no reader away, and is told from a writer.
Result<void> lock_cluster_file(int file, StorageMode mode, LockRule rule) {
  struct flock lock {};
  lock.l_type = mode == StorageMode::Read ? F_RDLCK : F_WRLCK;
  lock.l_whence = SEEK_SET;  // All of it.
  if (::fcntl(file, F_OFD_SETLK, &lock) == 0) return {};
  if (errno != EAGAIN && errno != EACCES) return fail_errno();
  if (mode == StorageMode::Read || rule == LockRule::ReadersCount) return fail(EBUSY);
  if (::fcntl(file, F_OFD_GETLK, &lock) != 0) return fail_errno();
  if (lock.l_type == F_RDLCK) return {};
  // A writer's, which may have gone away just now.
  lock.l_type = F_WRLCK;
  return ::fcntl(file, F_OFD_SETLK, &lock) == 0 ? Result<void>{} : fail(EBUSY);
}

}  // namespace

Result<std::unique_ptr<ClusterStorage>> open_cluster_storage(const std::string& path,
                                                             StorageMode mode) {
  FileDescriptor file(::open(path.c_str(), flags_of(mode) | O_CLOEXEC | O_NONBLOCK, 0666));
  if (!file.is_open()) return fail_errno();
  return adopt_cluster_storage(std::move(file), mode);
}

Result<std::unique_ptr<ClusterStorage>> adopt_cluster_storage(FileDescriptor file, StorageMode mode,
                                                              LockRule rule) {
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return fail_errno();
  if (S_ISDIR(status.st_mode)) return fail(EISDIR);
  if (!S_ISREG(status.st_mode)) return fail(ENODEV);
  if (auto locked = lock_cluster_file(file.get(), mode, rule); !locked)
    return fail(locked.error().code);
  return std::make_unique<FileStorage>(std::move(file));
}

}  // namespace uzram
