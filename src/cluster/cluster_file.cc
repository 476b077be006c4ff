// SPDX-License-Identifier: Apache-2.0
#include "cluster/cluster_file.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace uzram {
namespace {

constexpr std::size_t kLeastMapBytes = std::size_t{256} << 10;

Result<ClusterFileRoot> read_root(const ClusterStorage& storage) {
  const auto size = storage.size_bytes();
  if (!size) return fail(size.error().code);
  std::vector<std::byte> first_bytes(std::min<std::uint64_t>(*size, kRootsBytes));
  if (auto got = storage.read(0, first_bytes); !got) return fail(got.error().code);
  return newest_root(first_bytes);
}

}  // namespace

ClusterFile::ClusterFile(std::unique_ptr<ClusterStorage> storage, const ClusterFileRoot& root,
                         bool is_writable, const ClusterFileLimits& limits)
    : storage_(std::move(storage)),
      is_writable_(is_writable),
      limits_(limits),
      options_(root.cluster),
      buffers_(root.cluster.cluster_bytes(), limits.cache_bytes),
      size_bytes_(root.size_bytes),
      root_(root),
      map_(root.depth, root.top) {}

Result<std::unique_ptr<ClusterFile>> ClusterFile::create(std::unique_ptr<ClusterStorage> storage,
                                                         const ClusterOptions& options,
                                                         const ClusterFileLimits& limits) {
  if (!is_valid(options)) return fail(EINVAL);
  ClusterFileRoot root;
  root.cluster = options;
  std::array<std::byte, kPageBytes> slot;
  store_root(slot, root);
  // In this order, what is there is a cluster file from its first bytes on.
  if (auto written = storage->write(0, slot); !written) return fail(written.error().code);
  if (auto sized = storage->set_size(kRootSlots * kPageBytes); !sized)
    return fail(sized.error().code);
  if (auto synced = storage->sync(); !synced) return fail(synced.error().code);
  return open(std::move(storage), StorageMode::Write, limits);
}

Result<std::unique_ptr<ClusterFile>> ClusterFile::open(std::unique_ptr<ClusterStorage> storage,
                                                       StorageMode mode,
                                                       const ClusterFileLimits& limits) {
  const auto root = read_root(*storage);
  if (!root) return fail(root.error().code);
  std::unique_ptr<ClusterFile> file(
      new ClusterFile(std::move(storage), *root, mode != StorageMode::Read, limits));
  if (auto made = file->make_unpacker(); !made) return fail(made.error().code);
  return file;
}

Result<void> ClusterFile::make_unpacker() {
  auto unpacker = ClusterUnpacker::make(options_.algorithm);
  if (!unpacker) return fail(unpacker.error().code);
  const MutexLock lock(mutex_);
  unpacker_ = *std::move(unpacker);
  return {};
}

bool ClusterFile::is_reserved() const {
  const MutexLock lock(mutex_);
  return root_.is_reserved;
}

std::uint64_t ClusterFile::cluster_count() const {
  const std::uint64_t size = size_bytes();
  return size / cluster_bytes() + (size % cluster_bytes() != 0 ? 1 : 0);
}

std::size_t ClusterFile::used_bytes(std::uint64_t cluster) const {
  const std::uint64_t begin = cluster * cluster_bytes();
  const std::uint64_t size = size_bytes();
  if (begin >= size) return 0;
  return std::min<std::uint64_t>(cluster_bytes(), size - begin);
}

// When a sync has failed, what was written may not read.
void ClusterFile::trim_map() {
  if (!is_broken_ && cluster_reader_count_ == 0)
    map_.trim(std::max(kLeastMapBytes, limits_.cache_bytes / 4));
}

// At least the first `wanted_bytes` of a cluster. Returns: how many there are.
Result<std::size_t> ClusterFile::load(std::uint64_t cluster, const MapEntry& entry,
                                      MutableBytes content, std::size_t wanted_bytes) {
  const std::size_t stored_bytes = entry.block_count * kPageBytes;
  if (stored_bytes > content.size() || entry.kind == EntryKind::Map) return fail(EBADMSG);
  const bool is_packed = entry.kind == EntryKind::Packed;
  if (is_packed) stored_.resize(cluster_bytes());
  const MutableBytes place =
      is_packed ? MutableBytes(stored_).first(stored_bytes) : content.first(stored_bytes);
  if (!place.empty()) {
    auto got = storage_->read(entry.first_block * kPageBytes, place);
    if (!got) return fail(got.error().code);
    if (entry_checksum(cluster, place) != entry.checksum) return fail(EBADMSG);
  }
  if (is_packed) return unpacker_->unpack_front(place, content, wanted_bytes);
  std::memset(content.data() + stored_bytes, 0, content.size() - stored_bytes);
  return content.size();
}

// A buffer in which at least the first `wanted_bytes` of the cluster are there. Changed ones are
// written when there is no room.
Result<ClusterBuffer*> ClusterFile::buffer(std::uint64_t cluster, std::size_t wanted_bytes) {
  ClusterBuffer* found = buffers_.find(cluster);
  if (found != nullptr && found->ready_bytes >= wanted_bytes) return found;
  // Who comes back for more gets everything.
  if (found != nullptr) wanted_bytes = cluster_bytes();
  MapEntry entry;
  if (wanted_bytes != 0) {
    const auto named = map_.find(*storage_, cluster);
    if (!named) return fail(named.error().code);
    entry = *named;
  }
  if (found == nullptr) found = buffers_.add(cluster);
  if (found == nullptr) {
    if (auto flushed = write_changed(); !flushed) return fail(flushed.error().code);
    found = buffers_.add(cluster);
    UZ_CHECK(found != nullptr);
  }
  if (wanted_bytes == 0) return found;
  UZ_CHECK(!found->has_changed);
  buffers_.hide(*found);
  const auto loaded = load(cluster, entry, found->content, wanted_bytes);
  if (!loaded) {
    buffers_.forget(cluster);
    return fail(loaded.error().code);
  }
  buffers_.show(*found, *loaded);
  return found;
}

Result<void> ClusterFile::read_in_cluster(std::uint64_t cluster, std::size_t begin,
                                          MutableBytes out, std::size_t wanted_bytes) {
  const auto content = buffer(cluster, wanted_bytes);
  if (!content) return fail(content.error().code);
  std::memcpy(out.data(), &(*content)->content[begin], out.size());
  return {};
}

// A whole cluster is unpacked to where it is wanted, unless it is in a buffer already.
Result<void> ClusterFile::read_whole(std::uint64_t cluster, MutableBytes out) {
  const ClusterBuffer* const found = buffers_.find(cluster);
  if (found != nullptr && found->ready_bytes == out.size()) {
    std::memcpy(out.data(), found->content.data(), out.size());
    return {};
  }
  const auto entry = map_.find(*storage_, cluster);
  if (!entry) return fail(entry.error().code);
  if (auto loaded = load(cluster, *entry, out, out.size()); !loaded)
    return fail(loaded.error().code);
  return {};
}

// What is in one buffer, without a wait for what others do. Returns: nullopt when it is not.
std::optional<std::size_t> ClusterFile::read_buffered(std::uint64_t offset, MutableBytes out) {
  const std::uint64_t size = size_bytes();
  if (offset >= size) return std::nullopt;
  out = out.first(std::min<std::uint64_t>(out.size(), size - offset));
  const std::size_t begin = offset % cluster_bytes();
  if (out.size() > cluster_bytes() - begin) return std::nullopt;
  if (!buffers_.read(offset / cluster_bytes(), begin, out)) return std::nullopt;
  read_end_.store(offset + out.size(), std::memory_order_relaxed);
  return out.size();
}

Result<std::size_t> ClusterFile::read(std::uint64_t offset, MutableBytes out) {
  if (const auto bytes = read_buffered(offset, out)) return *bytes;
  const MutexLock lock(mutex_);
  const std::uint64_t size = size_bytes();
  if (offset >= size) return std::size_t{0};
  out = out.first(std::min<std::uint64_t>(out.size(), size - offset));
  // Who goes on where the last read ended will want the rest of the cluster too; a read from
  // anywhere else unpacks no further than it has to.
  const bool goes_on = offset == read_end_.exchange(offset + out.size(), std::memory_order_relaxed);
  std::size_t done = 0;
  while (done < out.size()) {
    const std::uint64_t cluster = (offset + done) / cluster_bytes();
    const std::size_t begin = (offset + done) % cluster_bytes();
    const std::size_t bytes = std::min(cluster_bytes() - begin, out.size() - done);
    const MutableBytes part = out.subspan(done, bytes);
    const std::size_t wanted_bytes = goes_on ? cluster_bytes() : begin + bytes;
    auto got = bytes == cluster_bytes() ? read_whole(cluster, part)
                                        : read_in_cluster(cluster, begin, part, wanted_bytes);
    if (!got) return fail(got.error().code);
    done += bytes;
  }
  trim_map();
  return done;
}

Result<void> ClusterFile::read_cluster(std::uint64_t cluster, MutableBytes out) {
  UZ_CHECK(out.size() == cluster_bytes());
  if (buffers_.read(cluster, 0, out)) return {};
  const MutexLock lock(mutex_);
  return read_whole(cluster, out);
}

void ClusterFile::begin_cluster_reads(std::uint64_t first, std::uint64_t count) {
  const MutexLock lock(mutex_);
  ++cluster_reader_count_;
  stored_.resize(cluster_bytes());
  const std::uint64_t end = std::min(first + count, cluster_count());
  for (std::uint64_t each = first / kMapFanout * kMapFanout; each < end; each += kMapFanout)
    (void)map_.find(*storage_, each);
}

void ClusterFile::end_cluster_reads() {
  const MutexLock lock(mutex_);
  UZ_CHECK(cluster_reader_count_ != 0);
  --cluster_reader_count_;
}

Result<std::uint64_t> ClusterFile::next_data(std::uint64_t offset) {
  const MutexLock lock(mutex_);
  const std::uint64_t size = size_bytes();
  if (offset >= size) return size;
  const std::uint64_t cluster = offset / cluster_bytes();
  const auto stored = map_.next(*storage_, cluster);
  trim_map();
  if (!stored) return fail(stored.error().code);
  std::uint64_t next = *stored;
  for (const ClusterBuffer* const each : buffers_.changed()) {
    if (each->cluster >= cluster) next = std::min(next, each->cluster);
  }
  if (next >= cluster_count()) return size;
  return std::max(offset, next * cluster_bytes());
}

Result<void> ClusterFile::visit_clusters(const VisitCluster& visit) {
  const MutexLock lock(mutex_);
  return map_.walk(*storage_, [&](std::uint64_t first, const MapEntry& entry) -> Result<void> {
    if (entry.kind != EntryKind::Map) visit(first, entry);
    return {};
  });
}

Result<ClusterFileTotals> ClusterFile::totals() {
  const MutexLock lock(mutex_);
  return count_clusters();
}

Result<ClusterFileTotals> ClusterFile::count_clusters() {
  ClusterFileTotals sum;
  const auto walked = map_.walk(
      *storage_,
      [&](std::uint64_t first, const MapEntry& entry) UZ_REQUIRES(mutex_) -> Result<void> {
        if (entry.kind == EntryKind::Map) {
          ++sum.map_blocks;
          return {};
        }
        ++(entry.kind == EntryKind::Packed ? sum.packed_clusters : sum.raw_clusters);
        sum.content_blocks += bytes_to_pages(used_bytes(first));
        sum.stored_blocks += entry.block_count;
        return {};
      });
  if (!walked) return fail(walked.error().code);
  return sum;
}

Result<std::uint64_t> ClusterFile::verify(const Fault& fault,
                                          const std::function<void(std::uint64_t)>& advance) {
  const MutexLock lock(mutex_);
  std::uint64_t fault_count = 0;
  std::vector<std::byte> content(cluster_bytes());
  const auto walked = map_.walk(
      *storage_,
      [&](std::uint64_t cluster, const MapEntry& entry) UZ_REQUIRES(mutex_) -> Result<void> {
        if (entry.kind == EntryKind::Map) return {};
        const bool is_inside = cluster < cluster_count();
        if (!is_inside || !load(cluster, entry, content, content.size())) {
          ++fault_count;
          fault(cluster, 1);
        }
        advance(used_bytes(cluster));
        return {};
      },
      [&](std::uint64_t cluster, const MapEntry&) UZ_REQUIRES(mutex_) {
        ++fault_count;
        fault(cluster, cluster_count() - std::min(cluster, cluster_count()));
      });
  if (!walked) return fail(walked.error().code);
  return fault_count;
}

}  // namespace uzram
