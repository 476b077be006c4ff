// SPDX-License-Identifier: Apache-2.0
// How a cluster file's changes become safe, and how space goes back to the file system.
// docs/format.md has the order and the reasons.
#include <algorithm>

#include "base/check.h"
#include "cluster/cluster_file.h"

namespace uzram {

// Free is what no entry names. What a crash left there is given back now.
Result<void> ClusterFile::take_used_blocks() {
  const auto storage_bytes = storage_->size_bytes();
  if (!storage_bytes) return fail(storage_bytes.error().code);
  FreeBlocks free(kRootSlots);
  const auto walked =
      map_.walk(*storage_, [&](std::uint64_t, const MapEntry& entry) -> Result<void> {
        const std::uint64_t end = entry.first_block + entry.block_count;
        if (end > *storage_bytes / kPageBytes) return fail(EBADMSG);
        if (!free.take_at(entry.first_block, entry.block_count)) return fail(EBADMSG);
        return {};
      });
  if (!walked) return fail(walked.error().code);
  free_ = std::move(free);
  if (root_.is_reserved) {
    (void)top_up_reserve();  // As far as there is space: what lacks may not be needed.
    return {};
  }
  give_all_free_back();
  return {};
}

Result<void> ClusterFile::write_root() {
  ClusterFileRoot next = root_;
  ++next.generation;
  next.size_bytes = size_bytes();
  next.depth = map_.depth();
  next.top = map_.top();
  std::array<std::byte, kPageBytes> slot;
  store_root(slot, next);
  const std::uint64_t place = next.generation % kRootSlots * kPageBytes;
  // From here on, what the storage holds is known again only to who opens it.
  is_broken_ = true;
  if (auto synced = storage_->sync(); !synced) return synced;
  if (auto written = storage_->write(place, slot); !written) return written;
  if (auto synced = storage_->sync(); !synced) return synced;
  is_broken_ = false;
  root_ = next;
  return {};
}

Result<void> ClusterFile::sync() {
  const MutexLock lock(mutex_);
  return make_safe();
}

Result<void> ClusterFile::make_safe() {
  if (!is_writable_ || !free_) return {};
  if (is_broken_) return fail(EIO);
  if (auto flushed = write_changed(); !flushed) return flushed;
  if (!map_.has_changed() && size_bytes() == root_.size_bytes) return {};
  auto written = map_.write_changed(
      *storage_, [&]() UZ_REQUIRES(mutex_) { return free_->take(1); },
      [&](const MapEntry& entry) UZ_REQUIRES(mutex_) { drop(entry); });
  if (!written) return written;
  if (auto rooted = write_root(); !rooted) return rooted;
  fresh_.clear();
  for (const Run& run : dropped_) {
    free_->give_back(run.first, run.count);
    given_back_.push_back(run);
  }
  dropped_.clear();
  trim_map();
  give_space_back();
  if (root_.is_reserved)
    (void)top_up_reserve();  // The changes are safe, whether there is space for the next or not.
  return {};
}

// Only what is free: no root in the storage names it. Failures leave space taken that could be
// free, and nothing else: the next one who opens the file tries again.
void ClusterFile::give_space_back() {
  if (root_.is_reserved) return given_back_.clear();
  std::sort(given_back_.begin(), given_back_.end(),
            [](const Run& a, const Run& b) { return a.first < b.first; });
  const std::uint64_t end = free_->cut_end();
  if (const auto size = storage_->size_bytes(); size && *size > end * kPageBytes)
    (void)storage_->set_size(end * kPageBytes);
  Run joined;
  const auto punch_joined = [&] {
    if (joined.count != 0)
      (void)storage_->punch(joined.first * kPageBytes, joined.count * kPageBytes);
  };
  for (const Run& run : given_back_) {
    if (!free_->is_free(run.first, run.count)) continue;  // In use again, or cut off.
    if (joined.first + joined.count == run.first) {
      joined.count += run.count;
    } else {
      punch_joined();
      joined = run;
    }
  }
  punch_joined();
  given_back_.clear();
}

void ClusterFile::give_all_free_back() {
  for (const auto& [first, count] : free_->runs()) given_back_.push_back({first, count});
  give_space_back();
}

// As many free blocks as the content takes unpacked, with space behind them: all of it may be
// written anew, beside the old, before a sync lets the old go.
Result<void> ClusterFile::top_up_reserve() {
  given_back_.clear();
  const auto sum = count_clusters();
  if (!sum) return fail(sum.error().code);
  const std::uint64_t wanted = sum->content_blocks + sum->map_blocks + kMostMapDepth;
  if (free_->free_count() < wanted) free_->extend(wanted - free_->free_count());
  for (const auto& [first, count] : free_->runs()) {
    auto set = storage_->set_aside(first * kPageBytes, count * kPageBytes);
    if (!set) return set;
  }
  return {};
}

Result<void> ClusterFile::reserve() {
  const MutexLock lock(mutex_);
  if (auto begun = begin_change(); !begun) return begun;
  if (auto synced = make_safe(); !synced) return synced;
  if (auto topped = top_up_reserve(); !topped) {
    give_all_free_back();
    return topped;
  }
  if (root_.is_reserved) return {};
  root_.is_reserved = true;
  return write_root();
}

Result<void> ClusterFile::release() {
  const MutexLock lock(mutex_);
  if (auto begun = begin_change(); !begun) return begun;
  if (auto synced = make_safe(); !synced) return synced;
  if (!root_.is_reserved) return {};
  root_.is_reserved = false;
  if (auto rooted = write_root(); !rooted) return rooted;
  give_all_free_back();
  return {};
}

void ClusterFile::check_invariants() {
  const MutexLock lock(mutex_);
  if (!free_) return;
  FreeBlocks expected(kRootSlots);
  const auto walked =
      map_.walk(*storage_, [&](std::uint64_t, const MapEntry& entry) -> Result<void> {
        UZ_CHECK(expected.take_at(entry.first_block, entry.block_count));
        return {};
      });
  UZ_CHECK(walked.has_value());
  if (expected.end() < free_->end()) expected.extend(free_->end() - expected.end());
  UZ_CHECK(dropped_.empty() && fresh_.empty());
  UZ_CHECK(expected.runs() == free_->runs());
}

}  // namespace uzram
