// SPDX-License-Identifier: Apache-2.0
// What a run has saved and what it has cost: a line of JSON a second, and words at the end.
#include <fcntl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>

#include "pager/quiet_thread.h"
#include "preload/interpose/runtime.h"

namespace uzram::exec {
namespace {

struct Peaks {
  std::uint64_t total_bytes = 0;  // What was paid.
  std::uint64_t held_bytes = 0;   // What the program had in paged memory.
  std::uint64_t saved_bytes = 0;  // The most by which the second was larger.
};

Mutex report_mutex;
Peaks peaks;
pid_t owner = 0;
double began_seconds = 0;
bool is_said = false;
int report_file = STDERR_FILENO;
// Its own name, as the process list shows it.
char program_name[32] = "program";

double now_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

std::string size_text(std::uint64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1fM", static_cast<double>(bytes) / (1 << 20));
  return text;
}

// What the program has there: what is in memory, and what is packed, unpacked.
std::uint64_t held_bytes(const PagerStats& stats) {
  return stats.resident_bytes + stats.staged_bytes + stats.stored_bytes;
}

PagerStats look() {
  const PagerStats stats = machinery()->space->pager().stats();
  const MutexLock lock(report_mutex);
  const std::uint64_t held = held_bytes(stats);
  peaks.total_bytes = std::max(peaks.total_bytes, stats.total_bytes());
  peaks.held_bytes = std::max(peaks.held_bytes, held);
  if (held > stats.total_bytes())
    peaks.saved_bytes = std::max(peaks.saved_bytes, held - stats.total_bytes());
  return stats;
}

std::string json_of(const PagerStats& stats) {
  const std::pair<const char*, std::uint64_t> members[] = {
      {"limit_bytes", stats.limit_bytes},
      {"total_bytes", stats.total_bytes()},
      {"resident_bytes", stats.resident_bytes},
      {"staged_bytes", stats.staged_bytes},
      {"packed_bytes", stats.packed_bytes},
      {"table_bytes", stats.table_bytes},
      {"stored_bytes", stats.stored_bytes},
      {"held_bytes", held_bytes(stats)},
      {"block_bytes", machinery()->heap->block_bytes()},
      {"taken_bytes", machinery()->space->taken_bytes()},
      {"faults", stats.faults},
      {"major_faults", stats.major_faults},
      {"staging_hits", stats.staging_hits},
      {"readahead_pages", stats.readahead_pages},
      {"refaults", stats.refaults},
      {"evicted_pages", stats.evicted_pages},
      {"clean_drops", stats.clean_drops},
      {"stall_nanoseconds", stats.stall_nanoseconds},
  };
  char text[96];
  std::snprintf(text, sizeof text, "{\"pid\":%d,\"seconds\":%.3f", owner,
                now_seconds() - began_seconds);
  std::string line = text;
  for (const auto& [name, value] : members)
    line += std::string(",\"") + name + "\":" + std::to_string(value);
  std::snprintf(text, sizeof text, ",\"stall_avg10\":%.2f}\n", stats.stall_avg10);
  return line + text;
}

// One write: lines of several processes do not mix.
void append(const std::string& path, const std::string& line) {
  const int file = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
  if (file < 0) return;
  if (::write(file, line.data(), line.size()) < 0) { /* A full disk costs a line. */
  }
  ::close(file);
}

void work() {
  constexpr long kLookNanoseconds = 100'000'000;
  constexpr unsigned kLooksPerLine = 10;
  for (unsigned i = 1;; ++i) {
    const timespec pause{0, kLookNanoseconds};
    ::nanosleep(&pause, nullptr);
    const PagerStats stats = look();
    if (!settings()->stats_path.empty() && i % kLooksPerLine == 0)
      append(settings()->stats_path, json_of(stats));
  }
}

void say_words(const PagerStats& stats) {
  const double seconds = std::max(now_seconds() - began_seconds, 1e-3);
  const double waited = static_cast<double>(stats.stall_nanoseconds) / 1e9;
  const std::string name =
      std::string("uzram exec: ") + program_name + "[" + std::to_string(owner) + "]: ";
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const MutexLock lock(report_mutex);
  std::string text = name + "saved up to " + size_text(peaks.saved_bytes) + ": " +
                     size_text(peaks.held_bytes) + " of memory in at most " +
                     size_text(peaks.total_bytes) + ", limit " + size_text(stats.limit_bytes) +
                     ", " + std::string(exec_backend_name(machinery()->space->pager().backend())) +
                     "; the whole process at most " +
                     size_text(static_cast<std::uint64_t>(usage.ru_maxrss) << 10) + "\n";
  char cost[256];
  std::snprintf(cost, sizeof cost,
                "cost %.2f s of waiting in %.2f s: %llu faults (%llu unpacked a page), %llu pages "
                "put away (%llu without packing)\n",
                waited, seconds, static_cast<unsigned long long>(stats.faults),
                static_cast<unsigned long long>(stats.major_faults),
                static_cast<unsigned long long>(stats.evicted_pages),
                static_cast<unsigned long long>(stats.clean_drops));
  text += name + cost;
  if (::write(report_file, text.data(), text.size()) < 0) return;  // Nobody listens.
}

}  // namespace

void start_statistics() {
  if (!settings()->has_report && settings()->stats_path.empty()) return;
  const InsideScope inside;
  owner = ::getpid();
  began_seconds = now_seconds();
  std::snprintf(program_name, sizeof program_name, "%.31s", ::program_invocation_short_name);
  // Some programs close theirs before they end.
  constexpr int kOutOfTheWay = 200;
  const int copy =
      settings()->has_report ? ::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, kOutOfTheWay) : -1;
  if (copy >= 0) report_file = copy;
  try {
    start_quiet_thread("uzram-report", work).detach();
  } catch (const std::system_error&) {
    // Without looks in between, the end still says how it was then.
  }
}

void say_report() {
  if (machinery() == nullptr || owner == 0 || is_child() || ::getpid() != owner) return;
  const InsideScope inside;
  {
    const MutexLock lock(report_mutex);
    if (is_said) return;
    is_said = true;
  }
  const PagerStats stats = look();
  if (!settings()->stats_path.empty()) append(settings()->stats_path, json_of(stats));
  if (settings()->has_report) say_words(stats);
}

}  // namespace uzram::exec
