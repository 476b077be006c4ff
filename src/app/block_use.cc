// SPDX-License-Identifier: Apache-2.0
#include "app/block_use.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <iterator>

#include "frontend/fuse/block_users.h"
#include "frontend/fuse/mount_table.h"

namespace uzram {

namespace {

std::string read_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// Calls `visit` with the words of each line.
template <typename Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    std::vector<std::string_view> words;
    while (!line.empty()) {
      const std::size_t start = line.find_first_not_of(" \t");
      if (start == std::string_view::npos) break;
      line.remove_prefix(start);
      words.push_back(line.substr(0, line.find_first_of(" \t")));
      line.remove_prefix(words.back().size());
    }
    visit(words);
  }
}

}  // namespace

std::optional<DeviceNumber> block_device_number(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISBLK(status.st_mode)) return std::nullopt;
  return DeviceNumber{major(status.st_rdev), minor(status.st_rdev)};
}

std::vector<std::string> mount_points(std::string_view mountinfo, DeviceNumber number) {
  // 36 35 98:0 /root /mount/point options ...
  constexpr std::size_t kNumberWord = 2;
  constexpr std::size_t kMountPointWord = 4;
  const std::string wanted = fmt::format("{}:{}", number.major, number.minor);
  std::vector<std::string> points;
  for_each_line(mountinfo, [&](const std::vector<std::string_view>& words) {
    if (words.size() <= kMountPointWord || words[kNumberWord] != wanted) return;
    points.push_back(without_octal_escapes(words[kMountPointWord]));
  });
  return points;
}

bool is_swap_now(DeviceNumber number) {
  return is_used_as_swap(makedev(number.major, number.minor));
}

std::string mount_point_of(const std::string& block_path) {
  const std::optional<DeviceNumber> number = block_device_number(block_path);
  if (!number) return {};
  if (is_swap_now(*number)) return "[SWAP]";
  const auto points = mount_points(read_file("/proc/self/mountinfo"), *number);
  return points.empty() ? std::string() : points.front();
}

}  // namespace uzram
