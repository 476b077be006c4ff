// SPDX-License-Identifier: Apache-2.0
#include "app/block_use.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <fstream>
#include <iterator>

namespace uzram {

namespace {

std::string read_file(const char* path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// The kernel writes blank, tab, newline and backslash in paths as a backslash and three digits.
std::string undo_escapes(std::string_view escaped) {
  std::string plain;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    const std::string_view digits = escaped.substr(i + 1, 3);
    if (escaped[i] != '\\' || digits.size() != 3 ||
        digits.find_first_not_of("01234567") != std::string_view::npos) {
      plain += escaped[i];
      continue;
    }
    plain += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
    i += 3;
  }
  return plain;
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
    points.push_back(undo_escapes(words[kMountPointWord]));
  });
  return points;
}

std::vector<std::string> swap_paths(std::string_view swaps) {
  std::vector<std::string> paths;
  for_each_line(swaps, [&](const std::vector<std::string_view>& words) {
    if (!words.empty() && words[0].front() == '/') paths.push_back(undo_escapes(words[0]));
  });
  return paths;
}

bool is_swap_now(DeviceNumber number) {
  for (const std::string& path : swap_paths(read_file("/proc/swaps"))) {
    if (block_device_number(path) == number) return true;
  }
  return false;
}

std::string mount_point_of(const std::string& block_path) {
  const std::optional<DeviceNumber> number = block_device_number(block_path);
  if (!number) return {};
  if (is_swap_now(*number)) return "[SWAP]";
  const auto points = mount_points(read_file("/proc/self/mountinfo"), *number);
  return points.empty() ? std::string() : points.front();
}

}  // namespace uzram
