// SPDX-License-Identifier: Apache-2.0
// frontend/nbd/plugin_settings.h: the KEY=VALUE words after `nbdkit uzram`.
//
// What:    the table of keys, their syntax, and what they do to a device. Not here: nbdkit's
//          callbacks (plugin.cc), the life of the device (served_device.h), which levels an
//          algorithm takes (codec/).
// Units:   sizes are bytes, written as control/size_text.h reads them.
// Errors:  every refusal is an InputError whose line says what would have been right.
// Threads: none of it is shared; nbdkit calls from one thread before it serves.
// Proof:   plugin_settings_test.cc; tests/nbd/manual_test.py holds the table against the manual
//          and --help.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "control/input_error.h"

namespace uzram {

class Device;

struct PluginSettings {
  std::optional<std::uint64_t> disk_bytes;
  std::string algorithm;  // Empty: the device's standard.
  std::optional<int> level;
  std::optional<int> window_bits;
  std::string dictionary_path;
  std::uint64_t mem_limit_bytes = 0;  // 0: no limit.
  bool has_page_checks = true;
  std::string policy;        // A line of the attribute; empty: off.
  std::string control_path;  // Empty: no control socket.
  // Attributes and their texts, in the order given.
  std::vector<std::pair<std::string, std::string>> attributes;
};

struct PluginKey {
  std::string_view name;
  std::string_view value;  // What `--help` shows behind the '='.
  std::string_view summary;
  InputResult<void> (*take)(PluginSettings& settings, std::string_view value);
};

// In the order in which `--help` shows them. Names are unique. The first may be given without its
// name.
inline constexpr std::size_t kPluginKeyCount = 10;
[[nodiscard]] const std::array<PluginKey, kPluginKeyCount>& plugin_keys();
// The table as `nbdkit uzram --help` prints it.
[[nodiscard]] const char* plugin_keys_help();

// One KEY=VALUE. A key that is given twice counts the second time; `set` adds up. The name of an
// attribute that is no key itself is the same as set=NAME=VALUE. Relative paths in attributes are
// of the current folder.
[[nodiscard]] InputResult<void> take_key(PluginSettings& settings, std::string_view name,
                                         std::string_view value);

// A backing store is opened by one process at a time, and by the user who serves.
enum class BackingStores { LeaveOut, Open };

// Everything but the size, onto a device without disksize. Reads the dictionary. Refuses what the
// algorithm does not take.
[[nodiscard]] InputResult<void> apply_settings(const PluginSettings& settings, Device& device,
                                               BackingStores stores = BackingStores::Open);
// What LeaveOut has left.
[[nodiscard]] InputResult<void> open_backing_stores(const PluginSettings& settings, Device& device);

// Why `disksize` was refused with this errno value, in the words of the keys.
[[nodiscard]] std::string explain_disksize_error(const PluginSettings& settings,
                                                 const Device& device, int code);

}  // namespace uzram
