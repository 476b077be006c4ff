// SPDX-License-Identifier: Apache-2.0
#include "frontend/mount/mount_server.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "frontend/mount/caller.h"
#include "frontend/mount/mount_operations.h"
#include "frontend/mount/regular_file.h"

namespace uzram {
namespace {

constexpr unsigned kMostRequestBytes = 1U << 20;
constexpr unsigned kLeastThreads = 4;
constexpr unsigned kMostThreads = 16;
constexpr std::chrono::milliseconds kFarewellStep{20};
constexpr std::chrono::milliseconds kMostFarewell{30'000};

tl::unexpected<std::string> refuse(const std::string& what, int code) {
  return tl::unexpected(fmt::format("{}: {}", what, ::strerrordesc_np(code)));
}

void on_init(void* user_data, fuse_conn_info* connection) {
  const Volume& volume = *static_cast<const Volume*>(user_data);
  const auto want = [&](unsigned capability) {
    connection->want |= connection->capable & capability;
  };
  want(FUSE_CAP_SPLICE_READ);
  want(FUSE_CAP_SPLICE_WRITE);
  want(FUSE_CAP_SPLICE_MOVE);
  want(FUSE_CAP_PARALLEL_DIROPS);
  // The file system below joins the caller's umask and a directory's default ACL.
  want(FUSE_CAP_DONT_MASK);
  want(FUSE_CAP_POSIX_ACL);
  if (!volume.options().is_read_only) want(FUSE_CAP_WRITEBACK_CACHE);
  // The kernel takes set-user-ID away itself, with a new mode: also when a file is truncated as it
  // is opened, which it then asks for by itself.
  connection->want &= ~static_cast<unsigned>(FUSE_CAP_HANDLE_KILLPRIV | FUSE_CAP_ATOMIC_O_TRUNC);
  connection->max_write = kMostRequestBytes;
  connection->max_readahead = kMostRequestBytes;
  connection->max_background = 64;
}

fuse_lowlevel_ops callbacks() {
  fuse_lowlevel_ops table{};
  table.init = on_init;
  add_name_operations(table);
  add_attribute_operations(table);
  add_file_operations(table);
  add_folder_operations(table);
  return table;
}

// Every file that the kernel remembers takes a descriptor.
void allow_many_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  rlim_t most = limit.rlim_max;
  if (std::ifstream("/proc/sys/fs/nr_open") >> most && most > limit.rlim_max) {
    const rlimit raised{most, most};
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) return;
  }
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
}

// The kernel reads ahead 128 KiB unless it is told; root may.
void read_ahead_far(const std::string& mount_point) {
  struct stat status {};
  if (::stat(mount_point.c_str(), &status) != 0) return;
  std::ofstream(fmt::format("/sys/class/bdi/{}:{}/read_ahead_kb", ::major(status.st_dev),
                            ::minor(status.st_dev)))
      << kMostRequestBytes / 1024;
}

bool run_fusermount(const std::vector<const char*>& words) {
  std::vector<char*> argv;
  argv.reserve(words.size() + 1);
  for (const char* const word : words) argv.push_back(const_cast<char*>(word));
  argv.push_back(nullptr);
  pid_t child = 0;
  // Where libfuse looks first; neither the caller's PATH nor the rest of its environment counts.
  std::string search = "PATH=/usr/bin:/bin";
  const std::array<char*, 2> environment{search.data(), nullptr};
  if (::posix_spawn(&child, "/usr/bin/fusermount3", nullptr, nullptr, argv.data(),
                    environment.data()) != 0) {
    return false;
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// The end for whoever still uses it. Not to be had where /sys/fs/fuse/connections is not mounted.
void abort_connection_of(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return;
  std::ofstream(fmt::format("/sys/fs/fuse/connections/{}/abort", ::minor(status.st_dev))) << "1";
}

bool is_inside(const std::string& path, const std::string& folder) {
  const std::string prefix = folder == "/" ? folder : folder + "/";
  return path == folder || path.compare(0, prefix.size(), prefix) == 0;
}

tl::expected<std::string, std::string> real_folder(const std::string& path) {
  std::array<char, PATH_MAX> real;
  if (::realpath(path.c_str(), real.data()) == nullptr) return refuse(path, errno);
  struct stat status {};
  if (::stat(real.data(), &status) != 0) return refuse(path, errno);
  if (!S_ISDIR(status.st_mode)) return refuse(path, ENOTDIR);
  return std::string(real.data());
}

// Spaces and the like are octal numbers in the kernel's table.
std::string unescaped(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 3), nullptr, 8));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool is_mounted_somewhere(const std::string& directory) {
  std::ifstream table("/proc/self/mounts");
  std::string source, point, type, rest;
  while (table >> source >> point >> type && std::getline(table, rest)) {
    if (type == "fuse.uzram" && unescaped(source) == directory) return true;
  }
  return false;
}

// A mount that was taken away keeps the directory until everything is safe.
Result<std::unique_ptr<Volume>> open_volume(const std::string& directory,
                                            const MountOptions& options) {
  for (auto waited = kMostFarewell.zero();; waited += kFarewellStep) {
    auto volume = Volume::open(directory, options);
    if (volume || volume.error().code != EBUSY || waited >= kMostFarewell ||
        is_mounted_somewhere(directory)) {
      return volume;
    }
    std::this_thread::sleep_for(kFarewellStep);
  }
}

// One of libfuse's buffers; it allocates them itself.
struct MountRequest {
  ~MountRequest() { std::free(buffer.mem); }
  fuse_buf buffer{};
};

// Returns: false when the connection has ended.
bool answer_one(fuse_session& session, MountRequest& request) {
  const int received = ::fuse_session_receive_buf(&session, &request.buffer);
  if (received == -EINTR || received == -EAGAIN) return true;
  if (received <= 0) return false;
  ::fuse_session_process_buf(&session, &request.buffer);
  return true;
}

}  // namespace

void MountServer::EndSession::operator()(fuse_session* session) const {
  ::fuse_session_destroy(session);
}

tl::expected<std::unique_ptr<MountServer>, std::string> MountServer::start(
    const std::string& directory, const std::string& mount_point, const MountOptions& options) {
  const auto below = real_folder(directory);
  if (!below) return tl::unexpected(below.error());
  const auto above = real_folder(mount_point);
  if (!above) return tl::unexpected(above.error());
  if (is_inside(*above, *below) || is_inside(*below, *above)) {
    return tl::unexpected(fmt::format(
        "{} and {} lie one in the other: mount on a directory elsewhere", *below, *above));
  }
  allow_many_descriptors();
  ::umask(0);  // The caller's is what counts.
  auto volume = open_volume(*below, options);
  if (!volume && volume.error().code == EBUSY) {
    return tl::unexpected(
        fmt::format("{} is mounted already; a second mount must be read-only (-o ro)", *below));
  }
  if (!volume) {
    return refuse(fmt::format("{}: a mount for writing needs a folder {} there, of this user and "
                              "with mode 0700",
                              *below, kPrivateFolder),
                  volume.error().code);
  }
  std::unique_ptr<MountServer> server(new MountServer(*std::move(volume), *above));
  if (auto mounted = server->mount(*below); !mounted) return tl::unexpected(mounted.error());
  return server;
}

tl::expected<void, std::string> MountServer::mount(const std::string& directory) {
  const MountOptions& options = volume_->options();
  std::string escaped;  // A comma would begin the next option.
  for (const char each : directory) {
    if (each == ',' || each == '\\') escaped += '\\';
    escaped += each;
  }
  std::vector<std::string> words{
      "uzram", "-o",
      fmt::format("fsname={},subtype=uzram,default_permissions{}{}", escaped,
                  options.allows_other ? ",allow_other" : "", options.is_read_only ? ",ro" : "")};
  std::vector<char*> pointers;
  pointers.reserve(words.size());
  for (std::string& word : words) pointers.push_back(word.data());
  fuse_args arguments = FUSE_ARGS_INIT(static_cast<int>(pointers.size()), pointers.data());
  const fuse_lowlevel_ops table = callbacks();
  session_.reset(::fuse_session_new(&arguments, &table, sizeof(table), volume_.get()));
  ::fuse_opt_free_args(&arguments);
  if (session_ == nullptr) return tl::unexpected(std::string("libfuse cannot be set up"));
  errno = 0;
  if (::fuse_session_mount(session_.get(), mount_point_.c_str()) != 0) {
    return refuse(fmt::format("cannot mount on {}; is /dev/fuse there, and fusermount3 for a user "
                              "without root",
                              mount_point_),
                  errno == 0 ? EPERM : errno);
  }
  fuse_session* const session = session_.get();
  volume_->set_write_back([session](Inode& inode) {
    static_cast<void>(::fuse_lowlevel_notify_inval_inode(session, node_of(inode), 0, 0));
  });
  // INIT is the first request. Buffers made after it have the size that it agreed on.
  MountRequest request;
  if (!answer_one(*session_, request))
    return tl::unexpected(std::string("the kernel refused the mount"));
  return {};
}

void MountServer::answer_requests(int ended) {
  separate_umask();
  MountRequest request;
  while (answer_one(*session_, request)) {
  }
  const std::uint64_t one = 1;
  static_cast<void>(!::write(ended, &one, sizeof(one)));
}

void MountServer::serve(int ended) {
  volume_->committer().start();
  volume_->late_answers().start();
  const unsigned count =
      std::clamp(2 * std::thread::hardware_concurrency(), kLeastThreads, kMostThreads);
  for (unsigned i = 0; i < count; ++i)
    threads_.emplace_back([this, ended] { answer_requests(ended); });
  read_ahead_far(mount_point_);
}

void MountServer::unmount() {
  const bool is_root = ::geteuid() == 0;
  const char* const path = mount_point_.c_str();
  if (is_root ? ::umount2(path, UMOUNT_NOFOLLOW) == 0
              : run_fusermount({"fusermount3", "-u", "-q", path})) {
    return;
  }
  // In use: what has been written reaches us first, then the connection ends. syncfs(2) begins
  // with it, and does not wait for FUSE.
  const FileDescriptor top(::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (top.is_open()) static_cast<void>(::syncfs(top.get()));
  volume_->inodes().visit_all([this](Inode& inode) {
    if (inode.file != nullptr && inode.file->writer_count() != 0) volume_->write_back(inode);
  });
  if (is_root)
    static_cast<void>(::umount2(path, MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW));
  else if (run_fusermount({"fusermount3", "-u", "-z", "-q", path}) && top.is_open())
    abort_connection_of(top.get());
}

Result<void> MountServer::finish() {
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  volume_->late_answers().stop();
  auto done = volume_->committer().commit_all();
  static_cast<void>(volume_->remove_private_folder());
  return done;
}

MountServer::~MountServer() {
  if (session_ != nullptr) ::fuse_session_unmount(session_.get());
}

}  // namespace uzram
