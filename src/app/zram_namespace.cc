// SPDX-License-Identifier: Apache-2.0
#include "app/zram_namespace.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <array>
#include <filesystem>
#include <vector>

#include "frontend/fuse/mount_table.h"

namespace uzram {

namespace {

namespace fs = std::filesystem;

constexpr const char* kDevFolder = "/dev";
constexpr const char* kClassParent = "/sys/class";
constexpr const char* kControlFolder = "/sys/class/zram-control";

struct Place {
  std::string_view in_tree;
  const char* path;
  bool is_optional;  // Debugfs is not mounted everywhere.
};
constexpr std::array kPlaces{
    Place{"/class/zram-control", kControlFolder, false},
    Place{"/machine/class/block", "/sys/class/block", false},
    Place{"/machine/dev/block", "/sys/dev/block", false},
    Place{"/machine/block", "/sys/block", false},
    Place{"/kernel/debug/zram", "/sys/kernel/debug/zram", true},
    Place{"/kernel/debug/zsmalloc", "/sys/kernel/debug/zsmalloc", true},
};

// "modprobe zram num_devices=4" finds devices of ours, and "modprobe -r zram" takes them away, as
// loading and unloading the kernel's module do. That module is left alone.
constexpr const char* kModprobeFolder = "/etc/modprobe.d";
constexpr const char* kModprobeName = "00-uzram.conf";
constexpr std::string_view kModprobeRules =
    R"(install zram n=1; for word in $CMDLINE_OPTS; do case "$word" in \
num_devices=*) n=${word#*=};; esac; done; \
while [ "$n" -gt 0 ] && [ ! -e /sys/block/zram$((n - 1)) ]; do \
cat /sys/class/zram-control/hot_add > /dev/null || exit 1; done
remove zram for device in /sys/block/zram*; do [ ! -e "$device" ] || \
echo "${device##*/zram}" > /sys/class/zram-control/hot_remove || exit 1; done
)";

tl::unexpected<InputError> refuse_mount(const char* path) {
  const int code = errno;
  return refuse(code, fmt::format("cannot mount over {} ({})", path, errno_name(code)));
}

// A copy of what is mounted at `path`, with all below it; not open when nothing is there.
FileDescriptor copy_of_mount(const std::string& path) {
  return FileDescriptor(
      ::open_tree(AT_FDCWD, path.c_str(),
                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW));
}

bool put_mount(const FileDescriptor& mount, const std::string& path) {
  return ::move_mount(mount.get(), "", AT_FDCWD, path.c_str(), MOVE_MOUNT_F_EMPTY_PATH) == 0;
}

// Where the kernel has no zram, its class folder is missing, and sysfs lets nobody make one: a
// folder of our own with all other classes.
InputResult<void> make_class_folder() {
  struct Class {
    std::string path;
    FileDescriptor mount;
  };
  std::vector<Class> classes;
  std::error_code ignored;
  for (const auto& each : fs::directory_iterator(kClassParent, ignored)) {
    const std::string path = each.path().string();
    classes.push_back({path, copy_of_mount(path)});
  }
  if (::mount("uzram", kClassParent, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV,
              "mode=0755,size=1m") != 0) {
    return refuse_mount(kClassParent);
  }
  for (const Class& each : classes) {
    if (::mkdir(each.path.c_str(), 0755) != 0 || !put_mount(each.mount, each.path)) {
      return refuse_mount(each.path.c_str());
    }
  }
  if (::mkdir(kControlFolder, 0755) != 0) return refuse_mount(kControlFolder);
  return {};
}

bool write_file(const std::string& path, std::string_view text) {
  const FileDescriptor file(
      ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
  return file.is_open() &&
         ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// The folder as it is, with a file of ours.
InputResult<void> make_modprobe_folder() {
  std::error_code problem;
  if (!fs::is_directory(kModprobeFolder, problem)) return {};
  const FileDescriptor former(::open(kModprobeFolder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!former.is_open() || ::mount("uzram", kModprobeFolder, "tmpfs",
                                   MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=0755,size=4m") != 0) {
    return refuse_mount(kModprobeFolder);
  }
  fs::copy(fmt::format("/proc/self/fd/{}/.", former.get()), kModprobeFolder,
           fs::copy_options::copy_symlinks, problem);
  if (problem ||
      !write_file(fmt::format("{}/{}", kModprobeFolder, kModprobeName), kModprobeRules)) {
    return refuse_mount(kModprobeFolder);
  }
  return {};
}

}  // namespace

InputResult<void> enter_zram_namespace(const std::string& tree) {
  if (::unshare(CLONE_NEWNS) != 0) {
    return refuse(errno, fmt::format("no mount namespace can be made ({}); this needs root",
                                     errno_name(errno)));
  }
  // What others mount from now on is seen here; nothing of ours is seen there.
  if (::mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return refuse_mount("/");
  if (::access(kControlFolder, F_OK) != 0) {
    if (InputResult<void> made = make_class_folder(); !made) return made;
  }
  for (const Place& place : kPlaces) {
    if (place.is_optional && ::access(place.path, F_OK) != 0) continue;
    const std::string source = fmt::format("{}{}", tree, place.in_tree);
    if (::mount(source.c_str(), place.path, nullptr, MS_BIND, nullptr) != 0) {
      return refuse_mount(place.path);
    }
  }
  return make_modprobe_folder();
}

void uncover_zram_namespace() {
  for (const Place& place : kPlaces) static_cast<void>(::umount2(place.path, MNT_DETACH));
  static_cast<void>(::umount2(kModprobeFolder, MNT_DETACH));
  static_cast<void>(::umount2(kDevFolder, MNT_DETACH));
}

// --- /dev --------------------------------------------------------------------------------------

struct DevMounts::Kept {
  struct Mount {
    std::string path;
    FileDescriptor copy;
  };
  std::vector<Mount> mounts;
};

DevMounts::DevMounts() : kept_(std::make_unique<Kept>()) {}
DevMounts::~DevMounts() = default;

InputResult<std::unique_ptr<DevMounts>> DevMounts::mount(const std::string& tree) {
  std::unique_ptr<DevMounts> mounts(new DevMounts);
  std::vector<Kept::Mount>& kept = mounts->kept_->mounts;
  const std::string prefix = fmt::format("{}/", kDevFolder);
  for (const MountEntry& entry : read_mount_table()) {
    if (!entry.mount_point.starts_with(prefix)) continue;
    // What is mounted below another one comes with it.
    const bool is_below = !kept.empty() && entry.mount_point.starts_with(kept.back().path + "/");
    if (!is_below) kept.push_back({entry.mount_point, copy_of_mount(entry.mount_point)});
  }
  FileDescriptor real(::open(kDevFolder, O_PATH | O_DIRECTORY | O_CLOEXEC));
  FileDescriptor blocks(::open((tree + "/block").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!real.is_open() || !blocks.is_open()) return refuse_mount(kDevFolder);
  auto view = DevView::mount(std::move(real), std::move(blocks), kDevFolder);
  if (!view) return tl::unexpected<InputError>(view.error());
  mounts->view_ = std::move(*view);
  return mounts;
}

InputResult<void> DevMounts::put_back() {
  for (const Kept::Mount& mount : kept_->mounts) {
    // One that has gone meanwhile, or was mounted over, is left out.
    if (mount.copy.is_open() && !put_mount(mount.copy, mount.path) && errno != ENOENT) {
      return refuse_mount(mount.path.c_str());
    }
  }
  kept_->mounts.clear();
  return {};
}

}  // namespace uzram
