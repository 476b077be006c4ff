// SPDX-License-Identifier: Apache-2.0
// cluster/block_source.h: blocks of 4 KiB to read: a file, a block device, or a test's own.
//
// Errors:  read -> EINVAL: beyond the end; EIO and others: the system's. open_block_source -> the
//          system's; EISDIR and ENODEV for what has no blocks.
// Threads: reads may run at the same time.
// Proof:   block_source_test.cc.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace uzram {

class BlockSource {
 public:
  virtual ~BlockSource() = default;
  // Whole blocks; a rest behind the last one cannot be read.
  [[nodiscard]] virtual std::uint64_t block_count() const = 0;
  // Requires: `out` is whole blocks. Errors: `out` is then unspecified.
  [[nodiscard]] virtual Result<void> read(std::uint64_t first_block, MutableBytes out) const = 0;
};

// Opens a regular file or a block device for reading.
[[nodiscard]] Result<std::unique_ptr<BlockSource>> open_block_source(const std::string& path);

}  // namespace uzram
