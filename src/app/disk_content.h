// SPDX-License-Identifier: Apache-2.0
// app/disk_content.h: whether a disk holds something, before it is written over.
//
// What:    asks libblkid for file systems, volumes, and partition tables. Only the answer "nothing"
//          lets somebody go on: two signatures, an error, or no answer are not nothing.
// Errors:  EIO the disk cannot be looked at.
// Threads: any.
// Proof:   disk_content_test.cc, tests/e2e/swap_test.py.
// Source:  libblkid's low-level probing (blkid_do_safeprobe).
#pragma once

#include <string>

#include "base/result.h"

namespace uzram {

enum class DiskContent { Nothing, Swap, Other };

struct FoundContent {
  DiskContent kind = DiskContent::Other;
  std::string name;  // "ext4", "a partition table (gpt)", "several signatures at once".
};

// `disk` is open for reading; nothing is changed.
[[nodiscard]] Result<FoundContent> probe_disk(int disk);

}  // namespace uzram
