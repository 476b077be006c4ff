// SPDX-License-Identifier: Apache-2.0
#include "bench/memory_bench.h"

#include <sys/stat.h>

#include <chrono>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "bench/measure.h"
#include "device/device.h"

namespace uzram::bench {
namespace {

Result<std::unique_ptr<Device>> make_device(const std::string& algorithm, std::size_t pages) {
  auto device = std::make_unique<Device>(0);
  if (const auto set = device->set_algorithm(algorithm); !set) return fail(set.error().code);
  if (const auto set = device->set_disksize(pages * kPageBytes); !set)
    return fail(set.error().code);
  return device;
}

Result<void> fill(Device& device, const Corpus& corpus) {
  for (std::size_t page = 0; page < corpus.page_count(); ++page) {
    const Result<void> done = device.write(page * kPageBytes, corpus.page(page));
    if (!done) return done;
  }
  return {};
}

// Until the pool has not changed for a second, or half a minute has passed.
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

// Anonymous memory of this process, from its status file.
std::uint64_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    std::uint64_t kibibytes = 0;
    if (word == "RssAnon:" && status >> kibibytes) return kibibytes * 1024;
  }
  return 0;
}

std::uint64_t arena_bytes(const Device& device) {
  struct stat status {};
  if (::fstat(device.arena_descriptor(), &status) != 0) return 0;
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
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
          {"total_bytes", stats.total_bytes()},
          {"same_pages", stats.same_pages},
          {"huge_pages", stats.huge_pages}};
}

double overhead(const DeviceStats& stats) {
  return static_cast<double>(stats.mem_used_bytes) / static_cast<double>(stats.compr_data_bytes) -
         1.0;
}

double metadata_bytes_per_page(const DeviceStats& stats) {
  const std::uint64_t stored_pages = stats.orig_data_bytes / kPageBytes;
  return static_cast<double>(stats.table_bytes + stats.pool_metadata_bytes) /
         static_cast<double>(stored_pages);
}

}  // namespace

Result<nlohmann::json> measure_memory(const Corpus& corpus, const std::string& algorithm) {
  const std::uint64_t anonymous_before = anonymous_bytes();
  auto device = make_device(algorithm, corpus.page_count());
  if (!device) return fail(device.error().code);
  if (const auto done = fill(**device, corpus); !done) return fail(done.error().code);
  nlohmann::json answer{{"pages", corpus.page_count()}, {"after_fill", account(**device)}};
  answer["arena_bytes"] = arena_bytes(**device);
  answer["process_bytes"] =
      arena_bytes(**device) + anonymous_bytes() - std::min(anonymous_before, anonymous_bytes());
  wait_for_maintenance(**device);
  answer["at_rest"] = account(**device);
  (*device)->check_invariants();
  return answer;
}

Result<nlohmann::json> measure_overhead(const Corpus& corpus, const std::string& algorithm) {
  const std::size_t pages = corpus.page_count();
  auto made = make_device(algorithm, pages);
  if (!made) return fail(made.error().code);
  Device& device = **made;
  if (const auto done = fill(device, corpus); !done) return fail(done.error().code);
  DeviceStats stats = device.stats();
  nlohmann::json answer{{"pages", pages}, {"fresh", overhead(stats)}};
  answer["metadata_bytes_per_page"] = metadata_bytes_per_page(stats);

  Random random(2024);
  for (std::size_t i = 0; i < 4 * pages; ++i) {
    const PageView content = corpus.page(random.below(pages));
    const auto done = device.write(random.below(pages) * kPageBytes, content);
    if (!done) return fail(done.error().code);
  }
  answer["overwritten_at_once"] = overhead(device.stats());
  wait_for_maintenance(device);
  answer["overwritten"] = overhead(device.stats());

  std::vector<std::uint32_t> half = shuffled(pages, 5);
  half.resize(pages / 2);
  for (const std::uint32_t page : half) {
    const auto done = device.discard(std::uint64_t{page} * kPageBytes, kPageBytes);
    if (!done) return fail(done.error().code);
  }
  answer["half_freed_at_once"] = overhead(device.stats());
  wait_for_maintenance(device);
  stats = device.stats();
  answer["half_freed"] = overhead(stats);
  answer["half_freed_metadata_bytes_per_page"] = metadata_bytes_per_page(stats);
  const Result<void> compacted = device.compact();
  if (!compacted) return fail(compacted.error().code);
  answer["compacted"] = overhead(device.stats());
  device.check_invariants();
  return answer;
}

}  // namespace uzram::bench
