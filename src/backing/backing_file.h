// SPDX-License-Identifier: Apache-2.0
// backing/backing_file.h: a file or block device, opened to be a backing store.
//
// What:    opened past the page cache where the file system permits, and claimed: a block device
//          with O_EXCL (which mounts and swap respect too), a regular file with flock(2). Not here:
//          requests (uring_store.h, threaded_store.h).
// Owns:    the descriptor, and with it the claim. A process that inherits the descriptor inherits
//          the claim.
// Errors:  as open_backing_store.h says.
// Proof:   open_backing_store_test.cc.
#pragma once

#include <optional>
#include <string>

#include "backing/backing_store.h"
#include "base/file_descriptor.h"

namespace uzram {

struct BackingFile {
  FileDescriptor descriptor;
  std::uint64_t block_count = 0;
  bool is_set_aside = false;  // A file that has all its blocks: they stay its own.
};

// Errors: EBUSY also for a regular file that a loop device, swap, another store or a program that
// writes to it uses.
Result<BackingFile> open_backing_file(const std::string& path);
// Who uses the file at this path, for a message; nullopt when nobody is seen.
[[nodiscard]] std::optional<std::string> find_backing_use(const std::string& path);
Result<BackingFile> adopt_open_file(FileDescriptor descriptor);

}  // namespace uzram
