// SPDX-License-Identifier: Apache-2.0
#include "app/state_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "base/file_descriptor.h"

namespace uzram {

namespace {

namespace fs = std::filesystem;

constexpr mode_t kFolderMode = 0711;
constexpr int kFolderFlags = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

tl::unexpected<InputError> unusable(const fs::path& path, int code) {
  return refuse(code, fmt::format("{} cannot be used ({}); give another --state", path.string(),
                                  errno_name(code)));
}

tl::unexpected<InputError> unsafe(const fs::path& path) {
  return refuse(EPERM, fmt::format("{} belongs to another user, or others may write there; give a "
                                   "--state that only you can change",
                                   path.string()));
}

bool is_trusted_owner(const struct stat& status) {
  return status.st_uid == 0 || status.st_uid == ::geteuid();
}

bool is_safe_parent(const struct stat& status) {
  const bool is_open_to_others = (status.st_mode & (S_IWGRP | S_IWOTH)) != 0;
  return is_trusted_owner(status) && (!is_open_to_others || (status.st_mode & S_ISVTX) != 0);
}

// Of the links on the way, each must be of somebody who is trusted.
InputResult<fs::path> resolve(const fs::path& path) {
  fs::path walked;
  for (const fs::path& part : path) {
    walked /= part;
    struct stat status {};
    if (::lstat(walked.c_str(), &status) != 0) break;
    if (S_ISLNK(status.st_mode) && !is_trusted_owner(status)) return unsafe(walked);
  }
  std::error_code problem;
  fs::path real = fs::weakly_canonical(path, problem);
  if (problem) return unusable(path, problem.value());
  if (!real.has_filename()) real = real.parent_path();
  return real;
}

}  // namespace

InputResult<std::string> prepare_state_folder(const std::string& path) {
  const InputResult<fs::path> real = resolve(path);
  if (!real) return tl::unexpected<InputError>(real.error());
  FileDescriptor folder(::open("/", kFolderFlags));
  struct stat status {};
  fs::path walked = "/";
  for (const fs::path& part : real->relative_path()) {
    if (!folder.is_open() || ::fstat(folder.get(), &status) != 0) return unusable(walked, errno);
    if (!is_safe_parent(status)) return unsafe(walked);
    walked /= part;
    const bool is_last = walked == *real;
    if (::mkdirat(folder.get(), part.c_str(), is_last ? kFolderMode : 0755) != 0 &&
        errno != EEXIST) {
      return unusable(walked, errno);
    }
    folder = FileDescriptor(::openat(folder.get(), part.c_str(), kFolderFlags));
  }
  if (!folder.is_open() || ::fstat(folder.get(), &status) != 0) return unusable(walked, errno);
  if (status.st_uid != ::geteuid()) return unsafe(walked);
  const mode_t mode = status.st_mode & kFolderMode;
  // A descriptor for names only has no fchmod; its entry in /proc leads to the same folder.
  const std::string self = fmt::format("/proc/self/fd/{}", folder.get());
  if (mode != (status.st_mode & 07777U) && ::chmod(self.c_str(), mode) != 0) {
    return unusable(walked, errno);
  }
  return real->string();
}

}  // namespace uzram
