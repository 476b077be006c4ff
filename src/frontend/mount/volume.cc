// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/volume.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <array>
#include <climits>

#include "frontend/mount/regular_file.h"

namespace uzram {
namespace {

// Where an open file or directory is now.
Result<std::string> path_of(const std::string& descriptor_path) {
  std::array<char, PATH_MAX> text;
  const ssize_t got = ::readlink(descriptor_path.c_str(), text.data(), text.size());
  if (got < 0) return fail_errno();
  return std::string(text.data(), static_cast<std::size_t>(got));
}

// A folder below `top`, through no symbolic link: others may change names meanwhile.
FileDescriptor open_below(int top, const std::string& path) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  return FileDescriptor(
      static_cast<int>(::syscall(SYS_openat2, top, path.c_str(), &how, sizeof(how))));
}

}  // namespace

Volume::Volume(FileDescriptor top, std::string directory, MountOptions options,
               std::unique_ptr<PrivateFolder> private_folder)
    : top_(std::move(top)),
      directory_(std::move(directory)),
      options_(std::move(options)),
      private_folder_(std::move(private_folder)),
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
  FileDescriptor top(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!top.is_open()) return fail_errno();
  auto real = path_of(fmt::format("/proc/self/fd/{}", top.get()));
  if (!real) return fail(real.error().code);
  std::unique_ptr<PrivateFolder> private_folder;
  if (!options.is_read_only) {
    auto opened = PrivateFolder::open(top.get());
    // Where nothing can be changed, nobody has to be kept away.
    if (!opened && opened.error().code != EROFS) return fail(opened.error().code);
    if (opened) private_folder = *std::move(opened);
  }
  std::unique_ptr<Volume> volume(
      new Volume(std::move(top), *std::move(real), std::move(options), std::move(private_folder)));
  if (auto found = volume->look_up_root(); !found) return fail(found.error().code);
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
  const auto now = path_of(inode.path());
  if (!now) return fail(now.error().code);
  const std::string_view path = *now;
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

Result<void> Volume::remove_private_folder() {
  return private_folder_ == nullptr ? Result<void>{} : private_folder_->remove(top_.get());
}

}  // namespace uzram
