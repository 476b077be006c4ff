// SPDX-License-Identifier: Apache-2.0
#include "control/stat_text.h"

#include <fmt/format.h>

#include <array>

namespace uzram {

namespace {

constexpr std::array kFields{
    StatField{"orig_data_size", &DeviceStats::orig_data_bytes},
    StatField{"compr_data_size", &DeviceStats::compr_data_bytes},
    StatField{"mem_used_total", &DeviceStats::mem_used_bytes},
    StatField{"mem_limit", &DeviceStats::mem_limit_bytes},
    StatField{"mem_used_max", &DeviceStats::mem_used_max_bytes},
    StatField{"same_pages", &DeviceStats::same_pages},
    StatField{"pages_compacted", &DeviceStats::pages_compacted},
    StatField{"huge_pages", &DeviceStats::huge_pages},
    StatField{"huge_pages_since", &DeviceStats::huge_pages_since},
    StatField{"dup_data_size", &DeviceStats::dup_data_bytes},
    StatField{"meta_data_size", &DeviceStats::meta_data_bytes},
    StatField{"bd_count", &DeviceStats::backing_blocks},
    StatField{"bd_reads", &DeviceStats::backing_reads},
    StatField{"bd_writes", &DeviceStats::backing_writes},
    StatField{"failed_reads", &DeviceStats::failed_reads},
    StatField{"failed_writes", &DeviceStats::failed_writes},
    StatField{"invalid_io", &DeviceStats::invalid_io},
    StatField{"notify_free", &DeviceStats::notify_free},
    StatField{"read_requests", &DeviceStats::read_requests},
    StatField{"read_sectors", &DeviceStats::read_sectors},
    StatField{"read_milliseconds", &DeviceStats::read_milliseconds},
    StatField{"write_requests", &DeviceStats::write_requests},
    StatField{"write_sectors", &DeviceStats::write_sectors},
    StatField{"write_milliseconds", &DeviceStats::write_milliseconds},
    StatField{"discard_requests", &DeviceStats::discard_requests},
    StatField{"discard_sectors", &DeviceStats::discard_sectors},
    StatField{"discard_milliseconds", &DeviceStats::discard_milliseconds},
    StatField{"flush_requests", &DeviceStats::flush_requests},
    StatField{"flush_milliseconds", &DeviceStats::flush_milliseconds},
    StatField{"requests_in_flight", &DeviceStats::requests_in_flight},
    StatField{"busy_milliseconds", &DeviceStats::busy_milliseconds},
    StatField{"table_bytes", &DeviceStats::table_bytes},
    StatField{"pool_metadata_bytes", &DeviceStats::pool_metadata_bytes},
    StatField{"context_bytes", &DeviceStats::context_bytes},
    StatField{"mem_reserve", &DeviceStats::reserve_bytes},
    StatField{"reserved_bytes", &DeviceStats::reserved_bytes},
    StatField{"reserve_left_bytes", &DeviceStats::reserve_left_bytes},
    StatField{"backing_bytes", &DeviceStats::backing_bytes},
};
// A number that is added to DeviceStats needs its row here.
static_assert(sizeof(DeviceStats) == kFields.size() * sizeof(std::uint64_t));

}  // namespace

std::span<const StatField> stat_fields() { return kFields; }

std::string format_mm_stat(const DeviceStats& stats, bool uses_dedup) {
  std::string text = fmt::format(
      "{:8} {:8} {:8} {:8} {:8} {:8} {:8} {:8} {:8}", stats.orig_data_bytes, stats.compr_data_bytes,
      stats.mem_used_bytes, stats.mem_limit_bytes, stats.mem_used_max_bytes, stats.same_pages,
      stats.pages_compacted, stats.huge_pages, stats.huge_pages_since);
  if (uses_dedup) text += fmt::format(" {:8} {:8}", stats.dup_data_bytes, stats.meta_data_bytes);
  return text + "\n";
}

std::string format_io_stat(const DeviceStats& stats) {
  // The third column once counted requests that were not aligned; the kernel prints a bare 0 since.
  return fmt::format("{:8} {:8} 0 {:8}\n", stats.failed_reads, stats.failed_writes,
                     stats.notify_free);
}

std::string format_bd_stat(const DeviceStats& stats) {
  return fmt::format("{:8} {:8} {:8}\n", stats.backing_blocks, stats.backing_reads,
                     stats.backing_writes);
}

std::string format_debug_stat(const DeviceStats&) {
  // Waits of writers and missed frees: neither exists here, as no stream is shared and no free is
  // only tried.
  return fmt::format("version: 1\n0 {:8}\n", 0);
}

std::string format_block_stat(const DeviceStats& stats) {
  // Nothing is merged here, as in the kernel's zram.
  const auto group = [](std::uint64_t requests, std::uint64_t sectors, std::uint64_t ms) {
    return fmt::format("{:8} {:8} {:8} {:8}", requests, 0, sectors, ms);
  };
  const std::uint64_t all_ms = stats.read_milliseconds + stats.write_milliseconds +
                               stats.discard_milliseconds + stats.flush_milliseconds;
  return fmt::format(
      "{} {} {:8} {:8} {:8} {} {:8} {:8}\n",
      group(stats.read_requests, stats.read_sectors, stats.read_milliseconds),
      group(stats.write_requests, stats.write_sectors, stats.write_milliseconds),
      stats.requests_in_flight, stats.busy_milliseconds, all_ms,
      group(stats.discard_requests, stats.discard_sectors, stats.discard_milliseconds),
      stats.flush_requests, stats.flush_milliseconds);
}

std::string format_total_stat(const DeviceStats& stats) {
  return fmt::format(
      "orig_data_size {}\nmem_used_total {}\ntable_bytes {}\n"
      "pool_metadata_bytes {}\ncontext_bytes {}\nreserved_bytes {}\nbacking_bytes {}\n"
      "total_bytes {}\n",
      stats.orig_data_bytes, stats.mem_used_bytes, stats.table_bytes, stats.pool_metadata_bytes,
      stats.context_bytes, stats.reserved_bytes, stats.backing_bytes, stats.total_bytes());
}

}  // namespace uzram
