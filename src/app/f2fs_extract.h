// SPDX-License-Identifier: Apache-2.0
// app/f2fs_extract.h: what is in an f2fs image, written into a directory.
//
// What:    files with their holes, directories, symbolic links, hard links and FIFOs, with modes
//          (without set-user-ID and the like) and times; if asked for, with owners and with xattrs
//          of users, which give nobody any rights. Not: other xattrs, devices and sockets.
// Errors:  each is a line of ImageFaults with the path, and the rest is extracted.
// Laws:    nothing outside the directory is written, whatever names and links the image has: paths
//          are resolved below it and without symbolic links, and nothing that exists is opened.
// Proof:   tests/f2fs.
#pragma once

#include "app/f2fs_image.h"

namespace uzram {

struct ExtractOptions {
  bool has_owners = false;  // For root.
  bool has_xattrs = false;  // Those whose names begin with "user.", of files and directories.
};

// `top` is a directory whose content goes into `target`, or something else that goes there as
// `name`.
// `target` is made when it does not exist.
[[nodiscard]] InputResult<void> extract_tree(const F2fsVolume& volume, const F2fsInode& top,
                                             const std::string& name, const std::string& target,
                                             const ExtractOptions& options, ImageFaults& faults);

}  // namespace uzram
