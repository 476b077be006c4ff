// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/mount_table.h: what is mounted where, as this process sees it.
//
// Shapes: paths are plain: the octal escapes of the kernel's text are undone.
// Source: proc_pid_mountinfo(5).
#pragma once

#include <istream>
#include <string>
#include <string_view>
#include <vector>

namespace uzram {

struct MountEntry {
  std::string device_number;  // "7:0"
  std::string mount_point;
};

// The kernel writes space, tab, newline and backslash as a backslash and three octal digits.
[[nodiscard]] std::string without_octal_escapes(std::string_view text);

// Lines that are not as the kernel writes them are left out.
[[nodiscard]] std::vector<MountEntry> parse_mount_table(std::istream& mountinfo);
[[nodiscard]] std::vector<MountEntry> read_mount_table();

}  // namespace uzram
