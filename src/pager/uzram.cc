// SPDX-License-Identifier: Apache-2.0
#include "pager/uzram.h"

#include <cerrno>
#include <climits>
#include <string>

#include "pager/pager.h"

namespace uzram {
namespace {

Pager& pager_of(uzram_pager* pager) { return *reinterpret_cast<Pager*>(pager); }
const Pager& pager_of(const uzram_pager* pager) { return *reinterpret_cast<const Pager*>(pager); }

int status_of(const Result<void>& result) {
  if (result) return 0;
  errno = result.error().code;
  return -1;
}

void* pointer_of(const Result<std::byte*>& result) {
  if (result) return *result;
  errno = result.error().code;
  return nullptr;
}

bool is_hint(enum uzram_hint hint) { return hint <= UZRAM_HINT_COLD; }

static_assert(static_cast<int>(AccessHint::Sequential) == UZRAM_HINT_SEQUENTIAL);
static_assert(static_cast<int>(AccessHint::Random) == UZRAM_HINT_RANDOM);
static_assert(static_cast<int>(AccessHint::Cold) == UZRAM_HINT_COLD);
static_assert(static_cast<int>(PagerBackend::Move) == UZRAM_BACKEND_MOVE);
static_assert(static_cast<int>(PagerBackend::Protect) == UZRAM_BACKEND_PROTECT);
static_assert(static_cast<int>(PagerBackend::Signal) == UZRAM_BACKEND_SIGNAL);
static_assert(static_cast<int>(PagerBackend::Explicit) == UZRAM_BACKEND_EXPLICIT);
static_assert(static_cast<int>(PagerBackend::Strict) == UZRAM_BACKEND_STRICT);
static_assert(static_cast<int>(MapSharing::Private) == UZRAM_PRIVATE);
static_assert(static_cast<int>(MapSharing::Shared) == UZRAM_SHARED);
static_assert(static_cast<int>(ForkRule::Populate) == UZRAM_FORK_POPULATE);

// Requires: backend, fork rule and algorithm were looked at.
PagerConfig config_from_options(const uzram_pager_options& options) {
  PagerConfig config;
  config.memory_limit_bytes = options.memory_limit_bytes;
  config.address_bytes = options.address_bytes;
  config.algorithm = options.algorithm;
  config.staging_bytes = options.staging_bytes;
  config.backend = static_cast<PagerBackend>(options.backend);
  config.fork_rule = static_cast<ForkRule>(options.fork_rule);
  config.page_cluster = options.page_cluster;
  config.has_vma_readahead = options.has_vma_readahead != 0;
  config.swappiness = options.swappiness;
  config.watermark_scale_factor = options.watermark_scale_factor;
  config.has_page_checks = options.has_page_checks != 0;
  config.cluster_pages = options.cluster_pages;
  if (options.level != INT_MIN) config.level = options.level;
  if (options.compressor_threads >= 0)
    config.compressor_threads = static_cast<unsigned>(options.compressor_threads);
  return config;
}

}  // namespace
}  // namespace uzram

using uzram::AccessHint;
using uzram::pager_of;
using uzram::status_of;

void uzram_pager_options_init(uzram_pager_options* options, uint64_t memory_limit_bytes) {
  const uzram::PagerConfig standard;
  *options = {};
  options->struct_bytes = sizeof *options;
  options->memory_limit_bytes = memory_limit_bytes;
  options->address_bytes = standard.address_bytes;
  options->algorithm = "lz4";
  options->page_cluster = standard.page_cluster;
  options->has_vma_readahead = standard.has_vma_readahead ? 1 : 0;
  options->swappiness = standard.swappiness;
  options->watermark_scale_factor = standard.watermark_scale_factor;
  options->has_page_checks = standard.has_page_checks ? 1 : 0;
  options->level = INT_MIN;
  options->cluster_pages = standard.cluster_pages;
  options->compressor_threads = -1;
}

uzram_pager* uzram_pager_open(const uzram_pager_options* options) {
  if (options->struct_bytes != sizeof *options || options->algorithm == nullptr ||
      options->backend > UZRAM_BACKEND_STRICT || options->fork_rule > UZRAM_FORK_POPULATE) {
    errno = EINVAL;
    return nullptr;
  }
  auto made = uzram::Pager::create(uzram::config_from_options(*options));
  if (made) return reinterpret_cast<uzram_pager*>(made->release());
  errno = made.error().code;
  return nullptr;
}

void uzram_pager_close(uzram_pager* pager) { delete reinterpret_cast<uzram::Pager*>(pager); }

void* uzram_region_make(uzram_pager* pager, uint64_t bytes, enum uzram_hint hint) {
  if (!uzram::is_hint(hint)) return uzram::pointer_of(uzram::fail(EINVAL));
  return uzram::pointer_of(pager_of(pager).make_region(bytes, static_cast<AccessHint>(hint)));
}

void* uzram_region_map(uzram_pager* pager, int descriptor, uint64_t offset, uint64_t bytes,
                       enum uzram_hint hint) {
  if (!uzram::is_hint(hint)) return uzram::pointer_of(uzram::fail(EINVAL));
  return uzram::pointer_of(
      pager_of(pager).map_file(descriptor, offset, bytes, static_cast<AccessHint>(hint)));
}

void* uzram_region_map_cluster_file(uzram_pager* pager, const char* path, uint64_t offset,
                                    uint64_t bytes, enum uzram_sharing sharing,
                                    enum uzram_hint hint) {
  if (!uzram::is_hint(hint) || sharing > UZRAM_SHARED || path == nullptr)
    return uzram::pointer_of(uzram::fail(EINVAL));
  return uzram::pointer_of(pager_of(pager).map_cluster_file(std::string(path), offset, bytes,
                                                            static_cast<uzram::MapSharing>(sharing),
                                                            static_cast<AccessHint>(hint)));
}

int uzram_cluster_file_bytes(const char* path, uint64_t* bytes) {
  const auto held = uzram::Pager::cluster_file_bytes(path);
  if (!held) return status_of(uzram::fail(held.error().code));
  *bytes = *held;
  return 0;
}

int uzram_region_close(uzram_pager* pager, void* start) {
  return status_of(pager_of(pager).close_region(static_cast<std::byte*>(start)));
}

int uzram_region_abandon(uzram_pager* pager, void* start) {
  return status_of(pager_of(pager).abandon_region(static_cast<std::byte*>(start)));
}

int uzram_prefetch(uzram_pager* pager, const void* start, uint64_t bytes) {
  return status_of(pager_of(pager).prefetch(start, bytes));
}

int uzram_drop(uzram_pager* pager, void* start, uint64_t bytes) {
  return status_of(pager_of(pager).drop(start, bytes));
}

int uzram_sync(uzram_pager* pager, const void* start, uint64_t bytes) {
  return status_of(pager_of(pager).sync(start, bytes));
}

int uzram_pin(uzram_pager* pager, const void* start, uint64_t bytes, int for_write) {
  return status_of(pager_of(pager).pin(start, bytes, for_write != 0));
}

int uzram_unpin(uzram_pager* pager, const void* start, uint64_t bytes) {
  return status_of(pager_of(pager).unpin(start, bytes));
}

int uzram_page_out(uzram_pager* pager, const void* start, uint64_t bytes) {
  return status_of(pager_of(pager).page_out(start, bytes));
}

int uzram_advise(uzram_pager* pager, const void* start, enum uzram_hint hint) {
  if (!uzram::is_hint(hint)) return status_of(uzram::fail(EINVAL));
  return status_of(pager_of(pager).advise(start, static_cast<AccessHint>(hint)));
}

int uzram_set_memory_limit(uzram_pager* pager, uint64_t bytes) {
  return status_of(pager_of(pager).set_memory_limit(bytes));
}

int uzram_set_page_cluster(uzram_pager* pager, unsigned page_cluster) {
  return status_of(pager_of(pager).set_page_cluster(page_cluster));
}

int uzram_set_swappiness(uzram_pager* pager, unsigned swappiness) {
  return status_of(pager_of(pager).set_swappiness(swappiness));
}

int uzram_pager_get_stats(const uzram_pager* pager, uzram_pager_stats* stats) {
  if (stats->struct_bytes != sizeof *stats) return status_of(uzram::fail(EINVAL));
  const uzram::PagerStats now = pager_of(pager).stats();
  stats->total_bytes = now.total_bytes();
  stats->limit_bytes = now.limit_bytes;
  stats->resident_bytes = now.resident_bytes;
  stats->staged_bytes = now.staged_bytes;
  stats->packed_bytes = now.packed_bytes;
  stats->table_bytes = now.table_bytes;
  stats->region_bytes = now.region_bytes;
  stats->stored_bytes = now.stored_bytes;
  stats->faults = now.faults;
  stats->major_faults = now.major_faults;
  stats->staging_hits = now.staging_hits;
  stats->write_upgrades = now.write_upgrades;
  stats->readahead_pages = now.readahead_pages;
  stats->refaults = now.refaults;
  stats->evicted_pages = now.evicted_pages;
  stats->clean_drops = now.clean_drops;
  stats->packed_pages = now.packed_pages;
  stats->assisted_pages = now.assisted_pages;
  stats->stall_nanoseconds = now.stall_nanoseconds;
  stats->stall_avg10 = now.stall_avg10;
  stats->stall_avg60 = now.stall_avg60;
  stats->clustered_pages = now.clustered_pages;
  stats->repacked_pages = now.repacked_pages;
  stats->file_faults = now.file_faults;
  stats->file_clusters_read = now.file_clusters_read;
  stats->written_back_pages = now.written_back_pages;
  stats->failed_write_backs = now.failed_write_backs;
  stats->unwritten_bytes = now.unwritten_bytes;
  return 0;
}

enum uzram_backend uzram_pager_backend(const uzram_pager* pager) {
  return static_cast<enum uzram_backend>(pager_of(pager).backend());
}

int uzram_handle_fault(int signal, void* info, void* context) {
  return uzram::Pager::handle_fault(signal, static_cast<siginfo_t*>(info), context) ? 1 : 0;
}
