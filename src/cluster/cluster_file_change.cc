// SPDX-License-Identifier: Apache-2.0
// How a cluster file changes: in buffers first, which are packed side by side and then written into
// free blocks one after the other.
#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "cluster/cluster_file.h"

namespace uzram {
namespace {

// So much is packed by threads that are started for it.
constexpr std::size_t kBatchBytes = std::size_t{16} << 20;
// Without a sync for long, what was written over meanwhile is given back this many runs at a time.
constexpr std::size_t kMostGivenBack = 1024;
// Shorter writes wait in buffers: the next one may change the same cluster.
constexpr std::size_t kLongWriteBytes = std::size_t{256} << 10;

}  // namespace

Result<void> ClusterFile::begin_change() {
  if (!is_writable_) return fail(EBADF);
  if (is_broken_) return fail(EIO);
  if (free_) return {};
  if (!team_) {
    auto team = PackingTeam::make(options_, limits_.thread_count);
    if (!team) return fail(team.error().code);
    team_ = *std::move(team);
  }
  return take_used_blocks();
}

Result<void> ClusterFile::write(std::uint64_t offset, ConstBytes bytes) {
  const MutexLock lock(mutex_);
  if (offset > kMostContentBytes || bytes.size() > kMostContentBytes - offset) return fail(EFBIG);
  if (auto begun = begin_change(); !begun) return begun;
  while (!bytes.empty()) {
    const bool is_long = offset % cluster_bytes() == 0 && bytes.size() >= cluster_bytes() &&
                         bytes.size() >= kLongWriteBytes;
    const auto written = is_long ? write_whole(offset, bytes) : write_in_cluster(offset, bytes);
    if (!written) return fail(written.error().code);
    offset += *written;
    bytes = bytes.subspan(*written);
  }
  return {};
}

// The whole clusters at the front of `bytes`, one batch of them. Returns: their bytes.
Result<std::size_t> ClusterFile::write_whole(std::uint64_t offset, ConstBytes bytes) {
  const std::size_t count = std::min(batch_count(), bytes.size() / cluster_bytes());
  std::vector<PendingCluster> pending(count);
  for (std::size_t i = 0; i < count; ++i) {
    pending[i] = {offset / cluster_bytes() + i,
                  bytes.subspan(i * cluster_bytes(), cluster_bytes())};
  }
  auto written = write_clusters(pending, [&](const PendingCluster& done) UZ_REQUIRES(mutex_) {
    buffers_.forget(done.cluster);
    grow_to((done.cluster + 1) * cluster_bytes());
  });
  if (!written) return fail(written.error().code);
  return count * cluster_bytes();
}

// What of `bytes` falls into one cluster. Returns: how much that is.
Result<std::size_t> ClusterFile::write_in_cluster(std::uint64_t offset, ConstBytes bytes) {
  const std::uint64_t cluster = offset / cluster_bytes();
  const std::size_t begin = offset % cluster_bytes();
  const std::size_t part_bytes = std::min(cluster_bytes() - begin, bytes.size());
  const std::size_t end = begin + part_bytes;
  // What was there is not needed when all of it is written over.
  const bool needs_content = begin != 0 || end < used_bytes(cluster);
  const auto found = buffer(cluster, needs_content ? cluster_bytes() : 0);
  if (!found) return fail(found.error().code);
  buffers_.hide(**found);
  std::vector<std::byte>& content = (*found)->content;
  std::memcpy(&content[begin], bytes.data(), part_bytes);
  if (!needs_content) std::memset(content.data() + end, 0, content.size() - end);
  buffers_.show(**found, cluster_bytes());
  (*found)->has_changed = true;
  grow_to(offset + part_bytes);
  return part_bytes;
}

void ClusterFile::grow_to(std::uint64_t size_bytes) {
  if (size_bytes > this->size_bytes()) size_bytes_.store(size_bytes, std::memory_order_release);
}

// Zeros in a part of a cluster; a hole stays one.
Result<void> ClusterFile::clear_part(std::uint64_t cluster, std::size_t begin, std::size_t bytes) {
  if (buffers_.find(cluster) == nullptr) {
    const auto entry = map_.find(*storage_, cluster);
    if (!entry) return fail(entry.error().code);
    if (entry->is_hole()) return {};
  }
  const auto found = buffer(cluster, cluster_bytes());
  if (!found) return fail(found.error().code);
  buffers_.hide(**found);
  std::memset(&(*found)->content[begin], 0, bytes);
  buffers_.show(**found, cluster_bytes());
  (*found)->has_changed = true;
  return {};
}

Result<void> ClusterFile::truncate(std::uint64_t size_bytes) {
  const MutexLock lock(mutex_);
  if (size_bytes > kMostContentBytes) return fail(EFBIG);
  if (auto begun = begin_change(); !begun) return begun;
  if (size_bytes < this->size_bytes()) {
    const std::uint64_t cluster = size_bytes / cluster_bytes();
    const std::size_t kept_bytes = size_bytes % cluster_bytes();
    if (kept_bytes != 0) {
      // Bytes behind the end are always zeros; and a cluster that is partial now becomes raw.
      auto cleared = clear_part(cluster, kept_bytes, cluster_bytes() - kept_bytes);
      if (!cleared) return cleared;
    }
    const std::uint64_t first_gone = cluster + (kept_bytes != 0 ? 1 : 0);
    auto cut = map_.cut(*storage_, first_gone,
                        [&](const MapEntry& entry) UZ_REQUIRES(mutex_) { drop(entry); });
    if (!cut) return cut;
    buffers_.forget_from(first_gone);
  }
  size_bytes_.store(size_bytes, std::memory_order_release);
  return {};
}

Result<void> ClusterFile::punch_cluster(std::uint64_t cluster) {
  const auto entry = map_.find(*storage_, cluster);
  if (!entry) return fail(entry.error().code);
  if (!entry->is_hole()) {
    const auto old = map_.replace(*storage_, cluster, {});
    if (!old) return fail(old.error().code);
    drop(*old);
  }
  buffers_.forget(cluster);
  return {};
}

Result<void> ClusterFile::punch(std::uint64_t offset, std::uint64_t bytes) {
  const MutexLock lock(mutex_);
  if (auto begun = begin_change(); !begun) return begun;
  if (offset >= size_bytes()) return {};
  const std::uint64_t end = offset + std::min(bytes, size_bytes() - offset);
  while (offset < end) {
    const std::uint64_t cluster = offset / cluster_bytes();
    const std::size_t begin = offset % cluster_bytes();
    const auto part_bytes = std::min<std::uint64_t>(cluster_bytes() - begin, end - offset);
    if (begin == 0 && part_bytes == used_bytes(cluster)) {
      if (auto punched = punch_cluster(cluster); !punched) return punched;
    } else {
      if (auto cleared = clear_part(cluster, begin, part_bytes); !cleared) return cleared;
    }
    offset += part_bytes;
  }
  return {};
}

std::size_t ClusterFile::batch_count() const {
  return std::max<std::size_t>(std::max(1U, limits_.thread_count), kBatchBytes / cluster_bytes());
}

Result<void> ClusterFile::flush() {
  const MutexLock lock(mutex_);
  return write_changed();
}

Result<void> ClusterFile::write_changed() {
  const std::vector<ClusterBuffer*> changed = buffers_.changed();
  for (std::size_t begin = 0; begin < changed.size(); begin += batch_count()) {
    std::vector<PendingCluster> pending(std::min(batch_count(), changed.size() - begin));
    for (std::size_t i = 0; i < pending.size(); ++i) {
      const ClusterBuffer& each = *changed[begin + i];
      const std::size_t used = used_bytes(each.cluster);
      // The last, partial cluster stays raw, even if it has as many blocks as a whole one.
      pending[i] = {each.cluster, ConstBytes(each.content).first(round_up(used, kPageBytes)),
                    used == cluster_bytes()};
    }
    auto written = write_clusters(pending, [&](const PendingCluster& done) {
      changed[begin + static_cast<std::size_t>(&done - pending.data())]->has_changed = false;
    });
    if (!written) return written;
  }
  return {};
}

// The team's threads pack; one of them at a time writes and publishes, while this one holds mutex_
// for all.
Result<void> ClusterFile::write_clusters(std::span<const PendingCluster> batch,
                                         const Published& published) {
  int first_code = 0;
  team_->run(batch, [&](std::span<PackedCluster> chunk) UZ_REQUIRES(mutex_) {
    const auto written = write_chunk(chunk, published);
    if (!written && first_code == 0) first_code = written.error().code;
  });
  if (given_back_.size() > kMostGivenBack) give_space_back();
  trim_map();
  if (first_code != 0) return fail(first_code);
  return {};
}

// Build: into blocks that nothing names. What lies together, in memory and in the file, is written
// by one call.
Result<void> ClusterFile::write_chunk(std::span<PackedCluster> chunk, const Published& published) {
  for (PackedCluster& each : chunk) each.entry.first_block = free_->take(each.entry.block_count);
  int first_code = 0;
  for (std::size_t begin = 0, end = 0; begin < chunk.size(); begin = end) {
    const std::uint64_t first_block = chunk[begin].entry.first_block;
    ConstBytes blocks = chunk[begin].blocks;
    for (end = begin + 1; end < chunk.size(); ++end) {
      const PackedCluster& next = chunk[end];
      if (next.blocks.data() != blocks.data() + blocks.size()) break;
      if (next.entry.first_block != first_block + blocks.size() / kPageBytes) break;
      blocks = {blocks.data(), blocks.size() + next.blocks.size()};
    }
    Result<void> done = storage_->write(first_block * kPageBytes, blocks);
    if (done)
      done = publish(chunk.subspan(begin, end - begin), published);
    else
      free_->give_back(first_block, blocks.size() / kPageBytes);
    if (!done && first_code == 0) first_code = done.error().code;
  }
  if (first_code != 0) return fail(first_code);
  return {};
}

// Publish, free: the old blocks stay until a root that does not have them is safe.
Result<void> ClusterFile::publish(std::span<const PackedCluster> run, const Published& published) {
  Result<void> all;
  for (const PackedCluster& each : run) {
    fresh_.insert(each.entry.first_block);
    const auto old = map_.replace(*storage_, each.pending->cluster, each.entry);
    drop(old ? *old : each.entry);
    if (old)
      published(*each.pending);
    else
      all = fail(old.error().code);
  }
  return all;
}

void ClusterFile::drop(const MapEntry& entry) {
  if (entry.is_hole()) return;
  const Run run{entry.first_block, entry.block_count};
  if (fresh_.erase(run.first) == 0) {
    dropped_.push_back(run);
  } else {
    free_->give_back(run.first, run.count);
    given_back_.push_back(run);
  }
}

}  // namespace uzram
