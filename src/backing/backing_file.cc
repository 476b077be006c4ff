// SPDX-License-Identifier: Apache-2.0
#include "backing/backing_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <memory>

#include "backing/file_use.h"

namespace uzram {
namespace {

bool can_back(const struct stat& status) {
  return S_ISREG(status.st_mode) || S_ISBLK(status.st_mode);
}

FileDescriptor open_at_best(const char* path, int flags) {
  FileDescriptor descriptor(::open(path, flags | O_DIRECT));
  if (!descriptor.is_open() && errno == EINVAL) descriptor = FileDescriptor(::open(path, flags));
  return descriptor;
}

// Somebody has set the space aside: giving blocks back would let others take it.
bool has_its_space(const struct stat& status) {
  constexpr std::uint64_t kStatBlockBytes = 512;
  return S_ISREG(status.st_mode) &&
         static_cast<std::uint64_t>(status.st_blocks) * kStatBlockBytes >=
             static_cast<std::uint64_t>(status.st_size);
}

Result<std::uint64_t> size_of(int descriptor, const struct stat& status) {
  if (S_ISREG(status.st_mode)) return static_cast<std::uint64_t>(status.st_size);
  std::uint64_t bytes = 0;
  if (::ioctl(descriptor, BLKGETSIZE64, &bytes) != 0) return fail_errno();
  return bytes;
}

// Some devices and file systems want more alignment than a block has: those go through the page
// cache after all.
Result<void> drop_direct_unless_it_works(int descriptor) {
  struct Free {
    void operator()(void* memory) const { std::free(memory); }
  };
  const std::unique_ptr<void, Free> block(std::aligned_alloc(kBlockBytes, kBlockBytes));
  if (block == nullptr) return fail(ENOMEM);
  if (::pread(descriptor, block.get(), kBlockBytes, 0) >= 0 || errno != EINVAL) return {};
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (flags < 0 || ::fcntl(descriptor, F_SETFL, flags & ~O_DIRECT) != 0) return fail_errno();
  return {};
}

Result<FileDescriptor> open_to_look(const std::string& path, struct stat& status) {
  if (::stat(path.c_str(), &status) != 0) return fail_errno();
  // Not even opened: that does something on a terminal or a watchdog. A folder's open says EISDIR.
  if (!can_back(status) && !S_ISDIR(status.st_mode)) return fail(ENOTBLK);
  // Looked at through what was opened: the name may lead elsewhere a moment later.
  const int access = S_ISDIR(status.st_mode) ? O_RDWR : O_RDONLY;
  FileDescriptor descriptor(::open(path.c_str(), access | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor.is_open() || ::fstat(descriptor.get(), &status) != 0) return fail_errno();
  if (!can_back(status)) return fail(ENOTBLK);
  return descriptor;
}

std::optional<std::string> find_use(const FileDescriptor& looked, const struct stat& status) {
  return S_ISBLK(status.st_mode) ? find_use_below_loop(looked.get()) : find_file_use(looked.get());
}

}  // namespace

Result<BackingFile> open_backing_file(const std::string& path) {
  struct stat status {};
  const Result<FileDescriptor> looked = open_to_look(path, status);
  if (!looked) return fail(looked.error().code);
  if (find_use(*looked, status)) return fail(EBUSY);
  const int claim = S_ISBLK(status.st_mode) ? O_EXCL : 0;
  const std::string same = "/proc/self/fd/" + std::to_string(looked->get());
  FileDescriptor descriptor = open_at_best(same.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK | claim);
  if (!descriptor.is_open()) return fail_errno();
  return adopt_open_file(std::move(descriptor));
}

std::optional<std::string> find_backing_use(const std::string& path) {
  struct stat status {};
  const Result<FileDescriptor> looked = open_to_look(path, status);
  return looked ? find_use(*looked, status) : std::nullopt;
}

Result<BackingFile> adopt_open_file(FileDescriptor descriptor) {
  struct stat status {};
  if (::fstat(descriptor.get(), &status) != 0) return fail_errno();
  if (!can_back(status)) return fail(ENOTBLK);
  if (::fcntl(descriptor.get(), F_SETFD, FD_CLOEXEC) != 0) return fail_errno();
  if (S_ISREG(status.st_mode) && ::flock(descriptor.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(errno == EWOULDBLOCK ? EBUSY : errno);
  const Result<std::uint64_t> bytes = size_of(descriptor.get(), status);
  if (!bytes) return fail(bytes.error().code);
  if (*bytes < kBlockBytes) return fail(EINVAL);
  const Result<void> checked = drop_direct_unless_it_works(descriptor.get());
  if (!checked) return fail(checked.error().code);
  return BackingFile{std::move(descriptor), *bytes / kBlockBytes, has_its_space(status)};
}

}  // namespace uzram
