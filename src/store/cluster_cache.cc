// SPDX-License-Identifier: Apache-2.0
#include "store/cluster_cache.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "store/cluster_object.h"
#include "store/slot_table.h"

namespace uzram {
namespace {

// Never 0, so that an empty entry matches nothing.
std::uint64_t tag_of(ClusterKey key) {
  return (key.slot.value << 32 ^ key.slot.value >> 32 ^ key.serial) | std::uint64_t{1} << 63;
}

void forget(ClusterCache::Entry& entry) {
  entry.tag.store(0, std::memory_order_relaxed);
  entry.stream_bytes = 0;
  entry.is_open = false;
  entry.ready_pages = 0;
}

Result<void> open_stream(ClusterCache::Entry& entry, PageCheckFunction check) {
  const ConstBytes stream(entry.packed->data(), entry.stream_bytes);
  const ConstBytes packed =
      check != nullptr ? checked_cluster(stream, check) : stream.subspan(kClusterCheckBytes);
  if (packed.empty()) return fail(EIO);
  const MutableBytes pages(entry.pages->data(), entry.pages->size());
  if (!entry.decompressor->start(packed, pages)) return fail(EIO);
  entry.is_open = true;
  return {};
}

}  // namespace

Result<void> ClusterCache::prepare(std::size_t most_pages) {
  MutexLock lock(prepare_mutex_);
  if (most_pages <= most_pages_) return {};
  const std::size_t bytes = most_pages * kPageBytes;
  std::size_t memory = 0;
  for (Entry& entry : entries_) {
    auto packed = SparseArray<std::byte>::create(bytes);
    auto pages = SparseArray<std::byte>::create(bytes);
    if (!packed || !pages) return fail(ENOMEM);
    std::unique_ptr<ClusterDecompressor> decompressor;
    MutexLock entry_lock(entry.mutex);
    if (entry.decompressor == nullptr) {
      auto made = ClusterDecompressor::make();
      if (!made) return tl::unexpected(made.error());
      entry.decompressor = std::move(*made);
    }
    forget(entry);
    // Touched now, so that no read has to.
    std::memset(pages->data(), 0, bytes);
    entry.packed = std::make_unique<SparseArray<std::byte>>(std::move(*packed));
    entry.pages = std::make_unique<SparseArray<std::byte>>(std::move(*pages));
    std::memset(entry.packed->data(), 0, bytes / 2);
    memory += bytes + bytes / 2 + entry.decompressor->memory_bytes();
  }
  most_pages_ = most_pages;
  memory_bytes_.store(memory, std::memory_order_relaxed);
  return {};
}

ClusterCache::Entry* ClusterCache::try_find_filled(ClusterKey key,
                                                   std::uint64_t tag) UZ_NO_THREAD_SAFETY_ANALYSIS {
  for (Entry& entry : entries_) {
    if (entry.tag.load(std::memory_order_relaxed) != tag || !entry.mutex.try_lock()) continue;
    if (entry.stream_bytes != 0 && entry.key == key) return &entry;
    entry.mutex.unlock();
  }
  return nullptr;
}

ClusterCache::Entry* ClusterCache::try_take_oldest() UZ_NO_THREAD_SAFETY_ANALYSIS {
  Entry* oldest = nullptr;
  for (Entry& entry : entries_) {
    const std::uint64_t used = entry.last_used.load(std::memory_order_relaxed);
    if (oldest != nullptr && used >= oldest->last_used.load(std::memory_order_relaxed)) continue;
    if (!entry.mutex.try_lock()) continue;
    if (oldest != nullptr) oldest->mutex.unlock();
    oldest = &entry;
  }
  return oldest;
}

ClusterCache::Holder ClusterCache::find(ClusterKey key) {
  const std::uint64_t tag = tag_of(key);
  const std::uint64_t now = clock_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (Entry* entry = try_find_filled(key, tag)) {
    entry->last_used.store(now, std::memory_order_relaxed);
    hits_.fetch_add(1, std::memory_order_relaxed);
    return Holder(*entry);
  }
  misses_.fetch_add(1, std::memory_order_relaxed);
  Backoff backoff;
  Entry* entry = try_take_oldest();
  for (; entry == nullptr; entry = try_take_oldest()) backoff.wait();
  forget(*entry);
  entry->key = key;
  entry->tag.store(tag, std::memory_order_relaxed);
  entry->last_used.store(now, std::memory_order_relaxed);
  return Holder(*entry);
}

Result<void> unpack_member(ClusterCache::Entry& entry, std::size_t number, PageCheckFunction check,
                           PageBuffer out) {
  UZ_DCHECK(entry.stream_bytes > kClusterCheckBytes);
  if (number >= entry.ready_pages) {
    Result<std::size_t> ready = fail(EIO);
    if (entry.is_open || open_stream(entry, check)) {
      ready = entry.decompressor->unpack_through(number);
    }
    if (!ready) {
      forget(entry);
      return fail(EIO);
    }
    entry.ready_pages = *ready;
  }
  std::memcpy(out.data(), entry.pages->data() + number * kPageBytes, kPageBytes);
  return {};
}

}  // namespace uzram
