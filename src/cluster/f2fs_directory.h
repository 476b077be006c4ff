// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_directory.h: the directories of an f2fs image, and paths through them.
//
// What:    visits every entry of a directory, inline or in blocks, whatever its hash levels; finds
//          the inode of a path. Symbolic links are not followed.
// Shapes:  names are 1 to 255 bytes without '/' and NUL, whatever the image says: they are safe to
//          make files with. "." and ".." are not visited.
// Errors:  EUCLEAN with the place; ENOENT, ENOTDIR: the path; EACCES: names are encrypted.
// Memory:  a set of a directory's own blocks, so that none is read twice.
// Proof:   f2fs_directory_test.cc, f2fs_image_fuzz.cc, tests/f2fs.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "cluster/f2fs_inode.h"

namespace uzram {

struct F2fsEntry {
  std::string name;
  std::uint32_t ino = 0;
};

// `visit` returns whether to go on.
[[nodiscard]] F2fsResult<void> visit_entries(const F2fsVolume& volume, const F2fsInode& directory,
                                             const std::function<bool(const F2fsEntry&)>& visit);

// The inode of "/a/b" or "a/b"; "" and "/" are the root.
[[nodiscard]] F2fsResult<F2fsInode> find_path(const F2fsVolume& volume, std::string_view path);

}  // namespace uzram
