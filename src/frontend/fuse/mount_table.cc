// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/mount_table.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <string_view>

namespace uzram {
namespace {

bool is_octal(std::string_view digits) {
  return digits.size() == 3 && digits.find_first_not_of("01234567") == std::string_view::npos;
}

}  // namespace

std::string without_octal_escapes(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const std::string_view digits = text.substr(std::min(i + 1, text.size()), 3);
    if (text[i] != '\\' || !is_octal(digits)) {
      plain += text[i];
      continue;
    }
    plain += static_cast<char>((digits[0] - '0') * 64 + (digits[1] - '0') * 8 + digits[2] - '0');
    i += digits.size();
  }
  return plain;
}

std::vector<MountEntry> parse_mount_table(std::istream& mountinfo) {
  std::vector<MountEntry> entries;
  std::string line;
  while (std::getline(mountinfo, line)) {
    std::istringstream words(line);
    std::string id, parent, root;
    MountEntry entry;
    if (!(words >> id >> parent >> entry.device_number >> root >> entry.mount_point)) continue;
    entry.mount_point = without_octal_escapes(entry.mount_point);
    entries.push_back(std::move(entry));
  }
  return entries;
}

std::vector<MountEntry> read_mount_table() {
  std::ifstream table("/proc/self/mountinfo");
  return parse_mount_table(table);
}

}  // namespace uzram
