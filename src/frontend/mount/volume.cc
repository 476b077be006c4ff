// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/syscall.h>

#include <array>
#include <climits>
#include <cstdlib>

#include "frontend/mount/regular_file.h"

namespace uzram {
namespace {

struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};

// A folder below `top`, through no symbolic link: others may change names meanwhile.
FileDescriptor open_below(int top, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return FileDescriptor(
      static_cast<int>(::syscall(SYS_openat2, top, path.c_str(), &how, sizeof(how))));
}

void remove_files_in(int folder) {
  DIR* const listing = ::fdopendir(folder);
  if (listing == nullptr) {
    ::close(folder);
    return;
  }
  while (const dirent* const entry = ::readdir(listing)) {
    if (entry->d_name[0] != '.') ::unlinkat(::dirfd(listing), entry->d_name, 0);
  }
  ::closedir(listing);
}

}  // namespace

Volume::Volume(FileDescriptor top, std::string directory, MountOptions options)
    : top_(std::move(top)),
      directory_(std::move(directory)),
      options_(std::move(options)),
      inodes_([this](Inode& inode) {
        if (inode.is_regular()) inode.file = std::make_unique<RegularFile>(*this, inode);
      }),
      committer_(
          options_.most_closed_files,
          [](Inode& inode) { return inode.file->commit_in_background(); },
          [this](Inode& inode) { inodes_.hold(inode); },
          [this](Inode& inode) { inodes_.let_go(inode); }) {}

Volume::~Volume() = default;

Result<std::unique_ptr<Volume>> Volume::open(const std::string& directory, MountOptions options) {
  const std::unique_ptr<char, FreeMemory> real(::realpath(directory.c_str(), nullptr));
  if (real == nullptr) return fail_errno();
  FileDescriptor top(::open(real.get(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.is_open()) return fail_errno();
  const bool is_read_only = options.is_read_only;
  if (!is_read_only && ::flock(top.get(), LOCK_EX | LOCK_NB) != 0)
    return fail(errno == EWOULDBLOCK ? EBUSY : errno);
  std::unique_ptr<Volume> volume(new Volume(std::move(top), real.get(), std::move(options)));
  if (auto found = volume->look_up_root(); !found) return fail(found.error().code);
  // What a crash left there.
  if (!is_read_only) static_cast<void>(volume->remove_private_folder());
  return volume;
}

Result<void> Volume::look_up_root() {
  FileDescriptor place(::openat(top_.get(), ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
  struct stat status {};
  if (!place.is_open() || ::fstat(place.get(), &status) != 0) return fail_errno();
  root_ = &inodes_.look_up(std::move(place), status);
  return {};
}

Result<Volume::Name> Volume::find_name(const Inode& inode) const {
  std::array<char, PATH_MAX> text;
  const ssize_t got = ::readlink(inode.path().c_str(), text.data(), text.size());
  if (got < 0) return fail_errno();
  const std::string_view path(text.data(), static_cast<std::size_t>(got));
  const std::string top = directory_ == "/" ? directory_ : directory_ + "/";
  if (path.size() <= top.size() || path.substr(0, top.size()) != top) return fail(ENOENT);
  const std::string_view below = path.substr(top.size());
  const std::size_t slash = below.rfind('/');
  Name found;
  found.name = below.substr(slash == std::string_view::npos ? 0 : slash + 1);
  found.folder = open_below(
      top_.get(), slash == std::string_view::npos ? "." : std::string(below.substr(0, slash)));
  struct stat there {};
  struct stat own {};
  // The kernel marks what has no name any more by words that a name could have as well.
  if (!found.folder.is_open() ||
      ::fstatat(found.folder.get(), found.name.c_str(), &there, AT_SYMLINK_NOFOLLOW) != 0 ||
      ::fstat(inode.place(), &own) != 0) {
    return fail_errno();
  }
  if (there.st_dev != own.st_dev || there.st_ino != own.st_ino) return fail(ENOENT);
  return found;
}

bool Volume::wants_compression(Inode& folder, std::string_view name) const {
  return options_.rule.wants(name, folder.flags().compress, CompressFlag::Unset);
}

bool Volume::wants_compression(Inode& inode) const {
  if (const CompressFlag flag = inode.flags().compress; flag != CompressFlag::Unset)
    return flag == CompressFlag::Compress;
  const auto name = find_name(inode);
  if (!name) return options_.rule.wants("", CompressFlag::Unset, CompressFlag::Unset);
  const KeptFlags folder = load_kept_flags(fmt::format("/proc/self/fd/{}", name->folder.get()));
  return options_.rule.wants(name->name, folder.compress, CompressFlag::Unset);
}

ClusterOptions Volume::cluster_options(Inode& inode) const {
  ClusterOptions chosen = options_.cluster;
  if (const auto choice = inode.flags().choice) {
    if (choice->algorithm != chosen.algorithm) chosen.level = 0;
    chosen.algorithm = choice->algorithm;
    chosen.log_pages = choice->log_pages;
  }
  return chosen;
}

std::uint64_t Volume::small_file_bytes() const {
  const std::uint64_t cluster_bytes = options_.cluster.cluster_bytes();
  // Four pages save three at best, which is what it costs.
  return options_.cluster.log_pages == kLeastClusterLog ? 2 * cluster_bytes : cluster_bytes;
}

Result<Volume::Name> Volume::make_private_file(FileDescriptor& file) {
  if (::mkdirat(top_.get(), kPrivateFolder, 0700) != 0 && errno != EEXIST) return fail_errno();
  Name made;
  made.folder = open_below(top_.get(), kPrivateFolder);
  if (!made.folder.is_open()) return fail_errno();
  made.name = std::to_string(private_count_.fetch_add(1, std::memory_order_relaxed));
  file = FileDescriptor(::openat(made.folder.get(), made.name.c_str(),
                                 O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file.is_open()) return fail_errno();
  return made;
}

Result<void> Volume::remove_private_folder() {
  const int folder =
      ::openat(top_.get(), kPrivateFolder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return fail_errno();
  remove_files_in(folder);
  if (::unlinkat(top_.get(), kPrivateFolder, AT_REMOVEDIR) != 0) return fail_errno();
  return {};
}

}  // namespace uzram
