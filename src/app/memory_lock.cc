// SPDX-License-Identifier: Apache-2.0
#include "app/memory_lock.h"

#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <charconv>
#include <fstream>

#ifndef PR_SET_IO_FLUSHER
#define PR_SET_IO_FLUSHER 57
#endif
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

namespace uzram {

namespace {

constexpr std::size_t kThreadStackBytes = std::size_t{512} * 1024;
// Anything larger is address space set aside, not working memory.
constexpr std::uintptr_t kMostTouchedBytes = std::uintptr_t{64} << 20;
constexpr const char* kOomScorePath = "/proc/self/oom_score_adj";
constexpr int kNeverKill = -1000;

bool write_oom_score(int score) {
  std::ofstream file(kOomScorePath);
  file << score << '\n' << std::flush;
  return static_cast<bool>(file);
}

// Returns: how many mappings could not be touched.
int touch_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::vector<Mapping> mappings;
  for (std::string line; std::getline(maps, line);) {
    const std::optional<Mapping> mapping = read_mapping(line);
    if (mapping && mapping->touch != Touch::Nothing) mappings.push_back(*mapping);
  }
  int failures = 0;
  for (const Mapping& mapping : mappings) {
    const int advice = mapping.touch == Touch::Write ? MADV_POPULATE_WRITE : MADV_POPULATE_READ;
    // The address comes as text: there is no pointer to start from.
    void* const start =
        reinterpret_cast<void*>(mapping.start);  // NOLINT(performance-no-int-to-ptr)
    // A thread may have ended since, with its stack: ENOMEM for a mapping that is gone.
    if (::madvise(start, mapping.end - mapping.start, advice) != 0 && errno != ENOMEM) ++failures;
  }
  return failures;
}

}  // namespace

std::optional<Mapping> read_mapping(std::string_view line) {
  // 7f00-7f10 rw-p 00000000 00:00 0          [name]
  Mapping mapping;
  const char* const line_end = line.data() + line.size();
  const auto start = std::from_chars(line.data(), line_end, mapping.start, 16);
  if (start.ec != std::errc{} || start.ptr == line_end || *start.ptr != '-') return std::nullopt;
  const auto end = std::from_chars(start.ptr + 1, line_end, mapping.end, 16);
  if (end.ec != std::errc{} || line_end - end.ptr < 5 || *end.ptr != ' ') return std::nullopt;
  if (mapping.end <= mapping.start) return std::nullopt;
  const std::string_view mode(end.ptr + 1, 4);
  const bool is_special = line.find("[v") != std::string_view::npos;  // vdso, vvar, vsyscall
  const bool is_shared = mode[3] == 's';
  if (is_special || mode[0] != 'r') return mapping;
  if (mode[1] == 'w') {
    const bool is_small = mapping.end - mapping.start <= kMostTouchedBytes;
    mapping.touch = is_shared || !is_small ? Touch::Nothing : Touch::Write;
  } else {
    mapping.touch = is_shared ? Touch::Nothing : Touch::Read;
  }
  return mapping;
}

bool MemoryLock::is_locked() const {
  MutexLock lock(mutex_);
  return holders_ != 0;
}

InputResult<std::vector<std::string>> MemoryLock::lock() {
  MutexLock lock(mutex_);
  // Without MCL_ONFAULT the kernel would fill every hole of the arenas.
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
    return refuse(errno,
                  fmt::format("the daemon's memory cannot be locked ({}); run it as root, or "
                              "raise its limit of locked memory",
                              errno_name(errno)));
  }
  std::vector<std::string> remarks;
  if (const int failures = touch_mappings(); failures != 0) {
    remarks.push_back(fmt::format("{} mappings could not be touched ahead of need", failures));
  }
  if (holders_ == 0) {
    int score = 0;
    std::ifstream(kOomScorePath) >> score;
    if (write_oom_score(kNeverKill)) {
      former_oom_score_ = score;
    } else {
      remarks.emplace_back("oom_score_adj -1000 was refused: the kernel may kill the daemon");
    }
  }
  ++holders_;
  return remarks;
}

void MemoryLock::unlock() {
  MutexLock lock(mutex_);
  if (holders_ == 0 || --holders_ != 0) return;
  ::munlockall();
  if (former_oom_score_) write_oom_score(*former_oom_score_);
  former_oom_score_.reset();
}

Result<void> become_io_flusher() {
  if (::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0) != 0) return fail_errno();
  return {};
}

void limit_thread_stacks() {
  pthread_attr_t attributes;
  if (::pthread_attr_init(&attributes) != 0) return;
  // Thread-local storage lives in the stack and is what the C library counts as its minimum.
  const long minimum = ::sysconf(_SC_THREAD_STACK_MIN);
  const std::size_t stack_bytes =
      kThreadStackBytes + (minimum > 0 ? static_cast<std::size_t>(minimum) : 0);
  if (::pthread_attr_setstacksize(&attributes, stack_bytes) == 0) {
    ::pthread_setattr_default_np(&attributes);
  }
  ::pthread_attr_destroy(&attributes);
  // One heap for each thread would be 64 MiB of address space each, mostly untouched.
  ::mallopt(M_ARENA_MAX, 2);
}

}  // namespace uzram
