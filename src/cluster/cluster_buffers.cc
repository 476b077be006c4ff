// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_buffers.h"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "base/check.h"

namespace uzram {

ClusterBuffers::ClusterBuffers(std::size_t cluster_bytes, std::size_t limit_bytes)
    : cluster_bytes_(cluster_bytes),
      most_count_(std::max<std::size_t>(2, limit_bytes / cluster_bytes)) {}

ClusterBuffer* ClusterBuffers::find(std::uint64_t cluster) {
  const MutexLock lock(mutex_);
  const auto found = places_.find(cluster);
  if (found == places_.end()) return nullptr;
  buffers_.splice(buffers_.begin(), buffers_, found->second);
  return &buffers_.front();
}

ClusterBuffer* ClusterBuffers::add(std::uint64_t cluster) {
  const MutexLock lock(mutex_);
  UZ_CHECK(!places_.contains(cluster));
  if (buffers_.size() < most_count_) {
    buffers_.emplace_front();
    buffers_.front().content.resize(cluster_bytes_);
  } else {
    const auto oldest = std::find_if(buffers_.rbegin(), buffers_.rend(),
                                     [](const ClusterBuffer& each) { return !each.has_changed; });
    if (oldest == buffers_.rend()) return nullptr;
    auto place = places_.extract(oldest->cluster);
    buffers_.splice(buffers_.begin(), buffers_, std::prev(oldest.base()));
    place.key() = cluster;
    places_.insert(std::move(place));
  }
  buffers_.front().cluster = cluster;
  buffers_.front().has_changed = false;
  buffers_.front().ready_bytes = 0;
  places_[cluster] = buffers_.begin();
  return &buffers_.front();
}

void ClusterBuffers::forget(std::uint64_t cluster) {
  const MutexLock lock(mutex_);
  const auto found = places_.find(cluster);
  if (found == places_.end()) return;
  buffers_.erase(found->second);
  places_.erase(found);
}

void ClusterBuffers::forget_from(std::uint64_t cluster) {
  const MutexLock lock(mutex_);
  for (auto it = buffers_.begin(); it != buffers_.end();) {
    if (it->cluster < cluster) {
      ++it;
    } else {
      places_.erase(it->cluster);
      it = buffers_.erase(it);
    }
  }
}

void ClusterBuffers::hide(ClusterBuffer& buffer) {
  const MutexLock lock(mutex_);
  buffer.ready_bytes = 0;
}

void ClusterBuffers::show(ClusterBuffer& buffer, std::size_t ready_bytes) {
  const MutexLock lock(mutex_);
  buffer.ready_bytes = ready_bytes;
}

bool ClusterBuffers::read(std::uint64_t cluster, std::size_t begin, MutableBytes out) {
  const MutexLock lock(mutex_);
  const auto found = places_.find(cluster);
  if (found == places_.end() || found->second->ready_bytes < begin + out.size()) return false;
  buffers_.splice(buffers_.begin(), buffers_, found->second);
  std::memcpy(out.data(), &found->second->content[begin], out.size());
  return true;
}

std::size_t ClusterBuffers::count() const {
  const MutexLock lock(mutex_);
  return buffers_.size();
}

std::vector<ClusterBuffer*> ClusterBuffers::changed() {
  const MutexLock lock(mutex_);
  std::vector<ClusterBuffer*> found;
  for (ClusterBuffer& each : buffers_) {
    if (each.has_changed) found.push_back(&each);
  }
  std::sort(found.begin(), found.end(),
            [](const ClusterBuffer* a, const ClusterBuffer* b) { return a->cluster < b->cluster; });
  return found;
}

}  // namespace uzram
