// SPDX-License-Identifier: Apache-2.0
// A device's life and settings; device_data.cc has the data path.
#include "device/device.h"

#include <fcntl.h>

#include <algorithm>
#include <limits>
#include <system_error>
#include <thread>
#include <utility>

#include "device/device_running.h"

namespace uzram {
namespace {

constexpr const char* kStandardAlgorithm = "lzo-rle";  // As the kernel's default configuration.

std::size_t processor_count() {
  const unsigned count = std::thread::hardware_concurrency();
  return count == 0 ? 1 : count;
}

// Two more than processors: a thread that loses its processor in the middle of a page does not
// block the others.
std::size_t lane_count() { return processor_count() + 2; }

// As in the kernel, a parameter that an algorithm does not know has no effect (a level for lzo-rle,
// say); one that it knows but refuses is an error of set_disksize.
void drop_ignored_params(CodecChoice& choice) {
  if (choice.info == nullptr) return;
  const bool takes_level = choice.info->level.lowest != 0 || choice.info->level.highest != 0;
  if (!takes_level) choice.params.level.reset();
  if (!choice.info->takes_window_bits) choice.params.window_bits.reset();
  if (!choice.info->takes_dictionary) choice.params.dictionary.reset();
}

}  // namespace

Device::Settings Device::standard_settings() {
  Settings settings;
  settings.codecs[0].info = find_codec(kStandardAlgorithm);
  return settings;
}

StoreConfig Device::Settings::swap_in(const StoreConfig& config) {
  StoreConfig former;
  former.codecs = std::exchange(codecs, config.codecs);
  former.has_page_checks = std::exchange(has_page_checks, config.has_page_checks);
  former.tracks_access = std::exchange(tracks_access, config.tracks_access);
  former.uses_dedup = std::exchange(uses_dedup, config.uses_dedup);
  former.backing.where = std::exchange(backing, config.backing.where);
  former.backing.encrypts = std::exchange(encrypts_backing, config.backing.encrypts);
  return former;
}

Device::Device(int id, Attachment* attachment)
    : id_(id),
      attachment_(attachment),
      counters_(std::make_unique<Counters>()),
      settings_(standard_settings()) {}

Device::~Device() {
  MutexLock lock(lifecycle_mutex_);
  if (disk_bytes_.load(std::memory_order_relaxed) != 0) stop();
}

bool Device::is_initialised() const { return disksize() != 0; }

std::uint64_t Device::disksize() const { return disk_bytes_.load(std::memory_order_relaxed); }

std::string Device::block_path() const {
  return attachment_ == nullptr || !is_initialised() ? std::string()
                                                     : attachment_->block_path(*this);
}

// --- settings

const CodecInfo& Device::algorithm() const {
  MutexLock lock(settings_mutex_);
  return *settings_.codecs[0].info;
}

Result<void> Device::set_algorithm(std::string_view name) {
  const CodecInfo* info = find_codec(name);
  if (info == nullptr) return fail(EINVAL);
  return configure([&](Settings& settings) { settings.codecs[0].info = info; });
}

Result<void> Device::set_recompression_algorithm(std::string_view name, int priority) {
  const CodecInfo* info = find_codec(name);
  if (info == nullptr || priority < 1 || priority >= kAlgorithmCount) return fail(EINVAL);
  const auto index = static_cast<std::size_t>(priority);
  return configure([&](Settings& settings) { settings.codecs[index].info = info; });
}

Result<void> Device::set_algorithm_params(int priority, CodecParams params) {
  if (priority < 0 || priority >= kAlgorithmCount) return fail(EINVAL);
  const auto index = static_cast<std::size_t>(priority);
  return configure([&](Settings& settings) { settings.codecs[index].params = std::move(params); });
}

const CodecInfo* Device::algorithm_at(int priority) const {
  if (priority < 0 || priority >= kAlgorithmCount) return nullptr;
  MutexLock lock(settings_mutex_);
  return settings_.codecs[static_cast<std::size_t>(priority)].info;
}

Result<void> Device::set_page_checks(bool is_on) {
  return configure([&](Settings& settings) { settings.has_page_checks = is_on; });
}
bool Device::has_page_checks() const {
  MutexLock lock(settings_mutex_);
  return settings_.has_page_checks;
}

Result<void> Device::set_access_tracking(bool is_on) {
  return configure([&](Settings& settings) { settings.tracks_access = is_on; });
}
bool Device::tracks_access() const {
  MutexLock lock(settings_mutex_);
  return settings_.tracks_access;
}

Result<void> Device::set_dedup(bool is_on) {
  return configure([&](Settings& settings) { settings.uses_dedup = is_on; });
}
bool Device::uses_dedup() const {
  MutexLock lock(settings_mutex_);
  return settings_.uses_dedup;
}

void Device::set_mem_limit(std::uint64_t bytes) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max() - kPageBytes;
  const std::uint64_t rounded = round_up(std::min(bytes, kMost), kPageBytes);
  // Device and pool change together, or two callers could leave different limits in them.
  MutexLock lock(settings_mutex_);
  settings_.mem_limit_bytes = rounded;
  const RequestGate::Ticket ticket(gate_);
  if (ticket) running_->store->pool().set_limit_pages(rounded / kPageBytes);
}

void Device::reset_mem_used_max() {
  const RequestGate::Ticket ticket(gate_);
  if (ticket) running_->store->pool().reset_resident_pages_max();
}

// --- life

Result<void> Device::set_written_cluster_pages(std::size_t pages) {
  if (pages == 1 || pages > kMostClusterPages) return fail(EINVAL);
  return configure([&](Settings& settings) { settings.written_cluster_pages = pages; });
}

Result<void> Device::start(std::unique_ptr<Store> store) {
  const std::uint64_t bytes = store->size_pages() * kPageBytes;
  auto cluster_writer = make_cluster_writer(*store, processor_count());
  if (!cluster_writer) return tl::unexpected(cluster_writer.error());
  std::unique_ptr<Running> running;
  try {
    running = std::make_unique<Running>(*this, std::move(store), std::move(*cluster_writer),
                                        processor_count() - 1);
  } catch (const std::system_error& error) {  // No more threads allowed.
    return fail(error.code().value());
  }
  StoreConfig former;
  PolicySettings policy;
  {
    MutexLock lock(settings_mutex_);
    policy = settings_.policy;
    former = settings_.swap_in(running->store->config());
    running->store->pool().set_limit_pages(settings_.mem_limit_bytes / kPageBytes);
    running_ = std::move(running);
    disk_bytes_.store(bytes, std::memory_order_relaxed);
    // With the settings locked: a limit set from now on finds the pool.
    gate_.open();
  }
  Result<void> begun = running_->policy.set(policy);
  if (begun && attachment_ != nullptr) begun = attachment_->attach(*this);
  if (begun) return {};
  stop();
  MutexLock lock(settings_mutex_);
  static_cast<void>(settings_.swap_in(former));
  return begun;
}

void Device::stop() {
  is_stopping_.store(true, std::memory_order_relaxed);
  // Whoever waits for a store that stalls must not keep the gate open.
  if (BackingSpace* backing = running_->store->backing()) backing->store().shut_down();
  running_->policy.end();
  gate_.close();
  is_stopping_.store(false, std::memory_order_relaxed);
  MutexLock lock(settings_mutex_);
  disk_bytes_.store(0, std::memory_order_relaxed);
  running_.reset();
}

Result<void> Device::set_disksize(std::uint64_t bytes) {
  MutexLock lock(lifecycle_mutex_);
  if (bytes == 0) return fail(EINVAL);
  if (is_initialised()) return fail(EBUSY);
  if (const Result<void> opened = open_named_backing({}); !opened) return opened;
  StoreConfig config;
  std::unique_ptr<BackingStore> backing;
  config.size_pages = (bytes - 1) / kPageBytes + 1;
  {
    MutexLock settings_lock(settings_mutex_);
    config.disk_pages =
        settings_.can_grow ? pages_to_grow_to(config.size_pages) : config.size_pages;
    config.codecs = settings_.codecs;
    for (CodecChoice& choice : config.codecs) drop_ignored_params(choice);
    config.has_page_checks = settings_.has_page_checks;
    config.tracks_access = settings_.tracks_access;
    config.uses_dedup = settings_.uses_dedup;
    if (const Result<void> chosen = choose_backing(settings_, config); !chosen) return chosen;
    backing = std::move(settings_.opened_backing);
  }
  // A second descriptor keeps the claim on the file, should the store be closed on the way.
  FileDescriptor claim;
  if (backing != nullptr && backing->descriptor() >= 0) {
    claim = FileDescriptor(::fcntl(backing->descriptor(), F_DUPFD_CLOEXEC, 0));
  }
  auto store = Store::create(config, lane_count(), std::move(backing));
  const Result<void> started =
      store ? start(std::move(*store)) : Result<void>(tl::unexpected(store.error()));
  // Should a server have gone away meanwhile, the next set_disksize connects again.
  if (!started) static_cast<void>(open_named_backing(std::move(claim)));
  return started;
}

Result<void> Device::adopt_arena(int memfd) {
  FileDescriptor descriptor(memfd);
  MutexLock lock(lifecycle_mutex_);
  if (is_initialised()) return fail(EBUSY);
  auto store = Store::open(std::move(descriptor), lane_count());
  if (!store) return tl::unexpected(store.error());
  return start(std::move(*store));
}

int Device::arena_descriptor() const {
  const RequestGate::Ticket ticket(gate_);
  return ticket ? running_->store->arena_descriptor() : -1;
}

Result<void> Device::reset() {
  MutexLock lock(lifecycle_mutex_);
  if (is_initialised()) {
    if (attachment_ != nullptr) {
      if (const Result<void> detached = attachment_->detach(*this); !detached) return detached;
    }
    stop();
  }
  counters_->clear();
  MutexLock settings_lock(settings_mutex_);
  settings_ = standard_settings();
  writeback_limit_.store(0, std::memory_order_relaxed);
  is_writeback_limited_.store(false, std::memory_order_relaxed);
  writeback_batch_size_.store(kStandardBatchSize, std::memory_order_relaxed);
  return {};
}

Result<void> Device::compact() {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  running_->store->compact();
  return {};
}

Result<void> Device::reserve(std::uint64_t bytes) {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return fail(EINVAL);
  return running_->store->reserve(bytes_to_pages(bytes));
}

// --- numbers

DeviceStats Device::stats() const {
  DeviceStats stats;
  counters_->add_to(stats);
  {
    MutexLock lock(settings_mutex_);
    stats.mem_limit_bytes = settings_.mem_limit_bytes;
  }
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return stats;
  const Store& store = *running_->store;
  const Pool& pool = store.pool();
  const StoreSums sums = store.sums();
  stats.orig_data_bytes = static_cast<std::uint64_t>(sums.stored_pages) * kPageBytes;
  stats.compr_data_bytes = static_cast<std::uint64_t>(sums.packed_bytes);
  stats.same_pages = static_cast<std::uint64_t>(sums.same_pages);
  stats.huge_pages = static_cast<std::uint64_t>(sums.raw_pages);
  stats.huge_pages_since = store.raw_pages_since();
  stats.mem_used_bytes = pool.resident_pages() * kPageBytes;
  stats.mem_used_max_bytes = pool.resident_pages_max() * kPageBytes;
  stats.pages_compacted = store.pages_compacted();
  stats.table_bytes = store.table_bytes();
  stats.pool_metadata_bytes = pool.metadata_bytes() + store.slot_metadata_bytes();
  stats.context_bytes = store.context_bytes();
  if (running_->cluster_writer != nullptr)
    stats.context_bytes += running_->cluster_writer->memory_bytes();
  stats.reserved_bytes = pool.reserved_pages() * kPageBytes;
  const DedupStats dedup = store.dedup_stats();
  stats.dup_data_bytes = dedup.saved_bytes;
  stats.meta_data_bytes = dedup.metadata_bytes;
  if (const BackingSpace* backing = store.backing()) {
    const BackingCounters counters = backing->counters();
    stats.backing_blocks = counters.blocks_in_use;
    stats.backing_reads = counters.blocks_read;
    stats.backing_writes = counters.blocks_written;
    stats.backing_bytes = backing->memory_bytes();
  }
  return stats;
}

void Device::check_invariants() const {
  const RequestGate::Ticket ticket(gate_);
  if (!ticket) return;
  // The policy may be at work.
  MutexLock lock(running_->maintenance.round_mutex());
  MutexLock background_lock(running_->store->background_mutex());
  running_->store->check_invariants();
}

}  // namespace uzram
