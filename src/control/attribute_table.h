// SPDX-License-Identifier: Apache-2.0
// control/attribute_table.h: every attribute of a device and of the class, as the kernel's sysfs
// has them.
//
// What:    one table of names, modes, texts and errno values; the tree, the command line, JSON
//          and the socket are made from it. Not here: files (frontend/fuse), words for a shell
//          (app/), what the longer rows say (algorithm_attributes.h, background_attributes.h,
//          block_state.h, stat_text.h).
// Shapes:  a text is what one read() or write() of a sysfs file carries. Shown texts end in a
//          newline or are empty; stored texts may end in one. The callers cut a write to 4096 bytes
//          and drop an empty one, as sysfs does. A text that is too long for that is listed in
//          parts; such rows are files of debugfs in the kernel.
// Errors:  InputError: the errno that the kernel gives, and one line that says what would have
//          been right.
// Threads: every function from any thread. Storing may block (reset, disksize, compact, idle,
//          recompress); showing does not.
// Proof:   attribute_table_test.cc (golden texts), attribute_error_test.cc, attribute_fuzz.cc.
// Source:  the kernel's Documentation/admin-guide/blockdev/zram.rst and what its zram answers.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/units.h"
#include "control/input_error.h"

namespace uzram {

class Device;
class DeviceSet;

// Part of a listed text: whole lines of one width, one for a page, in the order of the pages.
struct TextPart {
  std::string text;
  std::optional<PageIndex> next;  // Where the next part begins; absent at the end.
};

struct Attribute {
  std::string_view name;
  unsigned mode;             // 0444, 0400, 0200 or 0644: what stat() of the file shows.
  std::string_view summary;  // One line for `get --list` and the manual.
  InputResult<std::string> (*show)(const Device& device);  // Null: write-only, or listed.
  InputResult<void> (*store)(Device& device, std::string_view text);  // Null: read-only.
  bool is_size = false;  // Takes a size, which a command line may check before it sends it.
  // Lines for the pages from `first` on, at most `most_lines`. Null: not listed.
  InputResult<TextPart> (*list)(const Device& device, PageIndex first,
                                std::size_t most_lines) = nullptr;
  std::size_t line_bytes = 0;  // Of a listed text.
  // Whose debugfs folder has it in the kernel ("zram"); empty: it is in sysfs.
  std::string_view debug_folder = {};
  [[nodiscard]] constexpr bool is_debug() const { return !debug_folder.empty(); }
};

// An attribute of /sys/class/zram-control.
struct ClassAttribute {
  std::string_view name;
  unsigned mode;
  std::string_view summary;
  // Showing may change something: reading hot_add adds a device and answers its id. So never on a
  // mere stat().
  InputResult<std::string> (*show)(DeviceSet& devices);
  InputResult<void> (*store)(DeviceSet& devices, std::string_view text);
};

// In the order in which they are listed. Names are unique.
[[nodiscard]] std::span<const Attribute> device_attributes();
[[nodiscard]] std::span<const ClassAttribute> class_attributes();
// Returns: nullptr when there is none of that name.
[[nodiscard]] const Attribute* find_attribute(std::string_view name);
[[nodiscard]] const ClassAttribute* find_class_attribute(std::string_view name);

// By name. Errors: ENOENT no such attribute; EACCES write-only or read-only; EFBIG it is listed;
// otherwise the attribute's own.
[[nodiscard]] InputResult<std::string> show_attribute(const Device& device, std::string_view name);
[[nodiscard]] InputResult<void> store_attribute(Device& device, std::string_view name,
                                                std::string_view text);

}  // namespace uzram
