// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/block_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <memory>

#include "base/file_descriptor.h"
#include "base/units.h"
#include "device/device.h"

namespace uzram {
namespace {

constexpr unsigned kEntryFolderMode = 0755;
constexpr unsigned kLinkMode = 0777;
constexpr unsigned kReadableMode = 0444;
constexpr std::size_t kMostEntryBytes = 4096;

// What is there without a loop device as well, with what it then says.
struct PlainFile {
  std::string_view path;
  std::string_view text;
};
constexpr std::array kPlainFiles{
    PlainFile{"alignment_offset", "0"},
    PlainFile{"capability", "0"},
    PlainFile{"discard_alignment", "0"},
    PlainFile{"events", ""},
    PlainFile{"events_async", ""},
    PlainFile{"events_poll_msecs", "-1"},
    PlainFile{"ext_range", "1"},
    PlainFile{"hidden", "0"},
    PlainFile{"inflight", "       0        0"},
    PlainFile{"range", "1"},
    PlainFile{"removable", "0"},
    PlainFile{"ro", "0"},
    PlainFile{"queue/add_random", "0"},
    PlainFile{"queue/discard_granularity", "4096"},
    PlainFile{"queue/discard_max_bytes", "2199023255040"},
    PlainFile{"queue/discard_max_hw_bytes", "2199023255040"},
    PlainFile{"queue/discard_zeroes_data", "0"},
    PlainFile{"queue/fua", "0"},
    PlainFile{"queue/hw_sector_size", "4096"},
    PlainFile{"queue/iostats", "0"},
    PlainFile{"queue/logical_block_size", "4096"},
    PlainFile{"queue/max_hw_sectors_kb", "1280"},
    PlainFile{"queue/max_sectors_kb", "1280"},
    PlainFile{"queue/max_segment_size", "65536"},
    PlainFile{"queue/max_segments", "128"},
    PlainFile{"queue/minimum_io_size", "4096"},
    PlainFile{"queue/nomerges", "0"},
    PlainFile{"queue/nr_zones", "0"},
    PlainFile{"queue/optimal_io_size", "4096"},
    PlainFile{"queue/physical_block_size", "4096"},
    PlainFile{"queue/read_ahead_kb", "128"},
    PlainFile{"queue/rotational", "0"},
    PlainFile{"queue/stable_writes", "1"},
    PlainFile{"queue/write_cache", "write through"},
    PlainFile{"queue/write_zeroes_max_bytes", "2199023255040"},
    PlainFile{"queue/zoned", "none"},
};
constexpr std::array<std::string_view, 4> kPlainFolders{"holders", "power", "queue", "slaves"};

// Of the loop device's folder: what a zram device has as well, and what is the queue's own.
constexpr std::array<std::string_view, 15> kPassedFiles{
    "alignment_offset",  "capability", "discard_alignment",
    "diskseq",           "events",     "events_async",
    "events_poll_msecs", "ext_range",  "hidden",
    "inflight",          "partscan",   "range",
    "removable",         "ro",         "uevent"};
constexpr std::array<std::string_view, 7> kPassedFolders{"holders", "integrity", "mq",   "power",
                                                         "queue",   "slaves",    "trace"};

template <typename Names>
bool contains(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view first_part(std::string_view path) { return path.substr(0, path.find('/')); }

// The number of the loop device; 0 when there is none.
dev_t loop_number(const Device& device) {
  const std::string path = device.block_path();
  struct stat status {};
  const bool is_node =
      !path.empty() && ::stat(path.c_str(), &status) == 0 && S_ISBLK(status.st_mode);
  return is_node ? status.st_rdev : 0;
}

// Its folder; not open when there is none.
FileDescriptor open_sysfs_folder(const Device& device) {
  const dev_t number = loop_number(device);
  if (number == 0) return {};
  const std::string path = fmt::format("/sys/dev/block/{}:{}", major(number), minor(number));
  return FileDescriptor(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

// Below the folder and over no link, whatever the path says.
FileDescriptor open_below(const FileDescriptor& folder, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags) | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  return FileDescriptor(
      static_cast<int>(::syscall(SYS_openat2, folder.get(), path.c_str(), &how, sizeof how)));
}

bool is_passed(std::string_view path) {
  const std::string_view first = first_part(path);
  return first == path ? contains(kPassedFiles, path) || contains(kPassedFolders, path)
                       : contains(kPassedFolders, first);
}

// Links of holders/ and slaves/ lead to a disk: "../../../dm-0".
std::string absolute_target(const FileDescriptor& link) {
  std::array<char, 4096> target{};
  const ssize_t bytes = ::readlinkat(link.get(), "", target.data(), target.size());
  std::string_view rest(target.data(), bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return fmt::format("/sys/class/block/{}", rest.substr(rest.rfind('/') + 1));
}

// No name of a folder's own, like "..".
bool has_plain_names(std::string_view path) {
  for (std::string_view rest = path;; rest.remove_prefix(rest.find('/') + 1)) {
    const std::string_view name = first_part(rest);
    if (name.empty() || name == "." || name == "..") return false;
    if (name.size() == rest.size()) return true;
  }
}

std::optional<BlockEntry> find_passed(const FileDescriptor& folder, std::string_view path) {
  if (!is_passed(path) || !has_plain_names(path)) return std::nullopt;
  BlockEntry entry;
  entry.path = path;
  const FileDescriptor found = open_below(folder, entry.path, O_PATH | O_NOFOLLOW);
  struct stat status {};
  if (!found.is_open() || ::fstat(found.get(), &status) != 0) return std::nullopt;
  entry.mode = status.st_mode & 0777U;
  if (S_ISDIR(status.st_mode)) entry.kind = BlockEntry::Kind::Folder;
  if (S_ISLNK(status.st_mode)) {
    entry.kind = BlockEntry::Kind::Link;
    entry.target = absolute_target(found);
  }
  return entry;
}

std::optional<BlockEntry> find_plain(std::string_view path) {
  BlockEntry entry;
  entry.path = path;
  if (contains(kPlainFolders, path)) {
    entry.kind = BlockEntry::Kind::Folder;
    entry.mode = kEntryFolderMode;
    return entry;
  }
  const auto is_it = [path](const PlainFile& file) { return file.path == path; };
  entry.mode = kReadableMode;
  if (path == "uevent" || std::any_of(kPlainFiles.begin(), kPlainFiles.end(), is_it)) return entry;
  return std::nullopt;
}

std::string number_text(dev_t number) { return fmt::format("{}:{}", major(number), minor(number)); }

// What every device has, with a loop device or without.
std::optional<BlockEntry> find_own(const Device& device, std::string_view path) {
  BlockEntry entry;
  entry.path = path;
  entry.mode = kReadableMode;
  if (path == "dev" || path == "size") return entry;
  entry.kind = BlockEntry::Kind::Link;
  entry.mode = kLinkMode;
  if (path == "subsystem") {
    entry.target = "/sys/class/block";
    return entry;
  }
  if (path == "bdi" && loop_number(device) != 0) {
    entry.target = "/sys/class/bdi/" + number_text(loop_number(device));
    return entry;
  }
  return std::nullopt;
}

void add_names_of(const FileDescriptor& folder, std::vector<std::string>& names) {
  const int copy = ::openat(folder.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (copy < 0) return;
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(copy), ::closedir);
  if (stream == nullptr) {
    ::close(copy);
    return;
  }
  while (const dirent* each = ::readdir(stream.get())) {
    const std::string_view name(each->d_name);
    if (name != "." && name != "..") names.emplace_back(name);
  }
}

}  // namespace

dev_t disk_number(const Device& device) {
  const dev_t number = loop_number(device);
  return number != 0 ? number : makedev(0, static_cast<unsigned>(device.id()) + 1);
}

std::string loop_name(const Device& device) {
  const FileDescriptor folder = open_sysfs_folder(device);
  if (!folder.is_open()) return {};
  std::array<char, 4096> path{};
  const std::string link = fmt::format("/proc/self/fd/{}", folder.get());
  const ssize_t bytes = ::readlink(link.c_str(), path.data(), path.size());
  const std::string_view text(path.data(), bytes > 0 ? static_cast<std::size_t>(bytes) : 0);
  return std::string(text.substr(text.rfind('/') + 1));
}

std::optional<BlockEntry> find_block_entry(const Device& device, std::string_view path) {
  if (std::optional<BlockEntry> own = find_own(device, path)) return own;
  const FileDescriptor folder = open_sysfs_folder(device);
  return folder.is_open() ? find_passed(folder, path) : find_plain(path);
}

std::vector<std::string> list_block_folder(const Device& device, std::string_view path) {
  std::vector<std::string> names;
  const FileDescriptor folder = open_sysfs_folder(device);
  if (path.empty()) {
    for (const char* own : {"dev", "size", "subsystem", "bdi"}) {
      if (find_own(device, own)) names.emplace_back(own);
    }
    for (const auto& name : kPassedFiles) {
      if (find_block_entry(device, name)) names.emplace_back(name);
    }
    for (const auto& name : kPassedFolders) {
      if (find_block_entry(device, name)) names.emplace_back(name);
    }
  } else if (!folder.is_open()) {
    for (const PlainFile& file : kPlainFiles) {
      if (first_part(file.path) == path && file.path != path)
        names.emplace_back(file.path.substr(path.size() + 1));
    }
  } else if (is_passed(path)) {
    add_names_of(open_below(folder, std::string(path), O_PATH | O_DIRECTORY), names);
  }
  return names;
}

Result<std::string> show_block_entry(const Device& device, const BlockEntry& entry) {
  if (entry.path == "size") return fmt::format("{}\n", device.disksize() / kSectorBytes);
  if (entry.path == "dev") return number_text(disk_number(device)) + "\n";
  const FileDescriptor folder = open_sysfs_folder(device);
  if (!folder.is_open()) {
    if (entry.path == "uevent") return fmt::format("DEVNAME=zram{}\nDEVTYPE=disk\n", device.id());
    for (const PlainFile& file : kPlainFiles) {
      if (file.path == entry.path) return std::string(file.text) + "\n";
    }
    return fail(ENODEV);
  }
  const FileDescriptor file = open_below(folder, entry.path, O_RDONLY | O_NOFOLLOW);
  if (!file.is_open()) return fail_errno();
  std::string text(kMostEntryBytes, '\0');
  const ssize_t bytes = ::read(file.get(), text.data(), text.size());
  if (bytes < 0) return fail_errno();
  text.resize(static_cast<std::size_t>(bytes));
  return text;
}

Result<void> store_block_entry(const Device& device, const BlockEntry& entry,
                               std::string_view text) {
  const FileDescriptor folder = open_sysfs_folder(device);
  if (!folder.is_open()) return fail(ENODEV);
  const FileDescriptor file = open_below(folder, entry.path, O_WRONLY | O_NOFOLLOW);
  if (!file.is_open()) return fail_errno();
  if (::write(file.get(), text.data(), text.size()) < 0) return fail_errno();
  return {};
}

}  // namespace uzram
