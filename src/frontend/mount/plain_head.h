// SPDX-License-Identifier: Apache-2.0
// frontend/mount/plain_head.h: how a plain file begins, and how it will begin after a change.
//
// What:    no plain file may begin as cluster files do. Everything that changes one asks here first
//          what the first bytes will be: writes, also such as lie behind the end and leave zeros,
//          other sizes, holes. Not here: what is done about it (plain_change.cc).
// Errors:  read -> the system's.
// Threads: one at a time.
// Laws:    3.
// Proof:   plain_head_test.cc, RegularFilePlainTest.
#pragma once

#include <array>
#include <cstdint>

#include "base/result.h"
#include "base/units.h"
#include "cluster/cluster_file_format.h"

namespace uzram {

class PlainHead {
 public:
  PlainHead() = default;  // Of an empty file.
  [[nodiscard]] static Result<PlainHead> read(int file);

  void write(std::uint64_t offset, ConstBytes bytes);
  void zero(std::uint64_t offset, std::uint64_t bytes);
  void set_size(std::uint64_t bytes);

  [[nodiscard]] std::uint64_t size_bytes() const { return size_bytes_; }
  [[nodiscard]] bool is_whole() const { return size_bytes_ >= kRootMagicBytes; }
  [[nodiscard]] bool is_of_a_cluster_file() const { return is_whole() && has_root_magic(bytes_); }

 private:
  std::array<std::byte, kRootMagicBytes> bytes_{};  // Zeros behind the end.
  std::uint64_t size_bytes_ = 0;
};

// All of them, or an error.
[[nodiscard]] Result<void> write_plain_bytes(int file, std::uint64_t offset, ConstBytes bytes);

}  // namespace uzram
