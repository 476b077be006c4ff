// SPDX-License-Identifier: Apache-2.0
#include "app/f2fs_extract.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <map>

#include "base/file_descriptor.h"
#include "base/printable_text.h"
#include "cluster/f2fs_tree.h"

namespace uzram {

namespace {

constexpr unsigned kPlainModeBits = 0777;

// A directory below `root`, without symbolic links on the way.
FileDescriptor open_below(int root, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* const text = path.empty() ? "." : path.c_str();
  return FileDescriptor(static_cast<int>(::syscall(SYS_openat2, root, text, &how, sizeof how)));
}

struct SplitPath {
  std::string parent;
  std::string name;
};
SplitPath split(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::array<timespec, 2> times_of(const F2fsInode& inode) {
  return {{{inode.access_time.seconds, inode.access_time.nanoseconds},
           {inode.modify_time.seconds, inode.modify_time.nanoseconds}}};
}

class Extraction {
 public:
  Extraction(const F2fsVolume& volume, int root, const ExtractOptions& options, ImageFaults& faults)
      : volume_(volume), root_(root), options_(options), faults_(faults) {}

  // Returns: whether it is a directory that is there now.
  bool put(const std::string& path, const F2fsInode& inode) {
    if (path.empty()) return S_ISDIR(inode.mode);
    const SplitPath place = split(path);
    const FileDescriptor parent = open_below(root_, place.parent);
    if (!parent.is_open()) return fault(path, errno);
    const int code = S_ISDIR(inode.mode) ? put_directory(parent.get(), place.name)
                     : link_known(inode) ? put_link(parent.get(), place.name, inode)
                                         : put_file(parent.get(), path, place.name, inode);
    if (code != 0) return fault(path, code);
    if (S_ISDIR(inode.mode)) directories_.push_back(made_directory(path, inode));
    if (inode.link_count > 1 && !S_ISDIR(inode.mode)) first_paths_.try_emplace(inode.ino, path);
    return S_ISDIR(inode.mode);
  }

  // Modes and times of directories, which would have changed under what went into them.
  void finish() {
    for (auto it = directories_.rbegin(); it != directories_.rend(); ++it) {
      const FileDescriptor directory = open_below(root_, it->path);
      const int code =
          directory.is_open() ? set_attributes(directory.get(), it->attributes) : errno;
      if (code != 0) fault(it->path, code);
    }
  }

 private:
  struct Attributes {
    std::uint16_t mode = 0;
    uid_t uid = 0;
    gid_t gid = 0;
    std::array<timespec, 2> times{};
    std::vector<F2fsXattr> xattrs;
  };
  struct MadeDirectory {
    std::string path;
    Attributes attributes;
  };

  // What of an inode is wanted. Xattrs that cannot be read are a fault and the rest is not.
  Attributes attributes_of(const std::string& path, const F2fsInode& inode) {
    Attributes found{inode.mode, inode.uid, inode.gid, times_of(inode), {}};
    if (!options_.has_xattrs) return found;
    auto xattrs = read_xattrs(volume_, inode);
    if (!xattrs) faults_.add(printable(path) + ": " + xattrs.error().text);
    if (xattrs) found.xattrs = *std::move(xattrs);
    std::erase_if(found.xattrs,
                  [](const F2fsXattr& xattr) { return !xattr.name.starts_with("user."); });
    return found;
  }
  MadeDirectory made_directory(const std::string& path, const F2fsInode& inode) {
    return {path, attributes_of(path, inode)};
  }

  bool fault(const std::string& path, int code) {
    if (code != kAlreadySaid)
      faults_.add(fmt::format("{}: {}", printable(path), ::strerrordesc_np(code)));
    return false;
  }
  // Returns: 0 or an errno value. A new owner takes bits of the mode away, so that comes first.
  [[nodiscard]] int set_attributes(int descriptor, const Attributes& wanted) const {
    if (options_.has_owners && ::fchown(descriptor, wanted.uid, wanted.gid) != 0) return errno;
    for (const F2fsXattr& xattr : wanted.xattrs) {
      if (::fsetxattr(descriptor, xattr.name.c_str(), xattr.value.data(), xattr.value.size(), 0) !=
          0)
        return errno;
    }
    if (::fchmod(descriptor, wanted.mode & kPlainModeBits) != 0) return errno;
    return ::futimens(descriptor, wanted.times.data()) == 0 || errno == EINVAL ? 0 : errno;
  }
  bool link_known(const F2fsInode& inode) const {
    return inode.link_count > 1 && first_paths_.contains(inode.ino);
  }

  // Each returns 0 or an errno value.
  static int put_directory(int parent, const std::string& name) {
    return ::mkdirat(parent, name.c_str(), 0700) == 0 ? 0 : errno;
  }
  int put_link(int parent, const std::string& name, const F2fsInode& inode) {
    const SplitPath first = split(first_paths_.at(inode.ino));
    const FileDescriptor first_parent = open_below(root_, first.parent);
    if (!first_parent.is_open()) return errno;
    return ::linkat(first_parent.get(), first.name.c_str(), parent, name.c_str(), 0) == 0 ? 0
                                                                                          : errno;
  }
  int put_file(int parent, const std::string& path, const std::string& name,
               const F2fsInode& inode) {
    if (S_ISREG(inode.mode)) return put_regular(parent, path, name, inode);
    if (S_ISLNK(inode.mode)) return put_symlink(parent, path, name, inode);
    if (S_ISFIFO(inode.mode)) {
      if (::mkfifoat(parent, name.c_str(), inode.mode & kPlainModeBits) != 0) return errno;
      return set_owner_at(parent, name, inode);
    }
    faults_.add(printable(path) + ": left out: neither file nor directory nor link");
    return kAlreadySaid;
  }
  int put_regular(int parent, const std::string& path, const std::string& name,
                  const F2fsInode& inode) {
    const FileDescriptor out(
        ::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!out.is_open()) return errno;
    F2fsFile file(volume_, inode);
    const auto copied = copy_content(file, inode, {0, inode.size_bytes}, out.get(), true);
    faults_.add_checksums(inode, file.checksum_faults());
    if (!copied) {
      faults_.add(printable(path) + ": " + copied.error().text);
      return kAlreadySaid;
    }
    return set_attributes(out.get(), attributes_of(path, inode));
  }
  int put_symlink(int parent, const std::string& path, const std::string& name,
                  const F2fsInode& inode) {
    constexpr std::uint64_t kMostTargetBytes = 4095;
    if (inode.size_bytes == 0 || inode.size_bytes > kMostTargetBytes) return EUCLEAN;
    std::string target(inode.size_bytes, '\0');
    F2fsFile file(volume_, inode);
    if (const auto got = file.read(0, std::as_writable_bytes(std::span(target))); !got) {
      faults_.add(printable(path) + ": " + got.error().text);
      return kAlreadySaid;
    }
    if (::symlinkat(target.c_str(), parent, name.c_str()) != 0) return errno;
    return set_owner_at(parent, name, inode);
  }
  [[nodiscard]] int set_owner_at(int parent, const std::string& name,
                                 const F2fsInode& inode) const {
    if (!options_.has_owners) return 0;
    return ::fchownat(parent, name.c_str(), inode.uid, inode.gid, AT_SYMLINK_NOFOLLOW) == 0 ? 0
                                                                                            : errno;
  }

  static constexpr int kAlreadySaid = -1;

  const F2fsVolume& volume_;
  const int root_;
  const ExtractOptions options_;
  ImageFaults& faults_;
  std::vector<MadeDirectory> directories_;
  std::map<std::uint32_t, std::string> first_paths_;  // Of inodes with several names.
};

}  // namespace

InputResult<void> extract_tree(const F2fsVolume& volume, const F2fsInode& top,
                               const std::string& name, const std::string& target,
                               const ExtractOptions& options, ImageFaults& faults) {
  if (::mkdir(target.c_str(), 0777) != 0 && errno != EEXIST)
    return refuse(errno, fmt::format("{}: {}", quote(target), ::strerrordesc_np(errno)));
  const FileDescriptor root(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root.is_open())
    return refuse(errno, fmt::format("{}: {}", quote(target), ::strerrordesc_np(errno)));
  Extraction extraction(volume, root.get(), options, faults);
  if (!S_ISDIR(top.mode)) {
    extraction.put(name, top);
    return {};
  }
  walk_tree(
      volume, top,
      {[&](const std::string& path, const F2fsInode& inode) { return extraction.put(path, inode); },
       [&](const F2fsError& error) { faults.add(error); }});
  extraction.finish();
  return {};
}

}  // namespace uzram
