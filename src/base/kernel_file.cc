// SPDX-License-Identifier: Apache-2.0
#include "base/kernel_file.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>

#include "base/file_descriptor.h"

namespace uzram {

std::string_view read_kernel_file(const char* path, std::span<char> buffer) noexcept {
  const FileDescriptor file(::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!file.is_open()) return {};
  std::size_t count = 0;
  while (count < buffer.size()) {
    const ssize_t got = ::read(file.get(), buffer.data() + count, buffer.size() - count);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    count += static_cast<std::size_t>(got);
  }
  return {buffer.data(), count};
}

std::optional<std::uint64_t> leading_number(std::string_view text) noexcept {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return std::nullopt;
  text.remove_prefix(start);
  std::uint64_t number = 0;
  const auto done = std::from_chars(text.data(), text.data() + text.size(), number);
  if (done.ec != std::errc{}) return std::nullopt;
  return number;
}

std::optional<std::uint64_t> number_after(std::string_view text, std::string_view key) noexcept {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.substr(0, key.size()) == key) return leading_number(line.substr(key.size()));
    text.remove_prefix(line.size() == text.size() ? line.size() : line.size() + 1);
  }
  return std::nullopt;
}

}  // namespace uzram
