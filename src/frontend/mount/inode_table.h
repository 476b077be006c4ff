// SPDX-License-Identifier: Apache-2.0
// frontend/mount/inode_table.h: the files that the kernel knows of, by what they are, not by name.
//
// What:    one Inode for each file, directory or other thing below the mount, however many names it
//          has; kept as long as the kernel, or somebody here, may ask for it. Not here: contents
//          (regular_file.h).
// Shapes:  found by device and inode number. The descriptor of each keeps its number from being
//          used again while it is here.
// Owns:    a descriptor (O_PATH) each.
// Threads: any. References stay valid between look_up or hold and forget or let_go.
// Proof:   inode_table_test.cc.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "frontend/mount/kept_flags.h"

namespace uzram {

class RegularFile;

struct InodeKey {
  dev_t device = 0;
  ino_t number = 0;
  friend bool operator==(const InodeKey&, const InodeKey&) = default;
};

struct InodeKeyHash {
  std::size_t operator()(const InodeKey& key) const {
    return std::hash<std::uint64_t>()(key.number * 31 + key.device);
  }
};

class Inode {
 public:
  Inode(FileDescriptor place, const struct stat& status);
  ~Inode();
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  // Names it for the *at calls; cannot be read from or written to.
  [[nodiscard]] int place() const { return place_.get(); }
  // The same as a path, which is followed.
  [[nodiscard]] std::string path() const;
  [[nodiscard]] bool is_folder() const { return S_ISDIR(type_); }
  [[nodiscard]] bool is_regular() const { return S_ISREG(type_); }
  [[nodiscard]] bool is_link() const { return S_ISLNK(type_); }
  // What stat shows as its number: that of its first file below, whatever took that one's place,
  // unless another one here shows it.
  [[nodiscard]] ino_t shown_number() const { return shown_number_; }

  // Opens the file itself, whatever its names are. What its mode forbids its owner, which we are,
  // is allowed for that moment.
  // Errors: EBUSY: somebody has a lease on it; others as the system says.
  [[nodiscard]] Result<FileDescriptor> open(bool will_write);
  [[nodiscard]] Result<struct stat> status();
  [[nodiscard]] Result<void> set_mode(mode_t mode);

  [[nodiscard]] KeptFlags flags();
  [[nodiscard]] Result<void> set_flags(const KeptFlags& flags);

  // Of a regular file, from when it is first looked up.
  std::unique_ptr<RegularFile> file;

 private:
  friend class InodeTable;
  const FileDescriptor place_;
  const mode_t type_;
  ino_t shown_number_;  // Constant once it is in the table.
  // Guarded by the table.
  InodeKey key_;
  std::uint64_t use_count_ = 0;

  Mutex mode_mutex_;  // Held while the mode below is not the one to show.
  Mutex flags_mutex_;
  std::optional<KeptFlags> flags_ UZ_GUARDED_BY(flags_mutex_);  // Once they were read.
};

class InodeTable {
 public:
  // What to do with an Inode that has just been made.
  using Prepare = std::function<void(Inode&)>;

  explicit InodeTable(Prepare prepare) : prepare_(std::move(prepare)) {}

  // The one that `place` (O_PATH) leads to, with one more use.
  [[nodiscard]] Inode& look_up(FileDescriptor place, const struct stat& status);
  void hold(Inode& inode);
  // The last use ends it.
  void let_go(Inode& inode, std::uint64_t use_count = 1);
  // Another file took the place of what it was: `place` leads there.
  [[nodiscard]] Result<void> replace(Inode& inode, const FileDescriptor& place);
  [[nodiscard]] std::size_t count() const;
  // Each one that is here now; it stays until `visit` returns.
  void visit_all(const std::function<void(Inode&)>& visit);

 private:
  [[nodiscard]] ino_t number_for(const InodeKey& key, std::optional<std::uint64_t> kept)
      UZ_REQUIRES(mutex_);
  [[nodiscard]] bool is_free(ino_t number, const InodeKey& key) const UZ_REQUIRES(mutex_);

  const Prepare prepare_;
  mutable Mutex mutex_;
  std::unordered_map<InodeKey, std::unique_ptr<Inode>, InodeKeyHash> inodes_ UZ_GUARDED_BY(mutex_);
  // Who shows a number that is not the one below. File systems give the numbers of files that are
  // gone to new ones.
  std::unordered_map<ino_t, InodeKey> given_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
