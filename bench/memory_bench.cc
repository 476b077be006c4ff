// SPDX-License-Identifier: Apache-2.0
#include "bench/memory_bench.h"

#include <nlohmann/json.hpp>

#include "bench/device_setup.h"
#include "bench/measure.h"

namespace uzram::bench {
namespace {

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
  auto device = make_device({.algorithm = algorithm}, corpus.page_count());
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
  auto made = make_device({.algorithm = algorithm}, pages);
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
