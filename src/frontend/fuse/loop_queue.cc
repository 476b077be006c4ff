// SPDX-License-Identifier: Apache-2.0
#include "frontend/fuse/loop_queue.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <array>
#include <string>
#include <string_view>

#include "base/file_descriptor.h"
#include "base/units.h"

namespace uzram {
namespace {

struct QueueSetting {
  const char* attribute;
  std::string_view ours;
  std::string_view standard;  // What a loop device has before its first life.
};

constexpr const char* kThrottle = "queue/wbt_lat_usec";

// In this order: the scheduler decides what nr_requests may be, and a change of limits may set
// read_ahead_kb.
constexpr std::array kQueueSettings{
    QueueSetting{"queue/scheduler", "none", "none"},
    QueueSetting{"queue/nr_requests", "128", "128"},
    QueueSetting{"queue/rq_affinity", "1", "1"},
    QueueSetting{"queue/nomerges", "0", "0"},
    QueueSetting{"queue/iostats", "1", "1"},
    QueueSetting{"queue/iostats_passthrough", "0", "0"},
    QueueSetting{"queue/add_random", "0", "0"},
    QueueSetting{"queue/rotational", "0", "0"},
    QueueSetting{"queue/write_cache", "write through", "write back"},
    QueueSetting{"queue/stable_writes", "1", "0"},
    QueueSetting{kThrottle, "0", "-1"},
    QueueSetting{"bdi/strict_limit", "0", "0"},
    QueueSetting{"bdi/min_ratio", "0", "0"},
    QueueSetting{"bdi/max_ratio", "100", "100"},
    QueueSetting{"queue/read_ahead_kb", "128", "128"},
};
constexpr unsigned long kReadAheadSectors = 256;

// The device's folder in sysfs. Not open: there is none to be had here.
FileDescriptor open_folder(int node) {
  struct stat status {};
  if (::fstat(node, &status) != 0 || !S_ISBLK(status.st_mode)) return FileDescriptor();
  const std::string path =
      fmt::format("/sys/dev/block/{}:{}", major(status.st_rdev), minor(status.st_rdev));
  return FileDescriptor(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

std::string read_attribute(const FileDescriptor& folder, const char* attribute) {
  const FileDescriptor file(::openat(folder.get(), attribute, O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> text;
  const ssize_t bytes = file.is_open() ? ::read(file.get(), text.data(), text.size()) : -1;
  if (bytes <= 0) return {};
  std::string value(text.data(), static_cast<std::size_t>(bytes));
  while (!value.empty() && value.back() == '\n') value.pop_back();
  return value;
}

Result<void> write_attribute(const FileDescriptor& folder, const char* attribute,
                             std::string_view value) {
  const FileDescriptor file(::openat(folder.get(), attribute, O_WRONLY | O_CLOEXEC));
  if (!file.is_open()) return fail_errno();
  if (::write(file.get(), value.data(), value.size()) < 0) return fail_errno();
  return {};
}

// Each change stops the queue for a moment, so only what is different is changed.
void settle(const FileDescriptor& folder, const char* attribute, std::string_view value) {
  const std::string now = read_attribute(folder, attribute);
  // Of several words the one in brackets counts.
  if (now == value || now.find(fmt::format("[{}]", value)) != std::string::npos) return;
  static_cast<void>(write_attribute(folder, attribute, value));
}

std::uint64_t read_number(const FileDescriptor& folder, const char* attribute) {
  return std::strtoull(read_attribute(folder, attribute).c_str(), nullptr, 10);
}

// As large as the hardware, which is ourselves, takes them.
void open_limits(const FileDescriptor& folder) {
  if (const std::uint64_t most_kib = read_number(folder, "queue/max_hw_sectors_kb");
      read_number(folder, "queue/max_sectors_kb") < most_kib) {
    // 0 is the default, which older kernels do not know.
    if (!write_attribute(folder, "queue/max_sectors_kb", "0")) {
      settle(folder, "queue/max_sectors_kb", std::to_string(most_kib));
    }
  }
  const std::uint64_t discard_bytes =
      read_number(folder, "queue/discard_max_hw_bytes") / kPageBytes * kPageBytes;
  if (read_number(folder, "queue/discard_max_bytes") < discard_bytes) {
    settle(folder, "queue/discard_max_bytes", std::to_string(discard_bytes));
  }
}

template <typename Value>
void settle_all(int node, Value value) {
  int is_read_only = 0;
  if (::ioctl(node, BLKROGET, &is_read_only) == 0 && is_read_only != 0) {
    is_read_only = 0;
    static_cast<void>(::ioctl(node, BLKROSET, &is_read_only));
  }
  if (const FileDescriptor folder = open_folder(node); folder.is_open()) {
    open_limits(folder);
    for (const QueueSetting& setting : kQueueSettings) {
      settle(folder, setting.attribute, value(setting));
    }
  }
  static_cast<void>(::ioctl(node, BLKRASET, kReadAheadSectors));
}

}  // namespace

void set_up_loop_queue(int node) {
  settle_all(node, [](const QueueSetting& setting) { return setting.ours; });
}

void leave_loop_queue(int node) {
  settle_all(node, [](const QueueSetting& setting) { return setting.standard; });
}

void leave_lost_loop_queue(int index) {
  const std::string path = fmt::format("/sys/block/loop{}", index);
  const FileDescriptor folder(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!folder.is_open()) return;
  const std::string backing = read_attribute(folder, "loop/backing_file");
  const bool is_disk = backing.find("/disk/zram") != std::string::npos;
  if (is_disk) return;
  for (const QueueSetting& setting : kQueueSettings) {
    if (setting.ours == setting.standard) continue;
    if (read_attribute(folder, setting.attribute) != setting.ours) continue;
    static_cast<void>(write_attribute(folder, setting.attribute, setting.standard));
  }
}

Result<void> switch_throttle_off(int node) {
  const FileDescriptor folder = open_folder(node);
  if (!folder.is_open()) return fail(ENOENT);
  return write_attribute(folder, kThrottle, "0");
}

}  // namespace uzram
