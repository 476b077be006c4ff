// SPDX-License-Identifier: Apache-2.0
#include "cluster/f2fs_tree.h"

#include <sys/stat.h>

#include <unordered_set>
#include <vector>

#include "cluster/f2fs_directory.h"

namespace uzram {
namespace {

struct PendingDirectory {
  std::string path;
  std::uint32_t ino = 0;
};

// A list and no recursion: a hostile image may be as deep as it has inodes.
class TreeWalk {
 public:
  TreeWalk(const F2fsVolume& volume, const TreeVisitor& visitor)
      : volume_(volume), visitor_(visitor) {}

  void run(const F2fsInode& top) {
    visit("", top);
    while (!pending_.empty()) {
      const PendingDirectory next = std::move(pending_.back());
      pending_.pop_back();
      list(next);
    }
  }

 private:
  void visit(const std::string& path, const F2fsInode& inode) {
    if (!visitor_.visit(path, inode) || !S_ISDIR(inode.mode)) return;
    if (!seen_.insert(inode.ino).second) {
      visitor_.fault({EUCLEAN, inode.place() + ": a directory in two places"});
      return;
    }
    pending_.push_back({path, inode.ino});
  }

  void list(const PendingDirectory& directory) {
    const auto inode = read_inode(volume_, directory.ino);
    if (!inode) return visitor_.fault(inode.error());
    const auto listed = visit_entries(volume_, *inode, [&](const F2fsEntry& entry) {
      visit_entry(directory, entry);
      return true;
    });
    if (!listed) visitor_.fault(listed.error());
  }

  void visit_entry(const PendingDirectory& directory, const F2fsEntry& entry) {
    const std::string path =
        directory.path.empty() ? entry.name : directory.path + "/" + entry.name;
    if (path.size() > kMostTreePath) {
      return visitor_.fault(
          {ENAMETOOLONG, "inode " + std::to_string(entry.ino) + ": its path is too long"});
    }
    const auto inode = read_inode(volume_, entry.ino);
    if (!inode) return visitor_.fault(inode.error());
    visit(path, *inode);
  }

  const F2fsVolume& volume_;
  const TreeVisitor& visitor_;
  std::vector<PendingDirectory> pending_;
  std::unordered_set<std::uint32_t> seen_;
};

}  // namespace

void walk_tree(const F2fsVolume& volume, const F2fsInode& top, const TreeVisitor& visitor) {
  TreeWalk(volume, visitor).run(top);
}

}  // namespace uzram
