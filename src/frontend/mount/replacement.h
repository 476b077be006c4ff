// SPDX-License-Identifier: Apache-2.0
// frontend/mount/replacement.h: gives a file other bytes below the mount, as a whole or not at all.
//
// What:    a new file is written beside, made safe, given the owner, mode, times and xattrs of the
//          old one, and takes its name with one rename. A crash leaves the old one or the new one.
//          If somebody below gives the name to another file meanwhile, that one keeps it.
//          For the change between plain and compressed. Not here: what is written (file_change.cc).
// Errors:  begin -> EMLINK: it has other names, which would keep the old bytes; ENOENT: it has
//          none; EXDEV: another file system is mounted there. publish -> EBUSY: the name is
//          another file's. Others: the system's. The old file is unchanged then.
// Threads: one at a time for one file.
// Laws:    3.
// Proof:   tests/mount.
#pragma once

#include "frontend/mount/volume.h"

namespace uzram {

class Replacement {
 public:
  [[nodiscard]] static Result<Replacement> begin(Volume& volume, Inode& inode);
  Replacement(Replacement&&) = default;
  ~Replacement();

  // Open for reading and writing, empty at first.
  [[nodiscard]] int file() const { return file_.get(); }
  // Requires: what was written there is safe.
  [[nodiscard]] Result<void> publish();

 private:
  Replacement(Volume& volume, Inode& inode) : volume_(volume), inode_(inode) {}
  [[nodiscard]] KeptFlags kept_flags() const;
  Result<void> copy_attributes(const struct stat& old_status);
  Result<void> take_name(const Volume::Name& target, const struct stat& old_status);

  Volume& volume_;
  Inode& inode_;
  FileDescriptor file_;
  std::string name_;  // In the private folder; empty once it is in its place.
};

}  // namespace uzram
