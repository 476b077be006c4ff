// SPDX-License-Identifier: Apache-2.0
// cluster/f2fs_tree.h: a walk over everything below a directory of an f2fs image.
//
// What:    visits directories before what they hold; each directory once, whatever the image says.
// Shapes:  paths are relative to the top, without a leading '/', at most kMostTreePath bytes.
// Errors:  each is told to `fault` with its place, and the walk goes on elsewhere.
// Memory:  the directories that are still to be looked at, and a set of those that were.
// Proof:   f2fs_tree_test.cc, tests/f2fs.
#pragma once

#include <functional>
#include <string>

#include "cluster/f2fs_inode.h"

namespace uzram {

inline constexpr std::size_t kMostTreePath = 4095;

struct TreeVisitor {
  // Returns: whether to go into it, where it is a directory. The top itself has the path "".
  std::function<bool(const std::string& path, const F2fsInode& inode)> visit;
  std::function<void(const F2fsError& error)> fault;
};

void walk_tree(const F2fsVolume& volume, const F2fsInode& top, const TreeVisitor& visitor);

}  // namespace uzram
