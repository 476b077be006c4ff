// SPDX-License-Identifier: Apache-2.0
#include "cluster/packing_team.h"

#include <algorithm>
#include <system_error>
#include <thread>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{128} << 10;

}  // namespace

Result<std::unique_ptr<PackingTeam>> PackingTeam::make(const ClusterOptions& options,
                                                       unsigned thread_count) {
  std::vector<ClusterPacker> packers;
  while (packers.size() < std::max(1U, thread_count)) {
    auto packer = ClusterPacker::make(options);
    if (!packer) return fail(packer.error().code);
    packers.push_back(*std::move(packer));
  }
  const std::size_t chunk_clusters =
      std::max<std::size_t>(1, kChunkBytes / options.cluster_bytes());
  return std::unique_ptr<PackingTeam>(new PackingTeam(std::move(packers), chunk_clusters));
}

PackingTeam::PackingTeam(std::vector<ClusterPacker> packers, std::size_t chunk_clusters)
    : chunk_clusters_(chunk_clusters),
      packers_(std::move(packers)),
      chunks_(packers_.size() == 1 ? 1 : 2 * packers_.size()) {
  for (Chunk& chunk : chunks_) {
    chunk.clusters.reserve(chunk_clusters);
    free_.push_back(&chunk);
  }
  packed_.reserve(chunks_.size());
}

void PackingTeam::run(std::span<const PendingCluster> batch, const Write& write) {
  std::size_t share = 1;
  {
    const MutexLock lock(mutex_);
    left_ = batch;
    // Few clusters are shared out all the same.
    share = std::clamp<std::size_t>(batch.size() / packers_.size(), 1, chunk_clusters_);
    share_clusters_ = share;
  }
  std::vector<std::thread> helpers;
  const std::size_t wanted = std::min(packers_.size(), (batch.size() + share - 1) / share);
  for (std::size_t i = 1; i < wanted; ++i) {
    try {
      helpers.emplace_back([&, i] { serve(packers_[i], write); });
    } catch (const std::system_error&) {
      break;  // No more threads: those that there are do it.
    }
  }
  serve(packers_.front(), write);
  for (std::thread& helper : helpers) helper.join();
  const MutexLock lock(mutex_);
  UZ_CHECK(left_.empty() && packed_.empty());
  UZ_CHECK(free_.size() == chunks_.size());
}

void PackingTeam::serve(ClusterPacker& packer, const Write& write) {
  while (Chunk* const chunk = take_chunk()) {
    pack(packer, *chunk);
    hand_on(chunk, write);
  }
}

PackingTeam::Chunk* PackingTeam::take_chunk() {
  const MutexLock lock(mutex_);
  // Whoever has the others gives one back.
  while (!left_.empty() && free_.empty()) chunk_is_free_.wait(mutex_);
  if (left_.empty()) return nullptr;
  Chunk* const chunk = free_.back();
  free_.pop_back();
  chunk->pending = left_.first(std::min(share_clusters_, left_.size()));
  left_ = left_.subspan(chunk->pending.size());
  return chunk;
}

void PackingTeam::pack(ClusterPacker& packer, Chunk& chunk) {
  const auto whole_count = static_cast<std::size_t>(
      std::count_if(chunk.pending.begin(), chunk.pending.end(),
                    [](const PendingCluster& each) { return each.is_whole; }));
  const std::size_t needed_bytes = whole_count * packer.options().cluster_bytes();
  if (chunk.room_bytes < needed_bytes) {
    chunk.room = std::make_unique_for_overwrite<std::byte[]>(needed_bytes);
    chunk.room_bytes = needed_bytes;
  }
  MutableBytes room(chunk.room.get(), chunk.room_bytes);
  chunk.clusters.clear();
  for (const PendingCluster& pending : chunk.pending) {
    UZ_CHECK(!pending.content.empty());
    PackedCluster& made = chunk.clusters.emplace_back();
    made.pending = &pending;
    made.blocks = pending.content;
    made.entry.kind = EntryKind::Raw;
    if (pending.is_whole) {
      if (const auto blocks = packer.pack(pending.content, room.first(pending.content.size()))) {
        made.blocks = room.first(*blocks * kPageBytes);
        made.entry.kind = EntryKind::Packed;
        room = room.subspan(*blocks * kPageBytes);
      }
    }
    made.entry.checksum = entry_checksum(pending.cluster, made.blocks);
    made.entry.block_count = static_cast<std::uint16_t>(made.blocks.size() / kPageBytes);
  }
}

void PackingTeam::hand_on(Chunk* chunk, const Write& write) {
  {
    const MutexLock lock(mutex_);
    packed_.push_back(chunk);
    if (is_writing_) return;
    is_writing_ = true;
  }
  Chunk* written = nullptr;
  while (Chunk* const next = next_to_write(written)) {
    write(next->clusters);
    written = next;
  }
}

PackingTeam::Chunk* PackingTeam::next_to_write(Chunk* written) {
  const MutexLock lock(mutex_);
  if (written != nullptr) {
    free_.push_back(written);
    chunk_is_free_.notify_one();
  }
  if (packed_.empty()) {
    is_writing_ = false;
    return nullptr;
  }
  Chunk* const next = packed_.front();
  packed_.erase(packed_.begin());
  return next;
}

}  // namespace uzram
