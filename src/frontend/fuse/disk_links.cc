// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/disk_links.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <cstdio>
#include <filesystem>

namespace uzram {
namespace {

namespace fs = std::filesystem;

std::string link_name(int id) { return fmt::format("zram{}", id); }

std::string read_link_at(int folder, const std::string& name) {
  std::array<char, PATH_MAX> text;
  const ssize_t bytes = ::readlinkat(folder, name.c_str(), text.data(), text.size());
  return bytes <= 0 ? std::string() : std::string(text.data(), static_cast<std::size_t>(bytes));
}

FileDescriptor open_link_folder(const std::string& path) {
  return FileDescriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

void clear_links(const std::string& folder) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.is_symlink(ignored)) ::unlink(entry.path().c_str());
  }
}

}  // namespace

Result<std::unique_ptr<DiskLinks>> DiskLinks::make(const std::string& folder,
                                                   const std::string& common_folder) {
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) return fail_errno();
  FileDescriptor own = open_link_folder(folder);
  if (!own.is_open()) return fail_errno();
  clear_links(folder);
  FileDescriptor common;
  if (!common_folder.empty()) {
    common = open_link_folder(common_folder);
    if (!common.is_open()) return fail_errno();
  }
  return std::unique_ptr<DiskLinks>(new DiskLinks(folder, std::move(own), std::move(common)));
}

DiskLinks::~DiskLinks() {
  std::map<int, std::string> targets;
  {
    MutexLock lock(mutex_);
    targets = targets_;
  }
  for (const auto& entry : targets) remove(entry.first);
  ::rmdir(folder_.c_str());
}

Result<void> DiskLinks::point(int id, const std::string& disk_path) {
  const std::string name = link_name(id);
  const std::string fresh = name + ".new";
  remove(id);
  MutexLock lock(mutex_);
  ::unlinkat(own_.get(), fresh.c_str(), 0);
  if (::symlinkat(disk_path.c_str(), own_.get(), fresh.c_str()) != 0) return fail_errno();
  if (::renameat(own_.get(), fresh.c_str(), own_.get(), name.c_str()) != 0) return fail_errno();
  targets_[id] = disk_path;
  if (common_.is_open()) {
    static_cast<void>(::symlinkat(disk_path.c_str(), common_.get(), name.c_str()));
  }
  return {};
}

void DiskLinks::remove(int id) {
  MutexLock lock(mutex_);
  const auto found = targets_.find(id);
  if (found == targets_.end()) return;
  const std::string name = link_name(id);
  ::unlinkat(own_.get(), name.c_str(), 0);
  if (common_.is_open() && read_link_at(common_.get(), name) == found->second) {
    ::unlinkat(common_.get(), name.c_str(), 0);
  }
  targets_.erase(found);
}

}  // namespace uzram
