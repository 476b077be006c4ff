// SPDX-License-Identifier: Apache-2.0
#include "frontend/nbd/plugin_settings.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>

#include "control/algorithm_attributes.h"
#include "control/attribute_table.h"
#include "control/path_words.h"
#include "control/size_text.h"
#include "device/device.h"

namespace uzram {

namespace {

// NBD carries sizes as signed 64-bit numbers in nbdkit; a page is left for rounding up.
constexpr std::uint64_t kMostDiskBytes = std::numeric_limits<std::int64_t>::max() - kPageBytes + 1;

InputResult<std::uint64_t> read_size_of(std::string_view key, std::string_view value) {
  InputResult<std::uint64_t> bytes = read_size(fmt::format("{}=", key), value);
  if (!bytes) bytes.error().text += fmt::format(", like {}=512M", key);
  return bytes;
}

InputResult<void> take_size(PluginSettings& settings, std::string_view value) {
  const InputResult<std::uint64_t> bytes = read_size_of("size", value);
  if (!bytes) return tl::unexpected<InputError>(bytes.error());
  if (*bytes == 0 || *bytes > kMostDiskBytes) {
    return refuse(EINVAL, fmt::format("size={} is not between 1 and 8E; try size=1G", value));
  }
  settings.disk_bytes = *bytes;
  return {};
}

InputResult<void> take_algorithm(PluginSettings& settings, std::string_view value) {
  Device rehearsal(0);
  if (!rehearsal.set_algorithm(value)) {
    return refuse(EINVAL, fmt::format("algorithm={} is not an algorithm; write one of {}",
                                      quote(value), algorithm_names()));
  }
  settings.algorithm = value;
  return {};
}

InputResult<int> parse_whole_number(std::string_view name, std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc{} && end == text.data() + text.size()) return number;
  return refuse(EINVAL,
                fmt::format("{}={} is not a whole number; try {}=3", name, quote(text), name));
}

InputResult<void> take_level(PluginSettings& settings, std::string_view value) {
  const InputResult<int> number = parse_whole_number("level", value);
  if (!number) return tl::unexpected<InputError>(number.error());
  settings.level = *number;
  return {};
}

InputResult<void> take_window_bits(PluginSettings& settings, std::string_view value) {
  const InputResult<int> number = parse_whole_number("winbits", value);
  if (!number) return tl::unexpected<InputError>(number.error());
  settings.window_bits = *number;
  return {};
}

// algorithm_params has no way to write a quotation mark inside a path.
InputResult<void> take_dictionary(PluginSettings& settings, std::string_view value) {
  if (value.empty() || value.find('"') != std::string_view::npos) {
    return refuse(EINVAL, fmt::format("dict={} is not a path that can be used; name a file "
                                      "without quotation marks in its path",
                                      quote(value)));
  }
  settings.dictionary_path = value;
  return {};
}

InputResult<void> take_mem_limit(PluginSettings& settings, std::string_view value) {
  const InputResult<std::uint64_t> bytes = read_size_of("mem_limit", value);
  if (!bytes) return tl::unexpected<InputError>(bytes.error());
  settings.mem_limit_bytes = *bytes;
  return {};
}

InputResult<void> take_check(PluginSettings& settings, std::string_view value) {
  if (value != "on" && value != "off") {
    return refuse(EINVAL,
                  fmt::format("check={} is neither; write check=on or check=off", quote(value)));
  }
  settings.has_page_checks = value == "on";
  return {};
}

InputResult<void> take_policy(PluginSettings& settings, std::string_view value) {
  Device rehearsal(0);
  InputResult<void> outcome = store_attribute(rehearsal, "policy", value);
  if (outcome) settings.policy = value;
  return outcome;
}

InputResult<void> take_control(PluginSettings& settings, std::string_view value) {
  if (value.empty()) {
    return refuse(EINVAL,
                  "control= needs the path of the socket to make, like "
                  "control=/run/user/1000/uzram.control");
  }
  settings.control_path = value;
  return {};
}

constexpr std::string_view kBackingName = "backing_dev";

// Attributes that make sense before the disk has its size; others refuse by themselves.
bool is_setting(std::string_view name) {
  const Attribute* attribute = find_attribute(name);
  return attribute != nullptr && attribute->store != nullptr && name != "disksize" &&
         name != "reset";
}

InputResult<void> take_attribute(PluginSettings& settings, std::string_view setting) {
  const std::size_t equals = setting.find('=');
  const std::string_view name = setting.substr(0, equals);
  if (equals == std::string_view::npos || !is_setting(name)) {
    return refuse(EINVAL,
                  fmt::format("set={} is not ATTRIBUTE=VALUE, like set=use_dedup=1; uzram get "
                              "--list shows all attributes",
                              quote(setting)));
  }
  settings.attributes.emplace_back(name, with_absolute_paths(name, setting.substr(equals + 1)));
  return {};
}

constexpr std::array<PluginKey, kPluginKeyCount> kPluginKeys{
    PluginKey{"size", "SIZE", "(required) size of the disk, like 1G", take_size},
    PluginKey{"algorithm", "NAME", "compression algorithm, as comp_algorithm names it",
              take_algorithm},
    PluginKey{"level", "N", "level of the algorithm", take_level},
    PluginKey{"dict", "FILE", "dictionary of the algorithm", take_dictionary},
    PluginKey{"winbits", "N", "window of deflate, as deflate.winbits", take_window_bits},
    PluginKey{"mem_limit", "SIZE", "most memory that packed pages may use; 0 for no limit",
              take_mem_limit},
    PluginKey{"check", "on|off", "verify each packed page when it is read (standard: on)",
              take_check},
    PluginKey{"policy", "LINE", "what the disk does by itself, as uzram(1) has it (standard: off)",
              take_policy},
    PluginKey{"set", "NAME=VALUE",
              "an attribute that is set before the size, as uzram create --set", take_attribute},
    PluginKey{"control", "SOCKET", "serve the control socket of uzram(1) here", take_control},
};

// A device passes over what its algorithm does not take, as the kernel does; a person who types a
// key wants to know.
InputResult<void> check_algorithm_takes(const PluginSettings& settings, const CodecInfo& codec) {
  const auto takes_no = [&codec](std::string_view key) {
    return refuse(EINVAL, fmt::format("{} takes no {}; leave {}= out", codec.name, key, key));
  };
  if (settings.level) {
    const LevelRange& range = codec.level;
    if (range.lowest == 0 && range.highest == 0) return takes_no("level");
    if (*settings.level < range.lowest || *settings.level > range.highest) {
      return refuse(EINVAL, fmt::format("level={} is not a level of {}; its levels are {} to {}",
                                        *settings.level, codec.name, range.lowest, range.highest));
    }
  }
  if (settings.window_bits && !codec.takes_window_bits) return takes_no("winbits");
  if (!settings.dictionary_path.empty() && !codec.takes_dictionary) return takes_no("dict");
  return {};
}

// name=<VALUE>  summary, one line each.
constexpr std::size_t kHelpColumn = 20;

constexpr std::size_t help_bytes() {
  std::size_t bytes = 0;
  for (const PluginKey& key : kPluginKeys) bytes += kHelpColumn + key.summary.size() + 1;
  return bytes;
}

constexpr auto make_help() {
  std::array<char, help_bytes() + 1> text{};
  std::size_t used = 0;
  const auto append = [&](std::string_view part) {
    for (const char letter : part) text[used++] = letter;
  };
  for (const PluginKey& key : kPluginKeys) {
    const std::size_t line_start = used;
    append(key.name);
    append("=<");
    append(key.value);
    append(">");
    while (used < line_start + kHelpColumn) text[used++] = ' ';
    append(key.summary);
    append(&key == &kPluginKeys.back() ? "" : "\n");
  }
  return text;
}

constexpr auto kHelp = make_help();

}  // namespace

const std::array<PluginKey, kPluginKeyCount>& plugin_keys() { return kPluginKeys; }

const char* plugin_keys_help() { return kHelp.data(); }

InputResult<void> take_key(PluginSettings& settings, std::string_view name,
                           std::string_view value) {
  for (const PluginKey& key : kPluginKeys) {
    if (key.name == name) return key.take(settings, value);
  }
  if (is_setting(name)) return take_attribute(settings, fmt::format("{}={}", name, value));
  std::string names;
  for (const PluginKey& key : kPluginKeys) {
    names += fmt::format("{}{}", names.empty() ? "" : ", ", key.name);
  }
  return refuse(EINVAL,
                fmt::format("{} is not a key of this plug-in; it takes {}, and attributes that are "
                            "set before the size",
                            quote(name), names));
}

InputResult<void> open_backing_stores(const PluginSettings& settings, Device& device) {
  for (const auto& [name, text] : settings.attributes) {
    if (name != kBackingName) continue;
    if (InputResult<void> opened = store_attribute(device, name, text); !opened) return opened;
  }
  return {};
}

InputResult<void> apply_settings(const PluginSettings& settings, Device& device,
                                 BackingStores stores) {
  if (!settings.algorithm.empty()) {
    InputResult<void> outcome = store_attribute(device, "comp_algorithm", settings.algorithm);
    if (!outcome) return outcome;
  }
  if (InputResult<void> taken = check_algorithm_takes(settings, device.algorithm()); !taken) {
    return taken;
  }
  std::string params;
  if (settings.level) params += fmt::format(" level={}", *settings.level);
  if (settings.window_bits) params += fmt::format(" deflate.winbits={}", *settings.window_bits);
  if (!settings.dictionary_path.empty()) {
    params += fmt::format(" dict=\"{}\"", settings.dictionary_path);
  }
  if (!params.empty()) {
    InputResult<void> outcome = store_attribute(device, "algorithm_params", params);
    if (!outcome) return outcome;
  }
  if (const Result<void> outcome = device.set_page_checks(settings.has_page_checks); !outcome) {
    return refuse(outcome.error().code, "check: the device has its disksize already");
  }
  device.set_mem_limit(settings.mem_limit_bytes);
  for (const auto& [name, text] : settings.attributes) {
    if (name == kBackingName) continue;
    if (InputResult<void> stored = store_attribute(device, name, text); !stored) return stored;
  }
  if (stores == BackingStores::Open) {
    if (InputResult<void> opened = open_backing_stores(settings, device); !opened) return opened;
  }
  if (settings.policy.empty()) return {};
  return store_attribute(device, "policy", settings.policy);
}

std::string explain_disksize_error(const PluginSettings& settings, const Device& device, int code) {
  const CodecInfo& codec = device.algorithm();
  if (code == EINVAL && settings.window_bits) {
    return fmt::format("winbits={} is not a window of {}", *settings.window_bits, codec.name);
  }
  if (code == EINVAL && !settings.dictionary_path.empty()) {
    return fmt::format("{} cannot use the dictionary {}", codec.name,
                       quote(settings.dictionary_path));
  }
  return fmt::format("a disk of {} bytes cannot be made here ({})", settings.disk_bytes.value_or(0),
                     errno_name(code));
}

}  // namespace uzram
