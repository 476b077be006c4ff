// SPDX-License-Identifier: Apache-2.0
// cluster/cluster_storage.h: the file that a cluster file lies in, or a test's stand-in for it.
//
// What:    bytes at offsets, and the promises that crash safety rests on: what was written before a
//          sync that succeeded survives a crash; what came after it may survive in any part.
// Errors:  read -> EIO: beyond the end. open_cluster_storage -> EBUSY: somebody else writes to it
//          (or, for writing, reads it); EISDIR, ENODEV: no regular file. All others: the system's.
// Threads: reads and writes may run at the same time as each other; everything else alone.
// Owns:    an open file with an advisory lock on all of it, shared for readers. Who may not write
//          to the file cannot take a writer's lock, so nobody else keeps a reader away. A reader's
//          lock keeps writers away, unless they say WritersOnly.
// Proof:   cluster_storage_test.cc.
#pragma once

#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"
#include "base/units.h"

namespace uzram {

class ClusterStorage {
 public:
  virtual ~ClusterStorage() = default;
  [[nodiscard]] virtual Result<std::uint64_t> size_bytes() const = 0;
  [[nodiscard]] virtual Result<void> read(std::uint64_t offset, MutableBytes out) const = 0;
  [[nodiscard]] virtual Result<void> write(std::uint64_t offset, ConstBytes bytes) = 0;
  [[nodiscard]] virtual Result<void> sync() = 0;
  [[nodiscard]] virtual Result<void> set_size(std::uint64_t bytes) = 0;
  // Gives space back; the stretch reads as zeros or as before. What cannot be given back stays.
  [[nodiscard]] virtual Result<void> punch(std::uint64_t offset, std::uint64_t bytes) = 0;
  // Sets space aside, so that writing there does not run out of it.
  [[nodiscard]] virtual Result<void> set_aside(std::uint64_t offset, std::uint64_t bytes) = 0;
};

enum class StorageMode {
  Read,
  Write,
  Create,  // Makes a new file, and fails with EEXIST where there is one.
};

// Whose locks keep a writer away.
enum class LockRule {
  ReadersCount,
  WritersOnly,  // For one that must not be stopped by who may only read.
};

[[nodiscard]] Result<std::unique_ptr<ClusterStorage>> open_cluster_storage(const std::string& path,
                                                                           StorageMode mode);
// The same for a file that is open already, for reading and writing unless the mode is Read.
[[nodiscard]] Result<std::unique_ptr<ClusterStorage>> adopt_cluster_storage(
    FileDescriptor file, StorageMode mode, LockRule rule = LockRule::ReadersCount);

}  // namespace uzram
