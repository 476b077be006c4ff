// SPDX-License-Identifier: Apache-2.0
#include "pager/cluster_mapping.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace uzram {
namespace {

constexpr unsigned kMaskBits = 64;

}  // namespace

Result<std::unique_ptr<ClusterMapping>> ClusterMapping::create(std::shared_ptr<ClusterFile> file,
                                                               std::uint64_t offset,
                                                               std::uint64_t page_count,
                                                               MapSharing sharing) {
  const bool is_shared = sharing == MapSharing::Shared;
  if (is_shared && !file->is_writable()) return fail(EACCES);
  if (offset > kMostContentBytes || page_count > (kMostContentBytes - offset) / kPageBytes)
    return fail(EINVAL);
  const std::uint64_t cluster_bytes = file->options().cluster_bytes();
  auto read_buffer = SparseArray<std::byte>::create(cluster_bytes);
  if (!read_buffer) return tl::unexpected(read_buffer.error());
  auto write_buffer = SparseArray<std::byte>::create(is_shared ? cluster_bytes : 0);
  if (!write_buffer) return tl::unexpected(write_buffer.error());
  // One more where the region begins within a cluster, and one where it ends within one.
  const std::uint64_t cluster_count = page_count / file->options().page_count() + 2;
  auto unwritten = SparseArray<std::atomic<std::uint64_t>>::create(
      is_shared ? cluster_count / kMaskBits + 1 : 0);
  if (!unwritten) return tl::unexpected(unwritten.error());
  file->begin_cluster_reads(offset / cluster_bytes, cluster_count);
  return std::unique_ptr<ClusterMapping>(
      new ClusterMapping(std::move(file), offset, page_count, sharing, std::move(*read_buffer),
                         std::move(*write_buffer), std::move(*unwritten)));
}

ClusterMapping::ClusterMapping(std::shared_ptr<ClusterFile> file, std::uint64_t offset,
                               std::uint64_t page_count, MapSharing sharing,
                               SparseArray<std::byte> read_buffer,
                               SparseArray<std::byte> write_buffer,
                               SparseArray<std::atomic<std::uint64_t>> unwritten)
    : file_(std::move(file)),
      is_shared_(sharing == MapSharing::Shared),
      log_pages_(file_->options().log_pages),
      first_file_page_(offset / kPageBytes),
      page_count_(page_count),
      unwritten_(std::move(unwritten)),
      write_buffer_(std::move(write_buffer)),
      read_buffer_(std::move(read_buffer)) {}

ClusterMapping::~ClusterMapping() { file_->end_cluster_reads(); }

bool ClusterMapping::collides_with(const ClusterMapping& other) const {
  return is_shared_ && other.is_shared_ && file_ == other.file_ &&
         first_file_page_ < other.first_file_page_ + other.page_count_ &&
         other.first_file_page_ < first_file_page_ + page_count_;
}

ClusterMapping::Part ClusterMapping::part_of(std::uint64_t cluster) const {
  const std::uint64_t cluster_begin = cluster << log_pages_;
  const std::uint64_t begin = std::max(cluster_begin, first_file_page_);
  const std::uint64_t end = std::min((cluster + 1) << log_pages_, first_file_page_ + page_count_);
  if (begin >= end) return {};
  return {first_page() + (begin - first_file_page_), end - begin, begin - cluster_begin};
}

Result<const std::byte*> ClusterMapping::read(std::uint64_t cluster) {
  const MutableBytes whole(read_buffer_.data(), kPageBytes << log_pages_);
  if (const Result<void> done = file_->read_cluster(cluster, whole); !done)
    return tl::unexpected(done.error());
  return whole.data();
}

Result<void> ClusterMapping::write(std::uint64_t page, std::uint64_t page_count,
                                   const std::byte* content) {
  const std::uint64_t offset = file_offset_of(page);
  const std::uint64_t end = file_->size_bytes();
  if (page_count == 0 || offset >= end) return {};
  return file_->write(offset, {content, std::min(page_count * kPageBytes, end - offset)});
}

void ClusterMapping::note_unwritten(std::uint64_t cluster) {
  const std::uint64_t index = cluster - first_cluster();
  unwritten_[index / kMaskBits].fetch_or(std::uint64_t{1} << index % kMaskBits,
                                         std::memory_order_relaxed);
}

std::optional<std::uint64_t> ClusterMapping::take_unwritten(std::uint64_t from) {
  const std::uint64_t first = std::max(from, first_cluster()) - first_cluster();
  std::uint64_t seen = ~std::uint64_t{0} << first % kMaskBits;
  for (std::uint64_t i = first / kMaskBits; i < unwritten_.size(); ++i) {
    seen &= unwritten_[i].load(std::memory_order_relaxed);
    if (seen != 0) {
      const auto bit = static_cast<unsigned>(std::countr_zero(seen));
      unwritten_[i].fetch_and(~(std::uint64_t{1} << bit), std::memory_order_relaxed);
      return first_cluster() + i * kMaskBits + bit;
    }
    seen = ~std::uint64_t{0};
  }
  return std::nullopt;
}

bool ClusterMapping::is_unwritten(std::uint64_t cluster) const {
  const std::uint64_t index = cluster - first_cluster();
  return (unwritten_[index / kMaskBits].load(std::memory_order_relaxed) >> index % kMaskBits &
          1U) != 0;
}

std::uint64_t ClusterMapping::memory_bytes() const {
  const std::uint64_t cluster_bytes = kPageBytes << log_pages_;
  return sizeof(ClusterMapping) + cluster_bytes * (is_shared_ ? 2 : 1) +
         unwritten_.size() * sizeof(std::uint64_t);
}

}  // namespace uzram
