// SPDX-License-Identifier: Apache-2.0
// pager/cluster_mapping.h: what a region over a cluster file knows of the file.
//
// What:    which of the pages are of which cluster, the buffers through which clusters come
//          and go, and which clusters have pages that must still be written. Not here: words and
//          locks of pages (file_faults.cc, write_back.cc), the file (cluster/cluster_file.h).
// Shapes:  a cluster of the file is 4 to 256 pages; the region may begin and end within one.
// Units:   pages of the pager's span; clusters are the file's, counted from its beginning.
// Owns:    a share of the file; the buffers, a cluster each.
// Threads: any. The file's own lock, and reading_mutex, are taken with locks of pages held, so
//          nobody may use the file with buffers that lie in a region.
// Memory:  read allocates nothing; the map of the file is read when the mapping is made.
// Laws:    5.
// Proof:   cluster_mapping_test.cc, pager_file_test.cc.
#pragma once

#include <atomic>
#include <memory>
#include <optional>

#include "base/mutex.h"
#include "base/sparse_array.h"
#include "cluster/cluster_file.h"
#include "pager/pager.h"

namespace uzram {

// The most pages that a cluster of a file has.
inline constexpr std::size_t kMostFileClusterPages = std::size_t{1} << kMostClusterLog;

class ClusterMapping {
 public:
  // Requires: offset is a multiple of 4096. Errors: EACCES a shared one of a file that was opened
  // for reading; EINVAL it ends behind the largest offset; ENOMEM.
  static Result<std::unique_ptr<ClusterMapping>> create(std::shared_ptr<ClusterFile> file,
                                                        std::uint64_t offset,
                                                        std::uint64_t page_count,
                                                        MapSharing sharing);
  ~ClusterMapping();
  ClusterMapping(const ClusterMapping&) = delete;
  ClusterMapping& operator=(const ClusterMapping&) = delete;
  // Says where the region is. Requires: once, before anybody uses it.
  void place_at(std::uint64_t first_page) {
    first_page_.store(first_page, std::memory_order_relaxed);
  }

  [[nodiscard]] ClusterFile& file() const { return *file_; }
  [[nodiscard]] bool is_shared() const { return is_shared_; }
  [[nodiscard]] unsigned log_pages() const { return log_pages_; }
  [[nodiscard]] std::uint64_t first_page() const {
    return first_page_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t page_count() const { return page_count_; }
  // Whether both write to the same pages of one file.
  [[nodiscard]] bool collides_with(const ClusterMapping& other) const;

  // The pages of the region that one cluster has: none, where the cluster lies outside.
  struct Part {
    std::uint64_t first = 0;
    std::uint64_t count = 0;
    std::uint64_t place = 0;  // Of the first page in the cluster.
  };
  [[nodiscard]] Part part_of(std::uint64_t cluster) const;
  [[nodiscard]] std::uint64_t cluster_of(std::uint64_t page) const {
    return file_page_of(page) >> log_pages_;
  }
  [[nodiscard]] std::uint64_t file_offset_of(std::uint64_t page) const {
    return file_page_of(page) * kPageBytes;
  }

  // Unpacks a cluster. Returns: its pages, as long as the mutex is held. Errors: EBADMSG it is
  // damaged; those of the file's storage.
  [[nodiscard]] Mutex& reading_mutex() UZ_RETURN_CAPABILITY(reading_mutex_) {
    return reading_mutex_;
  }
  Result<const std::byte*> read(std::uint64_t cluster) UZ_REQUIRES(reading_mutex_);
  // Writes pages next to each other, as far as the file goes. Errors: those of ClusterFile::write.
  Result<void> write(std::uint64_t page, std::uint64_t page_count, const std::byte* content);
  // Where a cluster is put together to be written. Of whoever holds PagerCore::write_back_mutex_.
  [[nodiscard]] std::byte* write_buffer() const { return write_buffer_.data(); }

  // A page of this cluster was put away, and is not in the file yet.
  void note_unwritten(std::uint64_t cluster);
  // The first such cluster at or behind `from`, which is forgotten; nullopt when there is none.
  [[nodiscard]] std::optional<std::uint64_t> take_unwritten(std::uint64_t from);
  [[nodiscard]] bool is_unwritten(std::uint64_t cluster) const;

  [[nodiscard]] std::uint64_t memory_bytes() const;

 private:
  ClusterMapping(std::shared_ptr<ClusterFile> file, std::uint64_t offset, std::uint64_t page_count,
                 MapSharing sharing, SparseArray<std::byte> read_buffer,
                 SparseArray<std::byte> write_buffer,
                 SparseArray<std::atomic<std::uint64_t>> unwritten);
  [[nodiscard]] std::uint64_t file_page_of(std::uint64_t page) const {
    return first_file_page_ + (page - first_page());
  }
  [[nodiscard]] std::uint64_t first_cluster() const { return first_file_page_ >> log_pages_; }

  // constant after construction
  const std::shared_ptr<ClusterFile> file_;
  const bool is_shared_;
  const unsigned log_pages_;
  const std::uint64_t first_file_page_;
  const std::uint64_t page_count_;
  // synchronizes itself
  std::atomic<std::uint64_t> first_page_{0};  // Relaxed: known before its addresses are.
  // Bit per cluster, from the region's first on. Relaxed: what the pages are is in their words.
  SparseArray<std::atomic<std::uint64_t>> unwritten_;
  SparseArray<std::byte> write_buffer_;
  Mutex reading_mutex_;
  SparseArray<std::byte> read_buffer_ UZ_GUARDED_BY(reading_mutex_);
};

}  // namespace uzram
