// SPDX-License-Identifier: Apache-2.0
// frontend/mount/volume.h: the directory below a mount, and all that its files share.
//
// What:    the inodes, the committer, the options, and the private folder. Not here: requests
//          (mount_operations.h).
// Owns:    the directory's descriptor, and unless it is mounted read-only the private folder, whose
//          lock keeps other mounts for writing away.
// Errors:  open -> as PrivateFolder::open; ENOTDIR and others of the system.
// Threads: any.
// Proof:   tests/mount.
#pragma once

#include <memory>
#include <shared_mutex>
#include <string>

#include "base/file_descriptor.h"
#include "frontend/mount/change_times.h"
#include "frontend/mount/committer.h"
#include "frontend/mount/inode_table.h"
#include "frontend/mount/late_answers.h"
#include "frontend/mount/mount_options.h"
#include "frontend/mount/private_folder.h"

namespace uzram {

class Volume {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Volume>> open(const std::string& directory,
                                                            MountOptions options);
  ~Volume();

  [[nodiscard]] const MountOptions& options() const { return options_; }
  [[nodiscard]] InodeTable& inodes() { return inodes_; }
  [[nodiscard]] Committer& committer() { return committer_; }
  [[nodiscard]] LateAnswers& late_answers() { return late_answers_; }
  [[nodiscard]] ChangeTimes& change_times() { return change_times_; }
  [[nodiscard]] Inode& root() { return *root_; }

  // Has the kernel write what it keeps of a file and has not told yet. Not from a thread that its
  // writes may need.
  using WriteBack = std::function<void(Inode&)>;
  void set_write_back(WriteBack write_back) { write_back_ = std::move(write_back); }
  // The pages that it wrote, or could not write, it then reads anew.
  void write_back(Inode& inode) const {
    if (write_back_) write_back_(inode);
  }
  [[nodiscard]] int top() const { return top_.get(); }

  // Who gives and takes names holds it shared; who puts a file in the place of another, alone.
  [[nodiscard]] std::shared_mutex& names_mutex() { return names_mutex_; }

  // Where a file has one of its names now.
  struct Name {
    FileDescriptor folder;
    std::string name;
  };
  // Errors: ENOENT: it has none below the directory.
  [[nodiscard]] Result<Name> find_name(const Inode& inode) const;

  // Whether a file of this name, in this directory, is to be compressed.
  [[nodiscard]] bool wants_compression(Inode& folder, std::string_view name) const;
  // The same for one that has a name already, or a flag.
  [[nodiscard]] bool wants_compression(Inode& inode) const;
  [[nodiscard]] ClusterOptions cluster_options(Inode& inode) const;
  // Smaller ones take no less as clusters: the map and the roots cost three blocks.
  [[nodiscard]] std::uint64_t small_file_bytes() const;

  // None: nothing can be changed below.
  [[nodiscard]] PrivateFolder* private_folder() { return private_folder_.get(); }
  [[nodiscard]] Result<void> remove_private_folder();

 private:
  Volume(FileDescriptor top, std::string directory, MountOptions options,
         std::unique_ptr<PrivateFolder> private_folder);
  Result<void> look_up_root();

  const FileDescriptor top_;
  const std::string directory_;  // Without symbolic links.
  const MountOptions options_;
  const std::unique_ptr<PrivateFolder> private_folder_;
  ChangeTimes change_times_;
  InodeTable inodes_;
  Inode* root_ = nullptr;
  std::shared_mutex names_mutex_;
  WriteBack write_back_;
  Committer committer_;
  LateAnswers late_answers_;  // Ends first.
};

}  // namespace uzram
