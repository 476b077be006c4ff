// SPDX-License-Identifier: Apache-2.0
#include "pager/region_table.h"

#include <unistd.h>

#include <algorithm>

#include "base/check.h"

namespace uzram {

Result<RegionTable> RegionTable::create(std::uint64_t cluster_count) {
  auto clusters = SparseArray<ClusterState>::create(cluster_count);
  if (!clusters) return tl::unexpected(clusters.error());
  auto regions = SparseArray<Region>::create(kMostRegions + 1);
  if (!regions) return tl::unexpected(regions.error());
  return RegionTable(std::move(*clusters), std::move(*regions));
}

RegionTable::RegionTable(SparseArray<ClusterState> clusters, SparseArray<Region> regions)
    : clusters_(std::move(clusters)), regions_(std::move(regions)) {
  free_[0] = clusters_.size();
}

RegionTable::RegionTable(RegionTable&& other) noexcept UZ_NO_THREAD_SAFETY_ANALYSIS
    : clusters_(std::move(other.clusters_)),
      regions_(std::move(other.regions_)),
      mutex_(std::move(other.mutex_)),
      free_(std::move(other.free_)) {}

RegionTable::~RegionTable() {
  if (mutex_ == nullptr) return;  // Moved from.
  const MutexLock lock(*mutex_);
  for (std::uint32_t number = 1; number <= used_numbers_; ++number)
    if (regions_[number].page_count != 0 && regions_[number].file >= 0)
      ::close(regions_[number].file);
}

std::uint64_t RegionTable::take_clusters(std::uint64_t count) {
  const auto fits = std::find_if(free_.begin(), free_.end(),
                                 [count](const auto& range) { return range.second >= count; });
  if (fits == free_.end()) return clusters_.size();
  const auto [first, available] = *fits;
  free_.erase(fits);
  if (available > count) free_[first + count] = available - count;
  return first;
}

void RegionTable::give_clusters(std::uint64_t first, std::uint64_t count) {
  const auto after = free_.find(first + count);
  if (after != free_.end()) {
    count += after->second;
    free_.erase(after);
  }
  const auto next = free_.lower_bound(first);
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == first) {
      before->second += count;
      return;
    }
  }
  free_[first] = count;
}

Result<std::uint64_t> RegionTable::add(std::uint64_t page_count, PageKindOf kind, AccessHint hint,
                                       RegionSource source) {
  if (page_count > clusters_.size() * kClusterPages) return fail(ENOMEM);
  const std::uint64_t count = (page_count + kClusterPages - 1) / kClusterPages;
  const MutexLock lock(*mutex_);
  if (free_numbers_.empty() && used_numbers_ == kMostRegions) return fail(ENOMEM);
  const std::uint64_t first = take_clusters(count);
  if (first == clusters_.size()) return fail(ENOMEM);
  std::uint32_t number = 0;
  if (free_numbers_.empty()) {
    number = ++used_numbers_;
  } else {
    number = free_numbers_.back();
    free_numbers_.pop_back();
  }
  Region& region = regions_[number];
  region.first_page = first * kClusterPages;
  region.page_count = page_count;
  region.kind = kind;
  region.file = source.file.is_open() ? source.file.release() : -1;
  region.file_offset = source.offset;
  region.file_bytes = source.bytes;
  region.mapping = source.mapping;
  region.hint.store(hint, std::memory_order_relaxed);
  region.readahead.forget();
  region.clean_pages.forget();
  if (kind == PageKindOf::File) file_count_.fetch_add(1, std::memory_order_relaxed);
  used_clusters_ += count;
  for (std::uint64_t i = 0; i < count; ++i)
    clusters_[first + i].region.store(number, std::memory_order_release);
  if (first + count > cluster_end()) cluster_end_.store(first + count, std::memory_order_relaxed);
  return region.first_page;
}

void RegionTable::remove(std::uint64_t first_page) {
  const MutexLock lock(*mutex_);
  const std::uint64_t first = first_page / kClusterPages;
  const std::uint32_t number = clusters_[first].region.load(std::memory_order_relaxed);
  Region& region = regions_[number];
  UZ_CHECK(number != 0 && region.first_page == first_page);
  const std::uint64_t count = (region.page_count + kClusterPages - 1) / kClusterPages;
  for (std::uint64_t i = 0; i < count; ++i) {
    UZ_CHECK(clusters_[first + i].in_memory.load(std::memory_order_relaxed) == 0);
    clusters_[first + i].region.store(0, std::memory_order_release);
  }
  if (region.kind == PageKindOf::File) file_count_.fetch_sub(1, std::memory_order_relaxed);
  if (region.file >= 0) ::close(region.file);
  region.file = -1;
  region.mapping = nullptr;
  region.page_count = 0;
  used_clusters_ -= count;
  free_numbers_.push_back(number);
  give_clusters(first, count);
}

std::uint64_t RegionTable::used_clusters() const {
  const MutexLock lock(*mutex_);
  return used_clusters_;
}

std::uint64_t RegionTable::memory_bytes() const {
  // Both tables fill from the front.
  const MutexLock lock(*mutex_);
  return round_up(cluster_end() * sizeof(ClusterState), kPageBytes) +
         round_up(used_numbers_ * sizeof(Region), kPageBytes);
}

}  // namespace uzram
