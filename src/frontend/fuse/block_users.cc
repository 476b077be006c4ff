// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/block_users.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/printable_text.h"
#include "frontend/fuse/mount_table.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

struct Target {
  std::string path;
  std::optional<dev_t> number;  // Of a block device.
};

std::optional<dev_t> block_number(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
  return status.st_rdev;
}

void add_mounts(const Target& target, std::vector<std::string>& users) {
  if (!target.number) return;
  std::ostringstream number;
  number << major(*target.number) << ':' << minor(*target.number);
  for (const MountEntry& entry : read_mount_table()) {
    if (entry.device_number == number.str())
      users.push_back("mounted on " + printable(entry.mount_point));
  }
}

void add_swap(const Target& target, std::vector<std::string>& users) {
  std::ifstream table("/proc/swaps");
  std::string line;
  std::getline(table, line);  // The head of the table.
  while (std::getline(table, line)) {
    const std::string path = line.substr(0, line.find_first_of(" \t"));
    const bool is_target =
        path == target.path || (target.number && block_number(path) == target.number);
    if (is_target) users.emplace_back("used as swap");
  }
}

void add_stacked(const Target& target, std::vector<std::string>& users) {
  if (!target.number) return;
  std::ostringstream folder;
  folder << "/sys/dev/block/" << major(*target.number) << ':' << minor(*target.number)
         << "/holders";
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder.str(), ignored)) {
    users.push_back("under " + entry.path().filename().string());
  }
}

bool leads_to(const std::string& link, const Target& target) {
  std::array<char, PATH_MAX> text;
  const ssize_t count = ::readlink(link.c_str(), text.data(), text.size());
  if (count <= 0) return false;
  const std::string_view path(text.data(), static_cast<std::size_t>(count));
  if (path == target.path) return true;
  // Another name of the same device. Nodes answer stat themselves, so following cannot hang.
  const bool may_be_node = path.substr(0, 5) == "/dev/";
  return target.number && may_be_node && block_number(link) == target.number;
}

bool is_number(const std::string& name) {
  return !name.empty() && name.find_first_not_of("0123456789") == std::string::npos;
}

void add_openers(const Target& target, int own_descriptor, std::vector<std::string>& users) {
  std::error_code ignored;
  for (const auto& process : fs::directory_iterator("/proc", ignored)) {
    const std::string id = process.path().filename().string();
    if (!is_number(id)) continue;
    const bool is_self = id == std::to_string(::getpid());
    std::error_code hidden;
    for (const auto& link : fs::directory_iterator(process.path() / "fd", hidden)) {
      const std::string name = link.path().filename().string();
      if (is_self && name == std::to_string(own_descriptor)) continue;
      if (!leads_to(link.path().string(), target)) continue;
      std::ifstream command(process.path() / "comm");
      std::string word;
      std::getline(command, word);
      users.push_back(
          std::string("open in ").append(printable(word)).append(" (").append(id).append(")"));
      break;
    }
  }
}

}  // namespace

std::vector<std::string> find_block_users(const std::string& path, int own_descriptor) {
  // A file is known by its name only: to stat it may mean to ask its server.
  const bool is_node = path.rfind("/dev/", 0) == 0;
  const Target target{path, is_node ? block_number(path) : std::nullopt};
  std::vector<std::string> users;
  add_mounts(target, users);
  add_swap(target, users);
  add_stacked(target, users);
  add_openers(target, own_descriptor, users);
  return users;
}

}  // namespace uzram
