// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/mount_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace uzram {
namespace {

// On one line, whatever bytes the word has.
std::string quoted(std::string_view word) {
  std::string text = "'";
  for (const char each : word) {
    if (each < ' ' || each > '~')
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(each));
    else
      text += each;
  }
  return text + "'";
}

OptionResult add_extension(std::string_view name, std::string_view value,
                           std::vector<std::string>& list) {
  if (value.empty() || value.size() >= kExtensionEnd) {
    return tl::unexpected(
        fmt::format("{}={} must have 1 to {} characters", name, quoted(value), kExtensionEnd - 1));
  }
  if (std::find(list.begin(), list.end(), value) != list.end()) return {};
  if (list.size() == kMostExtensions) {
    return tl::unexpected(fmt::format("{} can be given at most {} times", name, kMostExtensions));
  }
  list.emplace_back(value);
  return {};
}

OptionResult read_algorithm(std::string_view value, MountOptions& options) {
  if (read_cluster_algorithm(value, options.cluster)) return {};
  return tl::unexpected(
      fmt::format("compress_algorithm={} is none of lzo, lzo-rle, lz4, lz4:3 to lz4:16, zstd, "
                  "zstd:1 to zstd:22",
                  quoted(value)));
}

OptionResult read_log_size(std::string_view value, MountOptions& options) {
  unsigned log_pages = 0;
  const char* const end = value.data() + value.size();
  const auto parsed = std::from_chars(value.data(), end, log_pages);
  if (parsed.ec != std::errc{} || parsed.ptr != end || log_pages < kLeastClusterLog ||
      log_pages > kMostClusterLog) {
    return tl::unexpected(fmt::format("compress_log_size={} must be {} to {}", quoted(value),
                                      kLeastClusterLog, kMostClusterLog));
  }
  options.cluster.log_pages = log_pages;
  return {};
}

OptionResult read_mode(std::string_view value, MountOptions& options) {
  if (value != "fs" && value != "user")
    return tl::unexpected(fmt::format("compress_mode={} must be fs or user", quoted(value)));
  options.is_user_mode = value == "user";
  return {};
}

OptionResult read_value(std::string_view name, std::string_view value, MountOptions& options) {
  if (name == "compress_algorithm") return read_algorithm(value, options);
  if (name == "compress_log_size") return read_log_size(value, options);
  if (name == "compress_mode") return read_mode(value, options);
  if (name == "compress_extension") return add_extension(name, value, options.rule.compress);
  if (name == "nocompress_extension") return add_extension(name, value, options.rule.do_not);
  return tl::unexpected(fmt::format("option {} takes no value, or is not known", quoted(name)));
}

OptionResult read_word(std::string_view word, MountOptions& options) {
  const std::size_t equals = word.find('=');
  if (equals != std::string_view::npos)
    return read_value(word.substr(0, equals), word.substr(equals + 1), options);
  if (word == "compress_chksum")
    options.cluster.has_checksum = true;
  else if (word == "compress_cache")
    options.cache_bytes = MountOptions::kCompressCacheBytes;
  else if (word == "allow_other")
    options.allows_other = true;
  else if (word == "ro" || word == "rw")
    options.is_read_only = word == "ro";
  else
    return tl::unexpected(fmt::format(
        "option {} is none of compress_algorithm=, compress_log_size=, compress_extension=, "
        "nocompress_extension=, compress_chksum, compress_mode=, compress_cache, allow_other, ro",
        quoted(word)));
  return {};
}

}  // namespace

OptionResult read_mount_options(std::string_view words, MountOptions& options) {
  while (!words.empty()) {
    const std::size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    words.remove_prefix(comma == std::string_view::npos ? words.size() : comma + 1);
    if (word.empty()) continue;
    if (auto read = read_word(word, options); !read) return read;
  }
  return {};
}

OptionResult check_mount_options(const MountOptions& options) {
  for (const std::string& each : options.rule.do_not) {
    const auto& compress = options.rule.compress;
    if (std::find(compress.begin(), compress.end(), each) != compress.end()) {
      return tl::unexpected(fmt::format(
          "the same extension {} cannot be in both compress_extension and nocompress_extension",
          quoted(each)));
    }
    if (each == "*" && !compress.empty())
      return tl::unexpected(
          std::string("nocompress_extension=* leaves nothing for compress_extension"));
  }
  return {};
}

}  // namespace uzram
