// SPDX-License-Identifier: Apache-2.0
#include "backing/backing_space.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::uint64_t kMixer =
    0x9e3779b97f4a7c15;                            // 2^64 / golden ratio: no pattern in its bits.
constexpr std::uint64_t kLeastDiscardBlocks = 16;  // Shorter runs are not worth a request.
constexpr std::uint64_t kMostDiscardBlocks = 4096;

std::uint64_t mix(std::uint64_t seed, std::uint64_t value) {
  return std::rotl((seed ^ value) * kMixer, 29);
}

std::uint64_t used_blocks(const BackingStore& store) {
  return std::min(store.block_count(), kMaxBackingBlocks);
}

Result<std::vector<BlockCipher>> make_ciphers(const BackingSpaceConfig& config, std::size_t count) {
  std::vector<BlockCipher> ciphers;
  ciphers.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    Result<BlockCipher> cipher = BlockCipher::make(config.key);
    if (!cipher) return fail(cipher.error().code);
    ciphers.push_back(std::move(*cipher));
  }
  return ciphers;
}

}  // namespace

// --- life

Result<std::unique_ptr<BackingSpace>> BackingSpace::create(std::unique_ptr<BackingStore> store,
                                                           const BackingSpaceConfig& config) {
  try {
    Result<std::vector<BlockCipher>> ciphers =
        make_ciphers(config, config.encrypt ? store->request_count() : 0);
    if (!ciphers) return fail(ciphers.error().code);
    Result<std::unique_ptr<BlockMap>> map = BlockMap::create(used_blocks(*store));
    if (!map) return fail(map.error().code);
    return std::unique_ptr<BackingSpace>(
        new BackingSpace(std::move(store), config, std::move(*map), std::move(*ciphers)));
  } catch (const std::bad_alloc&) {
    return fail(ENOMEM);
  }
}

BackingSpace::BackingSpace(std::unique_ptr<BackingStore> store, const BackingSpaceConfig& config,
                           std::unique_ptr<BlockMap> map, std::vector<BlockCipher> ciphers)
    : store_(std::move(store)),
      records_(config.block_records, map->block_count()),
      hash_(choose_content_hash()),
      check_secret_(hash_.plain(config.key.data(), config.key.size())),
      map_(std::move(map)),
      ciphers_(std::move(ciphers)),
      parked_(store_->request_count()) {}

BackingSpace::~BackingSpace() = default;

// --- checks

std::uint64_t BackingSpace::check_of(BackingPosition position, ConstBytes object) const {
  std::uint64_t seed = mix(mix(check_secret_, position.value), object.size());
  const BlockRange blocks = blocks_of(position, object.size());
  for (std::uint64_t block = blocks.first; block < blocks.end(); ++block)
    seed = mix(seed, records_.generation(block));
  return hash_.seeded(object.data(), object.size(), seed);
}

// --- reading

Result<BackingWindow> BackingSpace::read_window(BlockRange range) {
  if (range.count == 0 || range.count > kReadBlocks || !contains({0, block_count()}, range))
    return fail(EIO);
  Result<BackingLease> lease = store_->take(BackingUse::Read);
  if (!lease) return fail(lease.error().code);
  lease->start(BackingRequest::Kind::Read, range);
  const Result<void> done = lease->finish();
  if (!done) return fail(done.error().code);
  blocks_read_.fetch_add(range.count, std::memory_order_relaxed);
  return BackingWindow(*this, std::move(*lease), range);
}

Result<void> BackingSpace::read(BackingPosition position, MutableBytes out) {
  if (!is_possible_place(position, out.size(), block_count())) return fail(EIO);
  Result<BackingWindow> window = read_window(blocks_of(position, out.size()));
  if (!window) return fail(window.error().code);
  return window->copy_object(position, out);
}

void BackingWindow::decrypt(BlockRange range) {
  if (space_->ciphers_.empty()) return;
  for (std::uint64_t block = range.first; block < range.end(); ++block) {
    const std::uint64_t index = block - range_.first;
    if ((decrypted_mask_ >> index & 1) != 0) continue;
    decrypted_mask_ |= std::uint64_t{1} << index;
    space_->ciphers_[lease_.index()].decrypt(
        space_->tweak_of(block), lease_.buffer().subspan(index * kBlockBytes, kBlockBytes));
  }
}

Result<void> BackingWindow::copy_object(BackingPosition position, MutableBytes out) {
  if (!is_possible_place(position, out.size(), space_->block_count())) return fail(EIO);
  if (!covers(position, out.size())) return fail(EIO);
  const BlockRange blocks = blocks_of(position, out.size());
  decrypt(blocks);
  const std::byte* place =
      lease_.buffer().data() + (position.value * kPlaceStepBytes - range_.first * kBlockBytes);
  const ConstBytes object(place, out.size());
  const std::uint64_t check = space_->check_of(position, object);
  if (has_own_block(object.size())) {
    if (space_->records_.check(blocks.first) != static_cast<std::uint32_t>(check)) return fail(EIO);
  } else if (std::memcmp(place + object.size(), &check, kObjectCheckBytes) != 0) {
    return fail(EIO);
  }
  std::memcpy(out.data(), object.data(), object.size());
  return {};
}

// --- freeing

void BackingSpace::free(BackingPosition position, std::size_t bytes) {
  map_->remove_live(position, bytes);
}

bool BackingSpace::is_in_sparse_block(BackingPosition position, std::size_t bytes) const {
  if (!is_possible_place(position, bytes, block_count())) return false;
  const BlockRange blocks = blocks_of(position, bytes);
  std::uint64_t live_steps = 0;
  for (std::uint64_t block = blocks.first; block < blocks.end(); ++block)
    live_steps += map_->live_steps(block);
  return live_steps * 2 < blocks.count * kStepsPerBlock;
}

bool BackingSpace::adopt(BackingPosition position, std::size_t bytes) {
  return map_->try_adopt(position, bytes);
}

void BackingSpace::finish_adoption() { map_->finish_adoption(); }

Result<std::uint64_t> BackingSpace::discard_freed_blocks(std::uint64_t most_blocks) {
  std::uint64_t told = 0;
  while (told + kLeastDiscardBlocks <= most_blocks) {
    Result<BackingLease> lease = take_writer();
    if (!lease) return fail(lease.error().code);
    const std::optional<BlockRange> run =
        map_->take_freed_run(kLeastDiscardBlocks, std::min(kMostDiscardBlocks, most_blocks - told));
    if (!run) break;
    lease->start(BackingRequest::Kind::Discard, *run);
    const Result<void> done = lease->finish();
    if (!done) {
      give_back_after_failure(*lease, *run);
      return fail(done.error().code);
    }
    map_->give_back(*run);
    told += run->count;
  }
  return told;
}

// --- write requests, and what failed ones leave behind

void BackingSpace::release_parked(const BackingLease& lease) {
  BlockRange range;
  {
    MutexLock lock(parked_mutex_);
    range = std::exchange(parked_[lease.index()], {});
  }
  if (range.count != 0) give_back_after_failure(lease, range);
}

BackingLease BackingSpace::try_take_writer() {
  BackingLease lease = store_->try_take(BackingUse::Write);
  if (lease.is_held()) release_parked(lease);
  return lease;
}

Result<BackingLease> BackingSpace::take_writer() {
  Result<BackingLease> lease = store_->take(BackingUse::Write);
  if (lease) release_parked(*lease);
  return lease;
}

void BackingSpace::give_back_after_failure(const BackingLease& lease, BlockRange range) {
  if (lease.is_in_flight()) {
    MutexLock lock(parked_mutex_);
    parked_[lease.index()] = range;
  } else if (lease.may_still_happen()) {
    retired_blocks_.fetch_add(range.count, std::memory_order_relaxed);
  } else {
    map_->give_back(range);
  }
}

// --- numbers

BackingCounters BackingSpace::counters() const {
  BackingCounters counters;
  counters.blocks_in_use = map_->blocks_in_use();
  counters.blocks_read = blocks_read_.load(std::memory_order_relaxed);
  counters.blocks_written = blocks_written_.load(std::memory_order_relaxed);
  counters.live_bytes = map_->total_live_steps() * kPlaceStepBytes;
  counters.retired_blocks = retired_blocks_.load(std::memory_order_relaxed);
  return counters;
}

std::uint64_t BackingSpace::memory_bytes() const {
  return store_->memory_bytes() + map_->memory_bytes();
}

}  // namespace uzram
