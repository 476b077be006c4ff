// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/dev_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

namespace uzram {
namespace {

constexpr std::string_view kZramPrefix = "zram";
constexpr mode_t kDiskNodeMode = S_IFBLK | 0600U;

bool is_zram_node(std::string_view path) {
  return path.size() > kZramPrefix.size() && path.starts_with(kZramPrefix) &&
         path.find_first_not_of("0123456789", kZramPrefix.size()) == std::string_view::npos;
}

// What an open folder of the view lists.
using DevNames = std::vector<std::string>;

DevNames names_in(int folder, const char* path) {
  DevNames names;
  const int copy = ::openat(folder, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR* const stream = copy < 0 ? nullptr : ::fdopendir(copy);
  if (stream == nullptr) {
    if (copy >= 0) ::close(copy);
    return names;
  }
  while (const dirent* each = ::readdir(stream)) names.emplace_back(each->d_name);
  ::closedir(stream);
  return names;
}

}  // namespace

struct DevView::Served {
  Served(FileDescriptor real_folder, FileDescriptor block_folder)
      : real(std::move(real_folder)), blocks(std::move(block_folder)) {
    paths.emplace(FUSE_ROOT_ID, ".");
    numbers.emplace(".", FUSE_ROOT_ID);
  }

  // What is at a path below the view's root; the inode says number and kind, too.
  [[nodiscard]] std::optional<struct stat> look(const std::string& path);
  [[nodiscard]] std::optional<struct stat> look_at_disk(const std::string& name) const;
  [[nodiscard]] std::string path_of(fuse_ino_t inode) const;
  [[nodiscard]] static std::string join(const std::string& folder, const char* name) {
    return folder == "." ? name : folder + "/" + name;
  }
  [[nodiscard]] DevNames list(const std::string& path) const;

  static fuse_lowlevel_ops callbacks();
  static Served& of(fuse_req_t request) {
    return *static_cast<Served*>(::fuse_req_userdata(request));
  }
  static void on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name);
  static void on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
  static void on_readlink(fuse_req_t request, fuse_ino_t inode);
  static void on_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);
  static void on_readdir(fuse_req_t request, fuse_ino_t inode, std::size_t bytes, off_t offset,
                         fuse_file_info* info);
  static void on_releasedir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info);

  const FileDescriptor real;
  const FileDescriptor blocks;
  // By the one thread that serves. A path has an inode for each number that it ever had.
  std::map<fuse_ino_t, std::string> paths;
  std::map<std::string, fuse_ino_t> numbers;
  fuse_session* session = nullptr;
};

std::optional<struct stat> DevView::Served::look_at_disk(const std::string& name) const {
  const FileDescriptor file(::openat(blocks.get(), (name + "/dev").c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 32> text{};
  unsigned major_number = 0;
  unsigned minor_number = 0;
  if (!file.is_open() || ::read(file.get(), text.data(), text.size() - 1) <= 0) return std::nullopt;
  // NOLINTNEXTLINE(cert-err34-c): the tree's own text.
  if (std::sscanf(text.data(), "%u:%u", &major_number, &minor_number) != 2) return std::nullopt;
  struct stat status {};
  const dev_t number = makedev(major_number, minor_number);
  // As whom the loop device belongs to.
  const std::string loop = fmt::format("loop{}", minor_number);
  if (::fstatat(real.get(), loop.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
      status.st_rdev != number) {
    status = {};
    status.st_mode = kDiskNodeMode;
  }
  status.st_rdev = number;
  return status;
}

std::optional<struct stat> DevView::Served::look(const std::string& path) {
  struct stat status {};
  if (is_zram_node(path)) {
    const auto disk = look_at_disk(path);
    if (!disk) return std::nullopt;
    status = *disk;
  } else if (::fstatat(real.get(), path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return std::nullopt;
  }
  const mode_t kind = status.st_mode & S_IFMT;
  if (kind == S_IFSOCK || kind == S_IFREG) {
    status.st_mode = S_IFREG | (status.st_mode & 07777U);
    status.st_size = 0;
  }
  const std::string key = path == "." ? path
                                      : fmt::format("{} {:o} {}:{}", path, status.st_mode & S_IFMT,
                                                    major(status.st_rdev), minor(status.st_rdev));
  const auto [place, is_new] = numbers.emplace(key, paths.rbegin()->first + 1);
  if (is_new) paths.emplace(place->second, path);
  status.st_ino = place->second;
  return status;
}

std::string DevView::Served::path_of(fuse_ino_t inode) const {
  const auto found = paths.find(inode);
  return found == paths.end() ? std::string() : found->second;
}

DevNames DevView::Served::list(const std::string& path) const {
  DevNames names;
  const bool is_root = path == ".";
  for (std::string& name : names_in(real.get(), path.c_str())) {
    if (!is_root || !is_zram_node(name)) names.push_back(std::move(name));
  }
  if (!is_root) return names;
  for (std::string& name : names_in(blocks.get(), ".")) {
    if (is_zram_node(name)) names.push_back(std::move(name));
  }
  return names;
}

// --- callbacks: nothing is remembered by the kernel, since devices come and go

void DevView::Served::on_lookup(fuse_req_t request, fuse_ino_t parent, const char* name) {
  Served& view = of(request);
  const auto status = view.look(Served::join(view.path_of(parent), name));
  if (!status) {
    ::fuse_reply_err(request, ENOENT);
    return;
  }
  fuse_entry_param entry{};
  entry.ino = status->st_ino;
  entry.attr = *status;
  ::fuse_reply_entry(request, &entry);
}

void DevView::Served::on_getattr(fuse_req_t request, fuse_ino_t inode, fuse_file_info*) {
  Served& view = of(request);
  const auto status = view.look(view.path_of(inode));
  // The node has become another one: whoever holds this inode holds what it was.
  if (!status || status->st_ino != inode) {
    ::fuse_reply_err(request, ENOENT);
    return;
  }
  ::fuse_reply_attr(request, &*status, 0);
}

void DevView::Served::on_readlink(fuse_req_t request, fuse_ino_t inode) {
  Served& view = of(request);
  std::array<char, 4096> target{};
  const ssize_t bytes =
      ::readlinkat(view.real.get(), view.path_of(inode).c_str(), target.data(), target.size() - 1);
  if (bytes < 0) {
    ::fuse_reply_err(request, errno);
    return;
  }
  ::fuse_reply_readlink(request, target.data());
}

void DevView::Served::on_opendir(fuse_req_t request, fuse_ino_t inode, fuse_file_info* info) {
  Served& view = of(request);
  info->fh = reinterpret_cast<std::uintptr_t>(new DevNames(view.list(view.path_of(inode))));
  if (::fuse_reply_open(request, info) == -ENOENT) {
    delete reinterpret_cast<DevNames*>(info->fh);  // NOLINT(performance-no-int-to-ptr)
  }
}

void DevView::Served::on_readdir(fuse_req_t request, fuse_ino_t inode, std::size_t bytes,
                                 off_t offset, fuse_file_info* info) {
  Served& view = of(request);
  // NOLINTNEXTLINE(performance-no-int-to-ptr): libfuse keeps it as a number.
  const DevNames& names = *reinterpret_cast<DevNames*>(info->fh);
  const std::string folder = view.path_of(inode);
  std::vector<char> buffer(bytes);
  std::size_t used = 0;
  for (auto i = static_cast<std::size_t>(offset); i < names.size(); ++i) {
    struct stat status {};
    if (names[i] == "." || names[i] == "..") {
      status.st_mode = S_IFDIR;
    } else if (const auto found = view.look(Served::join(folder, names[i].c_str()))) {
      status = *found;
    } else {
      continue;
    }
    const std::size_t entry =
        ::fuse_add_direntry(request, buffer.data() + used, bytes - used, names[i].c_str(), &status,
                            static_cast<off_t>(i + 1));
    if (entry > bytes - used) break;
    used += entry;
  }
  ::fuse_reply_buf(request, buffer.data(), used);
}

void DevView::Served::on_releasedir(fuse_req_t request, fuse_ino_t, fuse_file_info* info) {
  delete reinterpret_cast<DevNames*>(info->fh);  // NOLINT(performance-no-int-to-ptr)
  ::fuse_reply_err(request, 0);
}

fuse_lowlevel_ops DevView::Served::callbacks() {
  fuse_lowlevel_ops table{};
  table.lookup = on_lookup;
  table.getattr = on_getattr;
  table.readlink = on_readlink;
  table.opendir = on_opendir;
  table.readdir = on_readdir;
  table.releasedir = on_releasedir;
  return table;
}

InputResult<std::unique_ptr<DevView>> DevView::mount(FileDescriptor real, FileDescriptor blocks,
                                                     const std::string& mount_point) {
  std::unique_ptr<DevView> view(
      new DevView(std::make_unique<Served>(std::move(real), std::move(blocks))));
  std::array<std::string, 3> words{
      "uzram", "-o", "fsname=uzram,subtype=uzram-dev,allow_other,default_permissions,dev"};
  std::array<char*, 3> pointers{words[0].data(), words[1].data(), words[2].data()};
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  const fuse_lowlevel_ops callbacks = Served::callbacks();
  view->served_->session =
      ::fuse_session_new(&arguments, &callbacks, sizeof callbacks, view->served_.get());
  ::fuse_opt_free_args(&arguments);
  if (view->served_->session == nullptr) return refuse(ENOMEM, "libfuse cannot be set up");
  errno = 0;
  if (::fuse_session_mount(view->served_->session, mount_point.c_str()) != 0) {
    return refuse(errno == 0 ? EPERM : errno,
                  fmt::format("cannot mount a view of {}; is /dev/fuse there?", mount_point));
  }
  return view;
}

DevView::DevView(std::unique_ptr<Served> served) : served_(std::move(served)) {}

DevView::~DevView() {
  if (served_->session == nullptr) return;
  ::fuse_session_unmount(served_->session);
  ::fuse_session_destroy(served_->session);
}

void DevView::serve(int stop_event) {
  fuse_buf buffer{};
  std::array<pollfd, 2> waits{pollfd{::fuse_session_fd(served_->session), POLLIN, 0},
                              pollfd{stop_event, POLLIN, 0}};
  while (::fuse_session_exited(served_->session) == 0) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) break;
    if (waits[1].revents != 0) break;
    if (waits[0].revents == 0) continue;
    const int received = ::fuse_session_receive_buf(served_->session, &buffer);
    if (received == -EINTR) continue;
    if (received <= 0) break;
    ::fuse_session_process_buf(served_->session, &buffer);
  }
  std::free(buffer.mem);
}

}  // namespace uzram
