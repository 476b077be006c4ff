// SPDX-License-Identifier: Apache-2.0
// Between libfuse's callbacks and the files of tree_files.h.
#include "frontend/fuse/tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fuse.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <map>
#include <thread>

#include "base/file_descriptor.h"
#include "base/mutex.h"
#include "device/device_set.h"
#include "frontend/fuse/fuse_mount.h"
#include "frontend/fuse/node_settings.h"
#include "frontend/fuse/tree_files.h"

namespace uzram {
namespace {

namespace fs = std::filesystem;

// Some may block for long, in reset or disksize; the others still answer.
constexpr unsigned kThreadCount = 8;
// More than kTreeFileBytes: a longer write arrives as one, and is answered as a short one.
constexpr unsigned kMostWriteBytes = 2 * kTreeFileBytes;

// The files that are open now. At the end the kernel does not close those that still are.
class OpenFiles {
 public:
  OpenTreeFile* add(std::unique_ptr<OpenTreeFile> file) {
    OpenTreeFile* const key = file.get();
    MutexLock lock(mutex_);
    files_.emplace(key, std::move(file));
    return key;
  }
  void remove(OpenTreeFile* key) {
    MutexLock lock(mutex_);
    files_.erase(key);
  }

 private:
  Mutex mutex_;
  std::map<OpenTreeFile*, std::unique_ptr<OpenTreeFile>> files_ UZ_GUARDED_BY(mutex_);
};

// What every callback may use.
struct TreeContext {
  explicit TreeContext(DeviceSet& all) : devices(all) {}

  DeviceSet& devices;
  const std::time_t start_time = std::time(nullptr);
  OpenFiles open_files;
  NodeSettingsMap settings;
};

struct FuseAway {
  void operator()(::fuse* fuse) const { ::fuse_destroy(fuse); }
};
using FuseHandle = std::unique_ptr<::fuse, FuseAway>;

TreeContext& context() { return *static_cast<TreeContext*>(::fuse_get_context()->private_data); }

OpenTreeFile& open_file(const fuse_file_info& info) {
  // libfuse keeps the pointer that it was given, as a number.
  // NOLINTNEXTLINE(performance-no-int-to-ptr)
  return *reinterpret_cast<OpenTreeFile*>(static_cast<std::uintptr_t>(info.fh));
}

// --- callbacks ---------------------------------------------------------------------------------

void* on_init(fuse_conn_info* connection, fuse_config* config) {
  connection->max_write = kMostWriteBytes;
  // Devices come and go, so the kernel remembers no name and no size.
  config->entry_timeout = 0;
  config->attr_timeout = 0;
  config->negative_timeout = 0;
  config->direct_io = 1;
  return ::fuse_get_context()->private_data;
}

// With the mode that it has by now.
std::optional<TreeNode> find_node(const char* path) {
  std::optional<TreeNode> node = find_tree_node(context().devices, path);
  if (node && !node->is_link()) {
    node->mode = context().settings.find(*node).mode.value_or(node->mode);
  }
  return node;
}

mode_t kind_of(const TreeNode& node) {
  if (node.is_link()) return S_IFLNK;
  return node.is_folder() ? S_IFDIR : S_IFREG;
}

int on_getattr(const char* path, struct stat* status, fuse_file_info*) {
  const std::optional<TreeNode> node = find_node(path);
  if (!node) return -ENOENT;
  const NodeSettings settings = context().settings.find(*node);
  const timespec start{context().start_time, 0};
  *status = {};
  status->st_mode = kind_of(*node) | node->mode;
  status->st_nlink = node->is_folder() ? 2 : 1;
  status->st_size = static_cast<off_t>(node->bytes());
  status->st_uid = settings.user.value_or(::geteuid());
  status->st_gid = settings.group.value_or(::getegid());
  status->st_ctim = start;
  status->st_atim = settings.access_time.value_or(start);
  status->st_mtim = settings.change_time.value_or(start);
  return 0;
}

// The kernel has checked who asks: the owner or root, otherwise EPERM.
int change_settings(const char* path, const NodeSettings& changes) {
  const std::optional<TreeNode> node = find_tree_node(context().devices, path);
  if (!node) return -ENOENT;
  if (node->is_link()) return -EPERM;
  context().settings.change(*node, changes);
  return 0;
}

int on_chmod(const char* path, mode_t mode, fuse_file_info*) {
  NodeSettings changes;
  changes.mode = mode & 07777U;
  return change_settings(path, changes);
}

int on_chown(const char* path, uid_t user, gid_t group, fuse_file_info*) {
  NodeSettings changes;
  if (user != static_cast<uid_t>(-1)) changes.user = user;
  if (group != static_cast<gid_t>(-1)) changes.group = group;
  return change_settings(path, changes);
}

int on_utimens(const char* path, const timespec times[2], fuse_file_info*) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto chosen = [&now](const timespec& time) -> std::optional<timespec> {
    if (time.tv_nsec == UTIME_OMIT) return std::nullopt;
    return time.tv_nsec == UTIME_NOW ? now : time;
  };
  NodeSettings changes;
  changes.access_time = chosen(times[0]);
  changes.change_time = chosen(times[1]);
  return change_settings(path, changes);
}

int on_readlink(const char* path, char* target, std::size_t bytes) {
  const std::optional<TreeNode> node = find_tree_node(context().devices, path);
  if (!node) return -ENOENT;
  if (!node->is_link() || bytes == 0) return -EINVAL;
  const std::size_t count = std::min(node->target.size(), bytes - 1);
  node->target.copy(target, count);
  target[count] = '\0';
  return 0;
}

int on_readdir(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
               fuse_readdir_flags) {
  const auto names = list_tree_folder(context().devices, path);
  if (!names) return -names.error().code;
  fill(buffer, ".", nullptr, 0, {});
  fill(buffer, "..", nullptr, 0, {});
  for (const std::string& name : *names) fill(buffer, name.c_str(), nullptr, 0, {});
  return 0;
}

int on_open(const char* path, fuse_file_info* info) {
  std::optional<TreeNode> node = find_node(path);
  if (!node) return -ENOENT;
  const int access = info->flags & O_ACCMODE;
  auto file = OpenTreeFile::open(context().devices, std::move(*node), access != O_WRONLY,
                                 access != O_RDONLY);
  if (!file) return -file.error().code;
  info->fh = reinterpret_cast<std::uintptr_t>(context().open_files.add(std::move(*file)));
  info->direct_io = 1;
  return 0;
}

int on_release(const char*, fuse_file_info* info) {
  context().open_files.remove(&open_file(*info));
  return 0;
}

int on_read(const char*, char* out, std::size_t bytes, off_t offset, fuse_file_info* info) {
  const MutableBytes space(reinterpret_cast<std::byte*>(out), bytes);
  const auto done = open_file(*info).read(static_cast<std::uint64_t>(offset), space);
  return done ? static_cast<int>(*done) : -done.error().code;
}

int on_write(const char*, const char* text, std::size_t bytes, off_t, fuse_file_info* info) {
  const auto done =
      open_file(*info).write(ConstBytes(reinterpret_cast<const std::byte*>(text), bytes));
  return done ? static_cast<int>(*done) : -done.error().code;
}

// The `>` of a shell. Nothing has a length to lose.
int on_truncate(const char* path, off_t, fuse_file_info*) {
  const std::optional<TreeNode> node = find_node(path);
  if (!node) return -ENOENT;
  if (node->is_folder()) return -EISDIR;
  return (node->mode & 0222) != 0 && node->can_be_written() ? 0 : -EACCES;
}

fuse_operations operations() {
  fuse_operations callbacks{};
  callbacks.init = on_init;
  callbacks.getattr = on_getattr;
  callbacks.readdir = on_readdir;
  callbacks.open = on_open;
  callbacks.release = on_release;
  callbacks.read = on_read;
  callbacks.write = on_write;
  callbacks.truncate = on_truncate;
  callbacks.chmod = on_chmod;
  callbacks.chown = on_chown;
  callbacks.utimens = on_utimens;
  callbacks.readlink = on_readlink;
  // As sysfs: nobody makes or removes files here.
  callbacks.create = [](const char*, mode_t, fuse_file_info*) { return -EACCES; };
  callbacks.mknod = [](const char*, mode_t, dev_t) { return -EACCES; };
  callbacks.mkdir = [](const char*, mode_t) { return -EPERM; };
  callbacks.unlink = [](const char*) { return -EPERM; };
  callbacks.rmdir = [](const char*) { return -EPERM; };
  callbacks.rename = [](const char*, const char*, unsigned) { return -EPERM; };
  return callbacks;
}

// --- the mount ---------------------------------------------------------------------------------

InputResult<void> prepare_folder(const std::string& folder, bool& was_made) {
  if (folder.empty() || folder.front() != '/') {
    return refuse(EINVAL,
                  fmt::format("the tree's folder {} must be an absolute path", quote(folder)));
  }
  if (const Result<void> clear = clear_dead_mount(folder); !clear) {
    return refuse(clear.error().code,
                  fmt::format("something is mounted on {}; another uzram serves it, or choose "
                              "another folder",
                              folder));
  }
  std::error_code error;
  was_made = fs::create_directories(folder, error);
  if (error) {
    return refuse(error.value(), fmt::format("cannot make {}: {}", folder, error.message()));
  }
  if (!fs::is_empty(folder, error)) {
    return refuse(error ? error.value() : ENOTEMPTY,
                  fmt::format("{} holds other files; choose an empty folder", folder));
  }
  return {};
}

// Everybody may read what sysfs lets everybody read; only root may let them.
std::vector<std::string> mount_words() {
  std::vector<std::string> words{"uzram", "-o", "fsname=uzram,subtype=uzram"};
  words.back() += ::geteuid() == 0 ? ",default_permissions,allow_other" : ",default_permissions";
  return words;
}

InputResult<FuseHandle> mount_tree(TreeContext& context, const std::string& folder) {
  std::vector<std::string> words = mount_words();
  std::vector<char*> pointers;
  pointers.reserve(words.size());
  for (std::string& word : words) pointers.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  const fuse_operations callbacks = operations();
  FuseHandle fuse(::fuse_new(&arguments, &callbacks, sizeof(callbacks), &context));
  ::fuse_opt_free_args(&arguments);
  if (fuse == nullptr) return refuse(ENOMEM, "libfuse cannot be set up");
  errno = 0;
  if (::fuse_mount(fuse.get(), folder.c_str()) != 0) {
    const int code = errno == 0 ? EPERM : errno;
    return refuse(code, fmt::format("cannot mount the tree on {} ({}); is /dev/fuse there, and "
                                    "fusermount3 for a user without root?",
                                    folder, errno_name(code)));
  }
  return fuse;
}

// One of libfuse's buffers; it allocates them itself.
struct RequestBuffer {
  ~RequestBuffer() { std::free(buffer.mem); }
  fuse_buf buffer{};
};

// Returns: false when the connection has ended.
bool serve_request(fuse_session& session, RequestBuffer& request) {
  const int received = ::fuse_session_receive_buf(&session, &request.buffer);
  if (received == -EINTR || received == -EAGAIN) return true;  // Another thread was faster.
  if (received <= 0) return false;
  ::fuse_session_process_buf(&session, &request.buffer);
  return true;
}

// Not libfuse's own loop: it ends for sure only when a request arrives at the right moment.
void serve_until(int stop_event, fuse_session& session) {
  RequestBuffer request;
  std::array<pollfd, 2> waits{pollfd{::fuse_session_fd(&session), POLLIN, 0},
                              pollfd{stop_event, POLLIN, 0}};
  for (;;) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) return;
    if (waits[1].revents != 0) return;
    if (waits[0].revents != 0 && !serve_request(session, request)) return;
  }
}

}  // namespace

struct Tree::Served {
  Served(DeviceSet& devices, std::string path) : context(devices), folder(std::move(path)) {}
  InputResult<void> start();
  void stop();

  TreeContext context;
  const std::string folder;
  bool has_own_folder = false;
  FuseHandle fuse;
  FileDescriptor stop_event;  // Becomes readable, and stays so, at the end.
  std::vector<std::thread> threads;
};

InputResult<void> Tree::Served::start() {
  if (auto ready = prepare_folder(folder, has_own_folder); !ready) return ready;
  stop_event = FileDescriptor(::eventfd(0, EFD_CLOEXEC));
  if (!stop_event.is_open()) return refuse(errno, "too many open files for the tree");
  auto mounted = mount_tree(context, folder);
  if (!mounted) return tl::unexpected(std::move(mounted.error()));
  fuse = std::move(*mounted);
  fuse_session& session = *::fuse_get_session(fuse.get());
  {
    // INIT is the first request. Buffers made after it have the size that it agreed on.
    RequestBuffer request;
    if (!serve_request(session, request)) return refuse(EIO, "the kernel refused the tree");
  }
  const int descriptor = ::fuse_session_fd(&session);
  static_cast<void>(::fcntl(descriptor, F_SETFL, ::fcntl(descriptor, F_GETFL) | O_NONBLOCK));
  for (unsigned i = 0; i < kThreadCount; ++i) {
    threads.emplace_back([this, &session] { serve_until(stop_event.get(), session); });
  }
  return {};
}

void Tree::Served::stop() {
  // While the threads still serve: FORCE ends the connection for whoever has a file open. A user
  // without root may not; libfuse's helper then unmounts when the connection is closed.
  if (fuse != nullptr) static_cast<void>(unmount_by_force(folder));
  const std::uint64_t one = 1;
  if (stop_event.is_open()) static_cast<void>(!::write(stop_event.get(), &one, sizeof(one)));
  for (std::thread& thread : threads) thread.join();
  if (fuse != nullptr) ::fuse_unmount(fuse.get());
  fuse.reset();
  if (has_own_folder) ::rmdir(folder.c_str());
}

InputResult<std::unique_ptr<Tree>> Tree::start(DeviceSet& devices, std::string folder) {
  std::unique_ptr<Tree> tree(new Tree(std::make_unique<Served>(devices, std::move(folder))));
  if (auto started = tree->served_->start(); !started) {
    return tl::unexpected(std::move(started.error()));
  }
  return tree;
}

Tree::Tree(std::unique_ptr<Served> served) : served_(std::move(served)) {}

Tree::~Tree() { served_->stop(); }

const std::string& Tree::folder() const { return served_->folder; }

}  // namespace uzram
