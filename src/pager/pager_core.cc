// SPDX-License-Identifier: Apache-2.0
#include "pager/pager_core.h"

#include <sys/stat.h>
#include <time.h>

#include <algorithm>
#include <system_error>

#include "base/check.h"
#include "pager/quiet_thread.h"

namespace uzram {
namespace {

constexpr unsigned kMostPageCluster = 4;
static_assert((1U << kMostPageCluster) == kMostFaultPages);
constexpr unsigned kMostScaleFactor = 3000;  // As the kernel's.
constexpr std::uint64_t kMostStagingBytes = std::uint64_t{8} << 20;
constexpr unsigned kMostThreads = 64;

bool is_valid(const PagerConfig& config) {
  return config.memory_limit_bytes >= kLeastLimitBytes && config.address_bytes >= kClusterBytes &&
         config.address_bytes <= std::uint64_t{1} << 40 &&
         config.page_cluster <= kMostPageCluster &&
         config.swappiness <= ReclaimBalance::kMostSwappiness &&
         config.watermark_scale_factor >= 1 && config.watermark_scale_factor <= kMostScaleFactor &&
         config.compressor_threads.value_or(0) <= kMostThreads && config.cluster_pages != 1 &&
         config.cluster_pages <= kMostClusterPages &&
         (config.cluster_pages == 0 || config.algorithm == "zstd") &&
         find_codec(config.algorithm) != nullptr;
}

std::uint64_t staging_bytes_of(const PagerConfig& config) {
  const std::uint64_t wanted =
      config.staging_bytes != 0
          ? config.staging_bytes
          : std::min(config.memory_limit_bytes / kClusterPages * 4, kMostStagingBytes);
  return std::clamp(wanted, 2 * kClusterBytes, 512 * kClusterBytes);
}

// When little fits, clusters have but a few pages in memory each, and staging has to hold as many
// pages all the same: it is their second chance. A slot itself costs next to nothing.
std::size_t slot_count_of(const PagerConfig& config) {
  constexpr std::uint64_t kLeastSlots = 8;
  constexpr std::uint64_t kMostSlots = 1024;  // What a page's number can tell apart.
  constexpr std::uint64_t kSparsePages = 2;
  return std::clamp(staging_bytes_of(config) / kPageBytes / kSparsePages, kLeastSlots, kMostSlots);
}

Result<std::unique_ptr<MemoryBackend>> first_that_works(PagerBackend wanted, SpanShape shape,
                                                        PagerCore::BackendMaker make,
                                                        PagerBackend& kind) {
  kind = wanted;
  if (wanted != PagerBackend::Automatic) return make(wanted, shape);
  for (const PagerBackend each :
       {PagerBackend::Move, PagerBackend::Protect, PagerBackend::Signal}) {
    kind = each;
    auto made = make(each, shape);
    if (made || made.error().code != ENOSYS) return made;
  }
  return fail(ENOSYS);
}

}  // namespace

std::uint64_t monotonic_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000U +
         static_cast<std::uint64_t>(now.tv_nsec);
}

PagerCore::PagerCore(const PagerConfig& config, PagerBackend kind,
                     std::unique_ptr<MemoryBackend> memory, PageWords words, RegionTable regions,
                     FaultBuffers buffers, std::size_t slot_count)
    : config_(config),
      kind_(kind),
      memory_(std::move(memory)),
      staging_target_pages_(staging_bytes_of(config) / kPageBytes / 2),
      device_(0),
      words_(std::move(words)),
      regions_(std::move(regions)),
      buffers_(std::move(buffers)),
      staging_(slot_count),
      budget_(config.memory_limit_bytes, config.watermark_scale_factor),
      page_cluster_(config.page_cluster),
      stall_(monotonic_nanoseconds()) {
  balance_.set_swappiness(config.swappiness);
}

Result<std::unique_ptr<PagerCore>> PagerCore::create(const PagerConfig& config, BackendMaker make) {
  if (!is_valid(config)) return fail(EINVAL);
  const std::size_t slot_count = slot_count_of(config);
  const SpanShape shape{round_up(bytes_to_pages(config.address_bytes), kClusterPages),
                        slot_count * kClusterPages};
  PagerBackend kind = config.backend;
  auto memory = first_that_works(config.backend, shape, make, kind);
  if (!memory) return tl::unexpected(memory.error());
  const bool can_populate = kind != PagerBackend::Signal && kind != PagerBackend::Explicit;
  if (config.fork_rule == ForkRule::Populate && !can_populate) return fail(EINVAL);
  auto words = PageWords::create(shape.span_pages);
  if (!words) return tl::unexpected(words.error());
  auto regions = RegionTable::create(shape.span_pages / kClusterPages);
  if (!regions) return tl::unexpected(regions.error());
  auto buffers = FaultBuffers::create();
  if (!buffers) return tl::unexpected(buffers.error());
  std::unique_ptr<PagerCore> core(new PagerCore(config, kind, std::move(*memory), std::move(*words),
                                                std::move(*regions), std::move(*buffers),
                                                slot_count));
  if (const Result<void> started = core->start_device(); !started)
    return tl::unexpected(started.error());
  core->note_other_bytes();
  if (core->budget_.room() < 2 * Budget::kLeastPages) return fail(EINVAL);
  if (const Result<void> started = core->start_threads(); !started)
    return tl::unexpected(started.error());
  return core;
}

Result<void> PagerCore::start_device() {
  if (const Result<void> done = device_.set_algorithm(config_.algorithm); !done) return done;
  CodecParams params;
  params.level = config_.level;
  if (const Result<void> done = device_.set_algorithm_params(0, params); !done) return done;
  if (const Result<void> done = device_.set_fixed_size(); !done) return done;
  // The pager keeps ages of its own.
  if (const Result<void> done = device_.set_access_tracking(false); !done)
    return tl::unexpected(done.error());
  if (const Result<void> done = device_.set_page_checks(config_.has_page_checks); !done)
    return done;
  if (const Result<void> done = device_.set_written_cluster_pages(config_.cluster_pages); !done)
    return done;
  const SignalsBlocked blocked;  // Its threads lock what a fault needs.
  return device_.set_disksize(memory_->shape().span_pages * kPageBytes);
}

Result<void> PagerCore::start_threads() {
  const unsigned processors = std::max(std::thread::hardware_concurrency(), 1U);
  const unsigned count = config_.compressor_threads.value_or(std::max(processors - 1, 1U));
  const int messages = memory_->fault_descriptor();
  if (messages >= 0) {
    auto started = FaultThreads::start(messages, *this, *memory_);
    if (!started) return tl::unexpected(started.error());
    fault_threads_ = std::move(*started);
  }
  try {
    for (unsigned i = 0; i < count; ++i)
      threads_.push_back(start_quiet_thread("uzram-pager", [this] { work(); }));
  } catch (const std::system_error& error) {
    return fail(error.code().value());
  }
  return {};
}

PagerCore::~PagerCore() {
  fault_threads_.reset();
  is_ending_.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads_) {
    // Whoever is between looking and waiting is woken by the change of the count.
    wake_count_.fetch_add(1, std::memory_order_release);
    futex_wake_all(wake_count_);
    thread.join();
  }
  end_write_back();
}

Result<std::byte*> PagerCore::add_region(std::uint64_t bytes, PageKindOf kind, AccessHint hint,
                                         RegionSource source) {
  if (bytes == 0) return fail(EINVAL);
  if (bytes > memory_->shape().span_pages * kPageBytes) return fail(ENOMEM);
  const std::uint64_t page_count = bytes_to_pages(bytes);
  ClusterMapping* const mapping = source.mapping;
  const auto first = regions_.add(page_count, kind, hint, std::move(source));
  if (!first) return tl::unexpected(first.error());
  if (mapping != nullptr) mapping->place_at(*first);
  if (const Result<void> opened = memory_->open_range(*first, page_count); !opened) {
    regions_.remove(*first);
    return tl::unexpected(opened.error());
  }
  note_other_bytes();
  return memory_->span() + *first * kPageBytes;
}

Result<std::byte*> PagerCore::add_cluster_region(std::shared_ptr<ClusterFile> file,
                                                 std::uint64_t offset, std::uint64_t bytes,
                                                 MapSharing sharing, AccessHint hint) {
  if (bytes == 0) return fail(EINVAL);
  if (bytes > memory_->shape().span_pages * kPageBytes) return fail(ENOMEM);
  auto made = ClusterMapping::create(std::move(file), offset, bytes_to_pages(bytes), sharing);
  if (!made) return tl::unexpected(made.error());
  RegionSource source;
  source.mapping = made->get();
  if (const Result<void> kept = keep_mapping(std::move(*made)); !kept)
    return tl::unexpected(kept.error());
  const ClusterMapping* const mapping = source.mapping;
  auto region = add_region(bytes, PageKindOf::File, hint, std::move(source));
  if (!region) let_go_of_mapping(mapping);
  return region;
}

Result<void> PagerCore::keep_mapping(std::unique_ptr<ClusterMapping> mapping) {
  const MutexLock lock(write_back_mutex_);
  for (const auto& each : mappings_)
    if (each->collides_with(*mapping)) return fail(EBUSY);
  const std::uint64_t bytes = mapping->memory_bytes();
  const auto pages = static_cast<std::int64_t>(bytes_to_pages(bytes));
  if (budget_.room() - pages < 2 * Budget::kLeastPages) return fail(ENOMEM);
  if (mapping->is_shared()) {
    if (const Result<void> started = start_write_back(); !started) return started;
  }
  mapping_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  mappings_.push_back(std::move(mapping));
  return {};
}

void PagerCore::let_go_of_mapping(const ClusterMapping* mapping) {
  std::unique_ptr<ClusterMapping> gone;  // It ends, and perhaps its file, with nothing locked.
  const MutexLock lock(write_back_mutex_);
  const auto found = std::find_if(mappings_.begin(), mappings_.end(),
                                  [&](const auto& each) { return each.get() == mapping; });
  gone = std::move(*found);
  mappings_.erase(found);
  mapping_bytes_.fetch_sub(gone->memory_bytes(), std::memory_order_relaxed);
}

Result<void> PagerCore::close_region(std::byte* start, bool is_synced) {
  if (!contains(start)) return fail(EINVAL);
  const std::uint64_t first = page_of(start);
  const Region* const region = regions_.region_of(first);
  if (region == nullptr || memory_->span() + region->first_page * kPageBytes != start)
    return fail(EINVAL);
  const std::uint64_t count = region->page_count;
  const ClusterMapping* const mapping = region->mapping;
  const PageRange all{first, first + count};
  if (is_synced) {
    if (const Result<void> synced = sync(all); !synced) return synced;
  }
  if (const Result<void> dropped = forget(all, is_synced); !dropped) return dropped;
  const Result<void> closed = memory_->close_range(first, count);
  regions_.remove(first);
  if (mapping != nullptr) {
    // Of two that had a fault at one page the last may still be served, though both are content.
    if (fault_threads_ != nullptr) fault_threads_->wait_until_passed();
    let_go_of_mapping(mapping);
  }
  note_other_bytes();
  return closed;
}

Result<void> PagerCore::set_memory_limit(std::uint64_t bytes) {
  if (bytes < kLeastLimitBytes) return fail(EINVAL);
  budget_.set_limit_bytes(bytes);
  return make_room(0);
}

Result<void> PagerCore::set_page_cluster(unsigned page_cluster) {
  if (page_cluster > kMostPageCluster) return fail(EINVAL);
  page_cluster_.store(page_cluster, std::memory_order_relaxed);
  return {};
}

Result<void> PagerCore::set_swappiness(unsigned swappiness) {
  if (swappiness > ReclaimBalance::kMostSwappiness) return fail(EINVAL);
  balance_.set_swappiness(swappiness);
  return {};
}

PagerStats PagerCore::stats() const {
  const auto bytes_of = [](std::int64_t pages) {
    return static_cast<std::uint64_t>(std::max<std::int64_t>(pages, 0)) * kPageBytes;
  };
  const auto count = [](const std::atomic<std::uint64_t>& counter) {
    return counter.load(std::memory_order_relaxed);
  };
  const DeviceStats device = device_.stats();
  const Watermarks marks = budget_.watermarks();
  const auto staged = static_cast<std::int64_t>(staging_.queued_pages());
  PagerStats stats;
  stats.resident_bytes = bytes_of(budget_.charged() - staged);
  stats.staged_bytes = bytes_of(staged);
  stats.packed_bytes = device.total_bytes();
  stats.table_bytes = count(table_bytes_);
  stats.limit_bytes = budget_.limit_bytes();
  stats.low_watermark_bytes = bytes_of(marks.low);
  stats.high_watermark_bytes = bytes_of(marks.high);
  stats.region_bytes = regions_.used_clusters() * kClusterBytes;
  stats.stored_bytes = device.orig_data_bytes;
  stats.faults = count(counters_.faults);
  stats.major_faults = count(counters_.major_faults);
  stats.staging_hits = count(counters_.staging_hits);
  stats.write_upgrades = count(counters_.write_upgrades);
  stats.readahead_pages = count(counters_.readahead_pages);
  stats.refaults = count(counters_.refaults);
  stats.evicted_pages = count(counters_.evicted_pages);
  stats.clean_drops = count(counters_.clean_drops);
  stats.packed_pages = count(counters_.packed_pages);
  stats.assisted_pages = count(counters_.assisted_pages);
  stats.clustered_pages = count(counters_.clustered_pages);
  stats.repacked_pages = count(counters_.repacked_pages);
  stats.file_faults = count(counters_.file_faults);
  stats.file_clusters_read = count(counters_.file_clusters_read);
  stats.written_back_pages = count(counters_.written_back_pages);
  stats.failed_write_backs = count(counters_.failed_write_backs);
  stats.unwritten_bytes = bytes_of(unwritten_pages_.load(std::memory_order_relaxed));
  stats.anonymous_evicted = count(counters_.anonymous_evicted);
  stats.file_evicted = count(counters_.file_evicted);
  stats.stall_nanoseconds = stall_.total_nanoseconds();
  const MutexLock lock(stall_mutex_);
  stall_.sample(monotonic_nanoseconds());
  stats.stall_avg10 = stall_.average_10s();
  stats.stall_avg60 = stall_.average_60s();
  return stats;
}

}  // namespace uzram
