// SPDX-License-Identifier: Apache-2.0
// device/device_stats.h: one moment's numbers of a device, with the kernel's names.
//
// Units:  bytes where a name says so, otherwise counts of pages or requests.
// Laws:   6 (counters equal the table).
// Source: io_stat, mm_stat and debug_stat of the kernel's zram (docs/attributes.md has the
//         columns).
#pragma once

#include <cstdint>

namespace uzram {

struct DeviceStats {
  // mm_stat
  std::uint64_t orig_data_bytes =
      0;  // Stored pages times the page size, same-filled ones included.
  std::uint64_t compr_data_bytes =
      0;  // Packed bytes; a raw page counts kPageBytes, a same-filled one 0.
  std::uint64_t mem_used_bytes = 0;   // Resident pool pages; the pool only, as in the kernel.
  std::uint64_t mem_limit_bytes = 0;  // 0: no limit.
  std::uint64_t mem_used_max_bytes = 0;
  std::uint64_t same_pages = 0;
  std::uint64_t pages_compacted = 0;  // Pool pages that compaction has given back.
  std::uint64_t huge_pages = 0;
  std::uint64_t huge_pages_since = 0;
  // ... and with use_dedup
  std::uint64_t dup_data_bytes = 0;   // Packed bytes that shared content saves.
  std::uint64_t meta_data_bytes = 0;  // What finding and keeping it costs.
  // bd_stat, in blocks of 4 KiB
  std::uint64_t backing_blocks = 0;  // In use.
  std::uint64_t backing_reads = 0;
  std::uint64_t backing_writes = 0;
  // io_stat
  std::uint64_t failed_reads = 0;
  std::uint64_t failed_writes = 0;
  std::uint64_t invalid_io = 0;
  std::uint64_t notify_free = 0;
  // stat, the block layer's columns: requests that have ended, their 512-byte sectors, and the
  // milliseconds that they took; what a clock of the kernel's ticks saw of them.
  std::uint64_t read_requests = 0;
  std::uint64_t read_sectors = 0;
  std::uint64_t read_milliseconds = 0;
  std::uint64_t write_requests = 0;
  std::uint64_t write_sectors = 0;
  std::uint64_t write_milliseconds = 0;
  std::uint64_t discard_requests = 0;
  std::uint64_t discard_sectors = 0;
  std::uint64_t discard_milliseconds = 0;
  std::uint64_t flush_requests = 0;
  std::uint64_t flush_milliseconds = 0;
  std::uint64_t requests_in_flight = 0;
  std::uint64_t busy_milliseconds = 0;  // In which any request was in flight.
  // What the kernel does not count; together with mem_used_bytes the whole cost.
  std::uint64_t table_bytes = 0;          // Resident slot table pages.
  std::uint64_t pool_metadata_bytes = 0;  // Span descriptors in use.
  std::uint64_t context_bytes = 0;        // Codec contexts and scratch buffers of all lanes.
  std::uint64_t reserve_bytes = 0;        // What the owner wants set aside (mem_reserve).
  std::uint64_t reserved_bytes = 0;       // Pool memory touched ahead of need (swap).
  std::uint64_t reserve_left_bytes = 0;   // Of these, what writes may use without new memory.
  std::uint64_t backing_bytes = 0;        // Buffers and tables for the backing store.
  [[nodiscard]] std::uint64_t total_bytes() const {
    return mem_used_bytes + table_bytes + pool_metadata_bytes + context_bytes + reserved_bytes +
           backing_bytes;
  }
};

}  // namespace uzram
