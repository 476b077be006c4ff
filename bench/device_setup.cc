// SPDX-License-Identifier: Apache-2.0
#include "bench/device_setup.h"

#include <sys/stat.h>

#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

namespace uzram::bench {

Result<std::unique_ptr<Device>> make_device(const DevicePlan& plan, std::size_t pages) {
  auto device = std::make_unique<Device>(0);
  Result<void> set = device->set_algorithm(plan.algorithm);
  if (set && !plan.recompression.empty())
    set = device->set_recompression_algorithm(plan.recompression, 1);
  if (set) set = device->set_dedup(plan.uses_dedup);
  if (set && !plan.backing.empty()) set = device->set_backing(plan.backing);
  if (set) set = device->set_backing_encryption(plan.encrypts_backing);
  if (set) set = device->set_compressed_writeback(plan.has_compressed_writeback);
  if (set) set = device->set_disksize(pages * kPageBytes);
  if (!set) return fail(set.error().code);
  return device;
}

Result<void> fill(Device& device, const Corpus& corpus) {
  for (std::size_t page = 0; page < corpus.page_count(); ++page) {
    const Result<void> done = device.write(page * kPageBytes, corpus.page(page));
    if (!done) return done;
  }
  return {};
}

void wait_for_maintenance(const Device& device) {
  std::uint64_t used = device.stats().mem_used_bytes;
  int quiet_tenths = 0;
  for (int tenths = 0; tenths < 300 && quiet_tenths < 10; ++tenths) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    const std::uint64_t now = device.stats().mem_used_bytes;
    quiet_tenths = now == used ? quiet_tenths + 1 : 0;
    used = now;
  }
}

Result<void> verify(Device& device, const Corpus& corpus) {
  std::array<std::byte, kPageBytes> page;
  for (std::size_t index = 0; index < corpus.page_count(); ++index) {
    if (const Result<void> read = device.read(index * kPageBytes, page); !read) return read;
    if (std::memcmp(page.data(), corpus.page(index).data(), kPageBytes) != 0) return fail(EBADMSG);
  }
  return {};
}

nlohmann::json account(const Device& device) {
  const DeviceStats stats = device.stats();
  return {{"orig_data_bytes", stats.orig_data_bytes},
          {"compr_data_bytes", stats.compr_data_bytes},
          {"mem_used_bytes", stats.mem_used_bytes},
          {"table_bytes", stats.table_bytes},
          {"pool_metadata_bytes", stats.pool_metadata_bytes},
          {"context_bytes", stats.context_bytes},
          {"reserved_bytes", stats.reserved_bytes},
          {"backing_bytes", stats.backing_bytes},
          {"total_bytes", stats.total_bytes()},
          {"same_pages", stats.same_pages},
          {"huge_pages", stats.huge_pages},
          {"dup_data_bytes", stats.dup_data_bytes},
          {"meta_data_bytes", stats.meta_data_bytes}};
}

std::uint64_t arena_bytes(const Device& device) {
  struct stat status {};
  if (::fstat(device.arena_descriptor(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

std::uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    std::uint64_t kibibytes = 0;
    if (word == "RssAnon:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

}  // namespace uzram::bench
