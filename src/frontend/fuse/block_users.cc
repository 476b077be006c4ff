// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/block_users.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/printable_text.h"
#include "frontend/fuse/mount_table.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;
using std::chrono::steady_clock;

void add_mounts(dev_t block, std::vector<std::string>& users) {
  const std::string number = fmt::format("{}:{}", major(block), minor(block));
  for (const MountEntry& entry : read_mount_table()) {
    if (entry.device_number == number)
      users.push_back("mounted on " + printable(entry.mount_point));
  }
}

void add_stacked(dev_t block, std::vector<std::string>& users) {
  const std::string folder =
      fmt::format("/sys/dev/block/{}:{}/holders", major(block), minor(block));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    users.push_back("under " + entry.path().filename().string());
  }
}

bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

// Looks through the descriptors of all processes, within limits.
class OpenerSearch {
 public:
  OpenerSearch(const DiskNumbers& disk, const LookLimits& limits)
      : disk_(disk), limits_(limits), deadline_(steady_clock::now() + limits.most_time) {}

  std::vector<std::string> run() {
    std::error_code ignored;
    for (const auto& process : fs::directory_iterator("/proc", ignored)) {
      if (is_over()) break;
      if (is_number(process.path().filename().string())) look_at(process.path());
    }
    if (found_.empty() && is_over()) found_.emplace_back("open in a program that was not found");
    return std::move(found_);
  }

 private:
  [[nodiscard]] bool is_over() const {
    return descriptor_count_ >= limits_.most_descriptors || found_.size() >= limits_.most_openers ||
           steady_clock::now() >= deadline_;
  }

  void look_at(const fs::path& process) {
    std::error_code hidden;
    for (const auto& link : fs::directory_iterator(process / "fd", hidden)) {
      if (is_over()) return;
      ++descriptor_count_;
      if (!leads_to_disk(link.path()) || is_name_only(process, link.path().filename())) continue;
      std::ifstream command(process / "comm");
      std::string word;
      std::getline(command, word);
      found_.push_back(
          fmt::format("open in {} ({})", printable(word), process.filename().string()));
      return;
    }
  }

  [[nodiscard]] bool leads_to_disk(const fs::path& link) const {
    struct statx status {};
    // What is known already: a file's server may not answer.
    if (::statx(AT_FDCWD, link.c_str(), AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_TYPE,
                &status) != 0) {
      return false;
    }
    if (S_ISBLK(status.stx_mode) &&
        disk_.block == makedev(status.stx_rdev_major, status.stx_rdev_minor)) {
      return true;
    }
    return disk_.file == makedev(status.stx_dev_major, status.stx_dev_minor);
  }

  static bool is_name_only(const fs::path& process, const fs::path& descriptor) {
    std::ifstream information(process / "fdinfo" / descriptor);
    std::string word;
    while (information >> word) {
      unsigned long flags = 0;
      if (word == "flags:" && information >> std::oct >> flags) return (flags & O_PATH) != 0;
    }
    return false;
  }

  const DiskNumbers& disk_;
  const LookLimits& limits_;
  const steady_clock::time_point deadline_;
  std::size_t descriptor_count_ = 0;
  std::vector<std::string> found_;
};

}  // namespace

std::vector<std::string> parse_swap_paths(std::istream& swaps) {
  std::vector<std::string> paths;
  std::string line;
  std::getline(swaps, line);  // The head of the table.
  while (std::getline(swaps, line)) {
    if (line.empty()) continue;
    paths.push_back(without_octal_escapes(line.substr(0, line.find_first_of(" \t"))));
  }
  return paths;
}

bool is_used_as_swap(dev_t block) {
  std::ifstream table("/proc/swaps");
  for (const std::string& path : parse_swap_paths(table)) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) continue;
    if (status.st_rdev == block) return true;
  }
  return false;
}

std::vector<std::string> find_block_users(const DiskNumbers& disk, const LookLimits& limits) {
  std::vector<std::string> users;
  if (disk.block) {
    add_mounts(*disk.block, users);
    if (is_used_as_swap(*disk.block)) users.emplace_back("used as swap");
    add_stacked(*disk.block, users);
  }
  // They say it all.
  if (!users.empty()) return users;
  return OpenerSearch(disk, limits).run();
}

}  // namespace uzram
