// SPDX-License-Identifier: Apache-2.0
// frontend/mount/private_folder.h: the one folder below a mount that is the mount's own.
//
// What:    files that are to take the place of others are made there, and a lock there says that
//          the directory is mounted for writing. Nobody else may open, make or rename anything in
//          it, wherever it is moved. Not here: how files take a place (replacement.h).
// Shapes:  `.uzram`, mode 0700, of the user of this process; in it `lock` and files with numbers.
// Owns:    the folder, which is held by its descriptor, and the lock.
// Errors:  open -> EBUSY: another mount has the lock; EPERM: what has the name is somebody else's,
//          or others may write to it; what the system says.
// Threads: open and remove from one; make_file from any.
// Proof:   private_folder_test.cc, tests/mount/life_test.py.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "base/result.h"

namespace uzram {

// In the directory itself; the mount does not show it.
inline constexpr const char* kPrivateFolder = ".uzram";

class PrivateFolder {
 public:
  // In the directory `top`, without what a crash left in it.
  [[nodiscard]] static Result<std::unique_ptr<PrivateFolder>> open(int top);

  [[nodiscard]] int place() const { return place_.get(); }
  // A new, empty file, open for reading and writing. Returns: its name.
  [[nodiscard]] Result<std::string> make_file(FileDescriptor& file);
  // With all that is in it; the lock ends.
  [[nodiscard]] Result<void> remove(int top);

 private:
  PrivateFolder(FileDescriptor place, FileDescriptor lock)
      : place_(std::move(place)), lock_(std::move(lock)) {}

  const FileDescriptor place_;
  FileDescriptor lock_;
  std::atomic<std::uint64_t> count_ = 0;  // Numbers, no order.
};

}  // namespace uzram
