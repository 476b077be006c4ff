// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/plain_head.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

namespace uzram {

Result<PlainHead> PlainHead::read(int file) {
  PlainHead head;
  struct stat status {};
  if (::fstat(file, &status) != 0) return fail_errno();
  if (::pread(file, head.bytes_.data(), head.bytes_.size(), 0) < 0) return fail_errno();
  head.size_bytes_ = static_cast<std::uint64_t>(status.st_size);
  return head;
}

void PlainHead::write(std::uint64_t offset, ConstBytes bytes) {
  if (bytes.empty()) return;
  for (std::uint64_t i = offset; i < bytes_.size() && i - offset < bytes.size(); ++i)
    bytes_[i] = bytes[i - offset];
  size_bytes_ = std::max(size_bytes_, offset + bytes.size());
}

void PlainHead::zero(std::uint64_t offset, std::uint64_t bytes) {
  for (std::uint64_t i = offset; i < bytes_.size() && i - offset < bytes; ++i)
    bytes_[i] = std::byte{0};
}

void PlainHead::set_size(std::uint64_t bytes) {
  for (std::uint64_t i = bytes; i < bytes_.size(); ++i) bytes_[i] = std::byte{0};
  size_bytes_ = bytes;
}

Result<void> write_plain_bytes(int file, std::uint64_t offset, ConstBytes bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail_errno();
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
  return {};
}

}  // namespace uzram
