// SPDX-License-Identifier: Apache-2.0
// frontend/fuse/disk_links.h: a name for each disk that stays the same: <state>/dev/zramN.
//
// What:    symbolic links to disks, and, when that is wanted, /dev/zramN as well where that name
//          is free. Links, since a state folder is on a file system without device nodes.
// Owns:    the folder and the links in it; in /dev the links that it made and nobody changed.
// Errors:  from the system. A name in /dev that somebody else has is left to them.
// Threads: any; one at a time for one device.
// Proof:   disk_links_test.cc.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "base/result.h"

namespace uzram {

class DiskLinks {
 public:
  // Makes `folder` (0755) and clears the links that a killed daemon left there. `common_folder`:
  // where further links go ("/dev"); empty for none.
  static Result<std::unique_ptr<DiskLinks>> make(const std::string& folder,
                                                 const std::string& common_folder);
  // Removes all links, and the folder when nothing else is in it.
  ~DiskLinks();
  DiskLinks(const DiskLinks&) = delete;
  DiskLinks& operator=(const DiskLinks&) = delete;

  // At no moment is there a link to something else.
  Result<void> point(int id, const std::string& disk_path);
  void remove(int id);

 private:
  DiskLinks(std::string folder, FileDescriptor own, FileDescriptor common)
      : folder_(std::move(folder)), own_(std::move(own)), common_(std::move(common)) {}

  // constant after construction
  const std::string folder_;
  const FileDescriptor own_;
  const FileDescriptor common_;  // Not open: there is none.
  Mutex mutex_;
  std::map<int, std::string> targets_ UZ_GUARDED_BY(mutex_);
};

}  // namespace uzram
