// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/kept_flags.h"

#include <fmt/format.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace uzram {
namespace {

constexpr std::array<const char*, 2> kXattrNames = {"user.uzram.flags", "trusted.uzram.flags"};
constexpr std::size_t kMostTextBytes = 64;

std::optional<KeptFlags::Choice> read_choice(std::string_view text) {
  unsigned algorithm = 0;
  unsigned log_pages = 0;
  const char* const end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, algorithm);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, log_pages);
  if (second.ec != std::errc{} || second.ptr != end) return std::nullopt;
  ClusterOptions options;
  options.algorithm = static_cast<ClusterAlgorithm>(algorithm);
  options.log_pages = log_pages;
  if (algorithm >= kClusterAlgorithmCount || !is_valid(options)) return std::nullopt;
  return KeptFlags::Choice{options.algorithm, log_pages};
}

std::optional<std::uint64_t> read_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, number);
  if (read.ec != std::errc{} || read.ptr != end || number == 0) return std::nullopt;
  return number;
}

Result<void> remove_all(const std::string& path) {
  for (const char* const name : kXattrNames) {
    if (::removexattr(path.c_str(), name) != 0 && errno != ENODATA && errno != EOPNOTSUPP &&
        errno != EPERM) {
      return fail_errno();
    }
  }
  return {};
}

}  // namespace

std::string kept_flags_text(const KeptFlags& flags) {
  std::string text;
  if (flags.compress == CompressFlag::Compress) text += 'c';
  if (flags.compress == CompressFlag::DoNot) text += 'm';
  if (flags.is_released) text += 'r';
  if (flags.choice) {
    text += fmt::format(":{}:{}", static_cast<unsigned>(flags.choice->algorithm),
                        flags.choice->log_pages);
  }
  if (flags.number) text += fmt::format("#{}", *flags.number);
  return text;
}

KeptFlags read_kept_flags_text(std::string_view text) {
  KeptFlags flags;
  if (const std::size_t mark = text.find('#'); mark != std::string_view::npos) {
    flags.number = read_number(text.substr(mark + 1));
    text = text.substr(0, mark);
  }
  const std::size_t colon = text.find(':');
  for (const char letter : text.substr(0, colon)) {
    if (letter == 'c') flags.compress = CompressFlag::Compress;
    if (letter == 'm') flags.compress = CompressFlag::DoNot;
    if (letter == 'r') flags.is_released = true;
  }
  if (colon != std::string_view::npos) flags.choice = read_choice(text.substr(colon + 1));
  return flags;
}

KeptFlags load_kept_flags(const std::string& path) {
  for (const char* const name : kXattrNames) {
    std::array<char, kMostTextBytes> text;
    const ssize_t got = ::getxattr(path.c_str(), name, text.data(), text.size());
    if (got >= 0) return read_kept_flags_text({text.data(), static_cast<std::size_t>(got)});
  }
  return {};
}

Result<void> store_kept_flags(const std::string& path, const KeptFlags& flags) {
  if (flags == KeptFlags{}) return remove_all(path);
  const std::string text = kept_flags_text(flags);
  int code = 0;
  for (const char* const name : kXattrNames) {
    if (::setxattr(path.c_str(), name, text.data(), text.size(), 0) == 0) return {};
    if (code == 0) code = errno;
    if (errno != EOPNOTSUPP && errno != EPERM) return fail_errno();
  }
  return fail(code);
}

bool is_kept_flags_name(std::string_view xattr) {
  return std::find(kXattrNames.begin(), kXattrNames.end(), xattr) != kXattrNames.end();
}

}  // namespace uzram
